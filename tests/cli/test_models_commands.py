"""The room's models, typed at a real service whose worker is a plain peer."""

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest_asyncio

from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import ServiceAPI
from tests.cli.shell import Shell
from tests.service.peers import Key, Peer, worker
from tests.service.people import join, person
from tests.service.running import RunningService

PROGRAM = (sys.executable, "-c", "from sleap_rtc.cli.main import run; run()")
TOP_DOWN = ["centroid", "centered_instance"]


def digest(number: int) -> str:
    return f"{number:064x}"


def told(number: int, *, parent: int | None = None, loss: float | None = None, **changes: Any) -> dict[str, Any]:
    """A model as a worker tells of it; larger numbers are newer."""
    facts = {"types": TOP_DOWN, "loss": loss, "sleap_nn": "0.1.0", "made_by": "ada"}
    facts |= {"parent": digest(parent)} if parent is not None else {}
    own = {
        "digest": digest(number),
        "title": "centroid + centered",
        "size": 1000 * number,
        "made": number,
        "facts": facts,
    }
    return own | {"job": f"j_{number:08}abcd"} | changes


class Lab:
    """A room with a worker that holds models, and ada, who owns it."""

    def __init__(self, service: RunningService, ada: Shell, room: str, token: str) -> None:
        self.service, self.ada, self.room, self.token = service, ada, room, token
        self.api = ServiceAPI(service.url, Account(service.url))

    async def tell(self, gpu: Peer, *models: dict[str, Any]) -> dict[str, Any]:
        answer = await gpu.ask("report_models", id=7, models=list(models), complete=True)
        assert answer["type"] == "reported", answer
        return answer

    async def name(self, name: str, *numbers: int) -> None:
        for number in numbers:
            await self.api.register_model(self.room, name, digest(number))

    async def listed(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(await self.ada.ok("models", "list", "-r", "lab", "--json", *words))
        return found

    async def refused(self, code: int, *words: str) -> str:
        typed = await self.ada.run("models", *words, "-r", "lab")
        assert (typed.code, typed.out) == (code, ""), typed
        return typed.err


@pytest_asyncio.fixture
async def lab(service: RunningService, shell: Shell) -> AsyncIterator[Lab]:
    await shell.ok("login", "--name", "ada")
    room = json.loads(await shell.ok("room", "create", "--name", "lab", "--json"))["room_id"]
    token = json.loads(await shell.ok("token", "create", "-r", room, "-n", "gpu", "--json"))["token"]
    yield Lab(service, shell, room, token)


async def flies(lab: Lab, gpu: Peer) -> None:
    """fly@1 … fly@3, of which 2 began with 1 and 3 with 2, and two models that have no name."""
    await lab.tell(
        gpu, told(1, loss=0.01), told(2, parent=1, loss=0.008), told(3, parent=2, loss=0.01), told(4), told(5)
    )
    await lab.name("fly", 1, 2, 3)


async def test_an_empty_room_says_so(lab: Lab) -> None:
    typed = await lab.ada.run("models", "list", "-r", "lab")
    assert (typed.code, typed.out) == (0, "")
    assert "The room 'lab' has no models yet" in typed.err
    assert await lab.listed() == []


async def test_named_versions_come_first_and_runs_without_a_name_after_them(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
        await lab.ada.ok("models", "promote", "fly@2", "production", "-r", "lab")
        lines = (await lab.ada.ok("models", "list", "-r", "lab")).splitlines()
        assert lines[0].split() == ["model", "aliases", "types", "loss", "made", "by", "online", "formats"]
        assert [line.split()[0] for line in lines[1:]] == [
            "fly@3", "fly@2", "fly@1", "j_00000005abcd", "j_00000004abcd",
        ]  # fmt: skip
        assert lines[2].split() == [
            "fly@2", "production", "centroid", "+", "centered_instance",
            "0.008", "1970-01-01", "ada", "1/1", "sleap-nn",
        ]  # fmt: skip
        assert [each["ref"] for each in await lab.listed("--name", "fly")] == ["fly@3", "fly@2", "fly@1"]
        assert (await lab.listed())[1]["aliases"] == ["production"]
    away = await lab.listed("--name", "fly")
    assert [holder["online"] for holder in away[0]["holders"]] == [False]


def on_terminal(*words: str, columns: int = 80) -> list[str]:
    """What a command shows on a terminal that is so wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    shown = b""
    with subprocess.Popen([*PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        # Linux says by an error that nobody holds the other end any more
        with suppress(OSError):
            while data := os.read(ours, 65536):
                shown += data
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode().splitlines()


async def test_a_list_fits_a_terminal_and_what_is_typed_again_stays_whole(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
        await lab.tell(gpu, *(told(number) for number in range(1, 6)), told(9, format="onnx", source=digest(2)))
        for alias in ("production", "best"):
            await lab.ada.ok("models", "promote", "fly@2", alias, "-r", "lab")
        lines = await asyncio.to_thread(on_terminal, "models", "list", "-r", "lab")
    assert max(map(len, lines)) <= 80
    cells = [re.split(r" {2,}", line) for line in lines]
    assert [row[0] for row in cells[1:]] == ["fly@3", "fly@2", "fly@1", "j_00000005", "j_00000004"]
    assert cells[2][4:] == ["1970-01-01", "ada", "1/1", "+onnx"]


async def test_a_reader_that_goes_away_ends_the_list_quietly(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
    read, write = os.pipe()
    os.close(read)
    ended = await asyncio.to_thread(
        subprocess.run, [*PROGRAM, "models", "list", "-r", "lab"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


async def test_a_list_is_of_one_format(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
        typed = await lab.ada.run("models", "list", "-r", "lab", "--format", "onnx")
        assert (typed.code, typed.out) == (0, "")
        assert "has a model as onnx" in typed.err
        held = [told(number) for number in range(1, 6)]
        exported = told(9, format="onnx", source=digest(2), job=None)
        await lab.tell(gpu, *held, exported)
        found = await lab.listed("--format", "onnx")
        assert [each["ref"] for each in found] == ["fly@2"]
        assert sorted(found[0]["formats"]) == ["onnx", "sleap-nn"]
        assert {each["format"]: each["digest"] for each in found[0]["holders"][0]["formats"]} == {
            "sleap-nn": digest(2), "onnx": digest(9),
        }  # fmt: skip


async def test_old_runs_without_a_name_are_listed_on_request(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await lab.tell(gpu, *(told(number) for number in range(1, 25)))
        typed = await lab.ada.run("models", "list", "-r", "lab")
        assert len(typed.out.splitlines()) == 1 + 20
        assert "4 older models without a name are not listed" in typed.err
        assert len(await lab.listed("--all")) == 24


async def test_show_tells_facts_holders_and_where_a_model_comes_from(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
        out = await lab.ada.ok("models", "show", "fly", "-r", "lab")
        facts, holders, chain = out.split("\n\n")
        for line in ("Model       fly@3", "Loss        0.01", "Job         j_00000003abcd", f"Digest      {digest(3)}"):
            assert line in facts.splitlines()
        assert holders.splitlines()[1].split() == ["lab-gpu-1", "online", "sleap-nn", "3.00", "kB", digest(3)]
        rows = [line.split() for line in chain.splitlines()[1:]]
        types = ["centroid", "+", "centered_instance"]
        assert [row[: -2 if len(row) > 2 else None] for row in rows] == [
            ["fly@3", *types, "0.01", "+25.0", "%"],
            ["└", "fly@2", *types, "0.008", "-20.0", "%"],
            ["└", "fly@1", *types, "0.01"],
        ]
        record = json.loads(await lab.ada.ok("models", "show", "fly@3", "-r", "lab", "--json"))
        assert [each["names"] for each in record["lineage"]] == [["fly@3"], ["fly@2"], ["fly@1"]]
        assert (record["ref"], record["unknown_ancestor"]) == ("fly@3", None)


async def test_a_chain_ends_where_the_room_knows_no_more_and_never_turns_in_circles(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await lab.tell(gpu, told(1, parent=2), told(2, parent=1), told(3, parent=0xABC))
        out = await lab.ada.ok("models", "show", "j_00000003abcd", "-r", "lab")
        assert f"└ {digest(0xABC)[:12]}… (not in this room)" in out
        assert "Aliases" not in out
        circle = json.loads(await lab.ada.ok("models", "show", "j_00000001", "-r", "lab", "--json"))
        assert [each["digest"] for each in circle["lineage"]] == [digest(1), digest(2)]
        assert circle["unknown_ancestor"] == digest(1)


async def test_an_alias_moves_and_is_taken_away(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
    ada = lab.ada
    assert await ada.ok("models", "promote", "fly@2", "best", "-r", "lab") == "fly@best is fly@2 now.\n"
    assert await ada.ok("models", "promote", "fly", "best", "-r", "lab") == "fly@best is fly@3 now; it was fly@2.\n"
    assert await ada.ok("models", "promote", "fly@3", "best", "-r", "lab") == "fly@best was fly@3 already.\n"
    moved = json.loads(await ada.ok("models", "promote", "fly@best", "good", "-r", "lab", "--json"))
    assert moved == {"name": "fly", "alias": "good", "version": 3, "was": None}
    assert "fly@best is fly@3, not @1; nothing was changed" in await lab.refused(
        2, "promote", "fly@1", "best", "--remove"
    )
    assert await ada.ok("models", "promote", "fly", "best", "--remove", "-r", "lab") == (
        "fly@best is gone; it was fly@3, which stays.\n"
    )
    assert "has no alias 'best'. Aliases: good." in await lab.refused(2, "promote", "fly", "best", "--remove")
    assert "cannot be an alias" in await lab.refused(2, "promote", "fly", "4th")
    assert "It has none yet." in await lab.refused(2, "promote", "j_00000005abcd", "best")
    assert [each["aliases"] for each in await lab.listed("--name", "fly")] == [["good"], [], []]


async def test_a_version_is_deleted_for_good_unless_an_alias_points_to_it(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
        await lab.name("mouse", 2)
        assert "There is no terminal to ask on" in (await lab.ada.run("models", "delete", "fly@1", "-r", "lab")).err
        assert "by its number: fly@1" in await lab.refused(2, "delete", "fly", "--yes")
        await lab.ada.ok("models", "promote", "fly@3", "best", "-r", "lab")
        assert "fly@3 is fly@best" in await lab.refused(2, "delete", "fly@3", "--yes")
        out = await lab.ada.ok("models", "delete", "fly@2", "--yes", "-r", "lab")
        assert out == "fly@2 is deleted from the room 'lab'; the model stays as mouse@1.\n"
        assert "has no version 2. There are: @1, @3." in await lab.refused(2, "show", "fly@2")
        assert "is mouse@1. Delete it by that name" in await lab.refused(2, "delete", "j_00000002abcd", "--yes")
        await lab.ada.ok("models", "delete", "j_00000004abcd", "--yes", "-r", "lab")
        assert [each["ref"] for each in await lab.listed()] == ["fly@3", "fly@1", "mouse@1", "j_00000005abcd"]


async def test_a_member_promotes_but_deletes_only_what_is_theirs(lab: Lab) -> None:
    grace = await person(lab.service, "grace")
    await join(lab.service, grace, await lab.api.room(lab.room))
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await lab.tell(gpu, told(1, user=grace.user_id), told(2))
    await lab.name("fly", 1, 2)
    await lab.ada.ok("login", "--name", "grace")
    assert await lab.ada.ok("models", "promote", "fly@2", "best", "-r", "lab") == "fly@best is fly@2 now.\n"
    await lab.ada.ok("models", "promote", "fly", "best", "--remove", "-r", "lab")
    assert "may delete it" in await lab.refused(3, "delete", "fly@2", "--yes")
    await lab.ada.ok("models", "delete", "fly@1", "--yes", "-r", "lab")
    assert [each["ref"] for each in await lab.listed()] == ["fly@2"]


async def test_what_there_is_not_is_said_with_what_is_called_nearly_so(lab: Lab) -> None:
    assert "None of its models has a name yet." in await lab.refused(2, "show", "fly")
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await flies(lab, gpu)
    await lab.name("beetle", 4)
    assert "has no model 'flies'" in await lab.refused(2, "show", "flies")
    assert "Did you mean fly?" in await lab.refused(2, "list", "--name", "Fyl")
    assert "It has: beetle, fly." in await lab.refused(2, "promote", "zzz", "best")
    assert "is called 'best'. Aliases: none." in await lab.refused(2, "show", "fly@best")
    assert "names no model" in await lab.refused(2, "show", "../fly")
    assert "knows no model that the job j_99999999" in await lab.refused(2, "show", "j_99999999")


async def test_a_job_is_meant_by_its_beginning_if_only_one_begins_so(lab: Lab) -> None:
    async with worker(lab.service, lab.token, Key(1)) as gpu:
        await lab.tell(gpu, told(1, job="j_00000001aaaa"), told(2, job="j_00000001bbbb"))
        assert "j_00000001aaaa, j_00000001bbbb. Type more" in await lab.refused(2, "show", "j_00000001")
        # a job that was resumed has left two
        await lab.tell(gpu, told(1, job="j_00000001aaaa"), told(3, job="j_00000001aaaa"))
        record = json.loads(await lab.ada.ok("models", "show", "j_00000001", "-r", "lab", "--json"))
        assert record["digest"] == digest(3)


async def test_nobody_else_sees_the_models_of_a_room(lab: Lab) -> None:
    await lab.ada.ok("login", "--name", "eve")
    for words in (["list"], ["show", "fly"], ["promote", "fly", "best"], ["delete", "fly@1", "--yes"]):
        assert "You belong to no room" in await lab.refused(2, *words)
