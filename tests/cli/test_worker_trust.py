"""``sleap-rtc worker trust``, typed, and what other commands do with a worker that is not the known one."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from sleap_rtc.config.identity import load_identity
from sleap_rtc.config.known_workers import KnownWorker, KnownWorkers
from tests.cli.room_lab import RoomLab, room_lab
from tests.cli.shell import Shell
from tests.service.peers import INFO, Key, worker
from tests.service.running import RunningService

OLD, NEW, THIRD = Key(1), Key(2), Key(3)


@pytest.fixture
async def ada(service: RunningService, shell: Shell) -> Shell:
    await shell.ok("login", "--name", "ada")
    return shell


async def room_and_token(shell: Shell) -> tuple[str, str]:
    room = json.loads(await shell.ok("room", "create", "--name", "Fly lab", "--json"))["room_id"]
    made = json.loads(await shell.ok("token", "create", "--room", room, "--name", "gpu", "--json"))
    return room, made["token"]


def known(service: RunningService, room: str, *keys: Key, name: str = INFO.name) -> None:
    """Let these workers have been met."""
    met = [KnownWorker(service.url, room, name, key.public) for key in keys]
    KnownWorkers().change(lambda known: ((), met))


def names() -> set[tuple[str, str]]:
    return {(each.name, each.worker_id) for each in KnownWorkers().all()}


async def test_a_worker_installed_anew_is_trusted_after_a_question(ada: Shell, service: RunningService) -> None:
    room, token = await room_and_token(ada)
    known(service, room, OLD)
    async with worker(service, token, NEW):
        typed = await ada.run("worker", "trust", INFO.name, "--room", "Fly lab", "--replace")
        assert typed.code == 2
        assert f"Known under that name: {OLD.worker_id}\nOnline with that name: {NEW.worker_id}\n" in typed.err
        assert "Add --yes" in typed.err
        assert names() == {(INFO.name, OLD.worker_id)}
        out = await ada.ok("worker", "trust", INFO.name, "--room", "Fly lab", "--replace", "--yes", "--json")
        again = await ada.run("worker", "trust", INFO.name, "--room", "Fly lab", "--replace")
    changed = json.loads(out)
    assert [each["worker_id"] for each in changed["trusted"]] == [NEW.worker_id]
    assert [each["worker_id"] for each in changed["forgotten"]] == [OLD.worker_id]
    assert names() == {(INFO.name, NEW.worker_id)}
    assert (again.code, again.err) == (0, f"Nothing to change: {INFO.name} is known already.\n")


async def test_workers_that_share_a_name_are_added(ada: Shell, service: RunningService) -> None:
    room, token = await room_and_token(ada)
    known(service, room, OLD)
    async with worker(service, token, OLD), worker(service, token, NEW), worker(service, token, THIRD):
        several = await ada.run("worker", "trust", INFO.name, "--room", room, "--replace", "--yes")
        assert (several.code, NEW.worker_id in several.err, "--add" in several.err) == (2, True, True)
        one = await ada.ok("worker", "trust", NEW.worker_id, "--room", room, "--add", "--yes")
        assert NEW.worker_id in one
        assert THIRD.worker_id not in one
        await ada.ok("worker", "trust", INFO.name, "--room", room, "--add", "--yes")
    assert names() == {(INFO.name, key.worker_id) for key in (OLD, NEW, THIRD)}


async def test_nobody_is_trusted_who_is_not_there(ada: Shell, service: RunningService) -> None:
    room, _ = await room_and_token(ada)
    typed = await ada.run("worker", "trust", "gpu", "--room", room, "--add", "--yes")
    assert (typed.code, "No worker 'gpu' is online" in typed.err, names()) == (4, True, set())


def test_what_is_known_is_listed_and_forgotten_without_a_service(shell: Shell) -> None:
    assert shell.now("worker", "trust").err == "No worker was met yet.\n"
    met = KnownWorker("http://127.0.0.1:8000", "r_room0000", "gpu 1", OLD.public)
    others = [replace(met, room="r_another0"), replace(met, name="gpu 2", key=NEW.public)]
    KnownWorkers().change(lambda known: ((), [met, *others]))
    lines = shell.now("worker", "trust").out.splitlines()
    assert [line.split() for line in lines][:2] == [["worker", "id", "room"], ["gpu", "1", OLD.worker_id, "r_another0"]]
    assert len(lines) == 4
    shell.export("SLEAP_RTC_SERVER", "https://rtc.example")
    assert shell.now("worker", "trust").out.splitlines()[1].endswith(met.server)
    shell.export("SLEAP_RTC_SERVER", met.server)
    listed = json.loads(shell.now("worker", "trust", "gpu 1", "--room", "r_room0000", "--json").out)
    assert listed == [
        {"server": met.server, "room": met.room, "worker": "gpu 1", "worker_id": OLD.worker_id, "key": OLD.public.hex()}
    ]
    unclear = shell.now("worker", "trust", "gpu 1", "--forget")
    assert (unclear.code, "several rooms: r_another0, r_room0000" in unclear.err) == (2, True)
    assert OLD.worker_id in shell.now("worker", "trust", OLD.worker_id, "--forget", "--room", "r_room0000").out
    assert shell.now("worker", "trust", "gpu 3", "--forget").code == 2
    assert set(KnownWorkers().all()) == set(others)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--name", "x", "trust"), "--name before 'trust' would be an option of the worker itself"),
        (("trust", "gpu", "--add", "--replace"), "not several"),
        (("trust", "--forget"), "Which worker?"),
        (("tryst",), "No such command"),
    ],
)
def test_what_makes_no_sense_is_refused(shell: Shell, words: tuple[str, ...], complaint: str) -> None:
    typed = shell.now("worker", *words)
    assert (typed.code, complaint in typed.err) == (2, True)


async def test_a_deleted_room_is_forgotten_with_its_workers(ada: Shell, service: RunningService) -> None:
    kept, _ = await room_and_token(ada)
    deleted = json.loads(await ada.ok("room", "create", "--name", "old", "--json"))["room_id"]
    for room in (kept, deleted):
        known(service, room, OLD)
    await ada.ok("room", "delete", deleted, "--yes")
    assert [each.room for each in KnownWorkers().all()] == [kept]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def test_every_command_that_dials_knows_its_workers(lab: RoomLab) -> None:
    room = ("--room", "lab")
    async with lab.worker("gpu", 24):
        listed = await lab.run("jobs", "list", *room)
        assert listed.code == 0, listed.err
        assert f"First contact with the worker gpu ({first_id(lab)}): its key is remembered" in listed.err
    (lab.folder / "gpu" / "identity").rename(lab.folder / "gpu" / "identity-before")
    before = first_id(lab, "identity-before")
    async with lab.worker("gpu", 24):
        for words in (
            ("train", *room, "--auto-select", "-p", str(lab.package())),
            ("jobs", "list", *room),
            ("jobs", "watch", "j_abcdefgh", *room),
        ):
            refused = await lab.run(*words)
            assert refused.code == 3, refused.err
            assert f"its id was {before}, and now it is {first_id(lab)}" in refused.err.replace("\n", " ")
        assert lab.starts("gpu") == 0
        assert not list(lab.jobs_of("gpu").glob("j_*"))
        assert not list((lab.home / "pending").glob("*.json"))
        trusted = await lab.run("worker", "trust", "gpu", *room, "--replace", "--yes")
        assert trusted.code == 0, trusted.err
        assert names() == {("gpu", first_id(lab))}


def first_id(lab: RoomLab, folder: str = "identity") -> str:
    return load_identity(lab.folder / "gpu" / folder).worker_id
