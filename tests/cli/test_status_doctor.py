"""``status`` and ``doctor``: what they say, and what their exit codes mean."""

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sleap_rtc.cli.doctor.check import Check, Finding, Scene, Status, ok, warn
from sleap_rtc.cli.doctor.files import check_settings, look_at_permissions
from sleap_rtc.cli.doctor.link import check_ice, check_link
from sleap_rtc.cli.doctor.machine import check_disk, check_engines, check_gpu, check_python, check_trainer
from sleap_rtc.cli.doctor.run import CHECKS, examine, failed
from sleap_rtc.cli.doctor.service import check_login, check_service
from sleap_rtc.cli.survey import StoreUse, local_jobs, look_around, store_use
from sleap_rtc.client.pending import PendingJob, PendingJobs, content_of
from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.config.paths import home
from sleap_rtc.config.settings import Settings, WorkerSection
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConfigError, UnreachableError
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.jobs.gpus import Gpu
from sleap_rtc.protocol.files import FileEntry
from sleap_rtc.protocol.jobs import JobSpec, JobState, Owner
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.protocol.tokens import make_token
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.transfer.chunker import Chunker
from sleap_rtc.transfer.store import Store
from tests.cli.room_lab import RoomLab, room_lab

NOWHERE = "http://127.0.0.1:9"
DOCS = Path(__file__).resolve().parents[2] / "docs" / "doctor.md"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


def scene(server: str = NOWHERE, **changes: object) -> Scene:
    found = Scene(
        settings=Settings(server=server),
        settings_error=None,
        server=server,
        engine="auto",
        home=home(),
        jobs=home() / "jobs",
        timeouts=Timeouts(gathering=0.5, request=5, connect=5),
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def write_job(folder: Path, job: str, state: JobState | None, submitted: int = 1) -> JobFolder:
    folder.mkdir(parents=True, exist_ok=True)
    owner = Owner(user="u_alice1234", name="Alice", room="r_lab12345")
    spec = JobSpec(job=job, owner=owner, name="flies", manifest="0" * 64, submitted=submitted)
    found = JobFolder.create(folder / job, spec)
    if state:
        found.write_state(StateRecord(state=state, t=1))
    (found.work / "model.ckpt").write_bytes(bytes(1000))
    return found


async def test_status_shows_the_whole_picture(lab: RoomLab) -> None:
    write_job(lab.home / "jobs", "j_aaaaaaaa", JobState.RUNNING)
    PendingJobs().write(
        PendingJob(job="j_bbbbbbbb", name="mice.zip", content="c", server=lab.service.url, room=lab.room.room_id,
                   worker_id="w_x", worker_name="large", since=1)
    )  # fmt: skip
    (lab.home / "config.toml").write_text('default_room = "lab"\n')
    fill_store(lab.home / "store", bytes(30_000))
    async with lab.worker("large", 80):
        shown = await lab.run("status")
        told = json.loads((await lab.run("status", "--json")).out)
    assert shown.code == 0, shown.err
    for words in ("Logged in as ada", lab.service.url, "lab (default)", lab.room.room_id, "owner", "large", "80 GiB",
                  "j_bbbbbbbb", "mice.zip", "1 running", "j_aaaaaaaa", "Alice", "30.0 kB of at most"):  # fmt: skip
        assert words in shown.out
    assert told["login"]["name"] == "ada"
    assert told["service"]["reachable"]
    assert [room["name"] for room in told["rooms"]] == ["lab"]
    assert [worker["name"] for worker in told["workers"]] == ["large"]
    assert [job["job"] for job in told["pending"]] == ["j_bbbbbbbb"]
    assert told["local"]["jobs"][0]["state"] == "running"
    assert told["local"]["size"] > 1000
    assert told["store"]["size"] == 30_000
    assert told["store"]["folder"] == str(lab.home / "store")
    assert "slpu_" not in shown.out + json.dumps(told)


async def test_status_works_with_the_service_down() -> None:
    write_job(home() / "jobs", "j_aaaaaaaa", JobState.DONE)
    Credentials().keep_login(NOWHERE, Login("slpu_x", "u_ada12345", "ada", None))
    survey = await look_around(Settings(server=NOWHERE, default_room="lab"), Timeouts(request=2))
    assert survey.version is None
    assert survey.login
    assert ["cannot be reached" in problem for problem in survey.problems] == [True]
    assert [job.state for job in survey.local] == ["done"]


def fill_store(folder: Path, content: bytes) -> None:
    chunker = Chunker(len(content))
    chunker.feed(content)
    sha256, chunks = chunker.finish()
    entry = FileEntry(path="labels.pkg.slp", size=len(content), sha256=sha256, chunks=chunks.digest)
    with closing(Store(folder)) as store, closing(store.begin("lab/ada", entry, chunks)) as part:
        part.write(0, content)
        part.publish()


def test_the_size_of_the_store_is_told_and_looking_makes_none(tmp_path: Path) -> None:
    assert store_use(tmp_path / "store", None) is None
    assert not (tmp_path / "store").exists()
    fill_store(tmp_path / "store", bytes(30_000))
    assert store_use(tmp_path / "store", 10**9) == StoreUse(tmp_path / "store", 30_000, 10**9)
    use = store_use(tmp_path / "store", None)
    assert use
    assert use.max_bytes == shutil.disk_usage(tmp_path).total // 10


def test_looking_at_a_store_leaves_it_as_it_is(tmp_path: Path) -> None:
    fill_store(tmp_path / "store", bytes(30_000))
    (tmp_path / "store" / "index.db").write_bytes(b"damaged")
    before = sorted((tmp_path / "store").rglob("*"))
    assert store_use(tmp_path / "store", 10) == StoreUse(tmp_path / "store", 30_000, 10)
    assert sorted((tmp_path / "store").rglob("*")) == before


async def test_a_store_that_cannot_be_read_is_a_problem_and_no_failure() -> None:
    (home() / "store").mkdir()
    (home() / "store" / "files").write_text("in the way")
    survey = await look_around(Settings(server=NOWHERE), Timeouts(request=2))
    assert survey.store is None
    assert str(home() / "store") in survey.problems[-1]


def test_local_jobs_are_listed_in_order_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    write_job(tmp_path, "j_bbbbbbbb", JobState.DONE, submitted=1)
    write_job(tmp_path, "j_aaaaaaaa", None, submitted=2)
    damaged = write_job(tmp_path, "j_cccccccc", JobState.DONE)
    (damaged.path / "spec.json").write_text("{")
    (tmp_path / ".j_half").mkdir()
    found = local_jobs(tmp_path)
    assert [(job.job, job.name, job.state) for job in found] == [
        ("j_cccccccc", "", None), ("j_bbbbbbbb", "flies", "done"), ("j_aaaaaaaa", "flies", "received")
    ]  # fmt: skip
    assert local_jobs(tmp_path / "nowhere") == []


def test_the_journal_finds_a_job_in_its_room(tmp_path: Path) -> None:
    journal = PendingJobs(tmp_path)
    content = content_of("0" * 64, TrainOptions())
    first = PendingJob(job="j_aaaaaaaa", content=content, server="s", room="r", worker_id="w_a", since=1)
    later = first.model_copy(update={"job": "j_bbbbbbbb", "worker_id": "w_b", "since": 2})
    for job in (later, first):
        journal.write(job)
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / ("0" * 32 + ".json")).write_text('{"job": "j_torn')
    assert journal.all() == [first, later]
    assert journal.find("w_a", content) == first
    assert journal.find_in_room("s", "r", content) == later
    for place in (("other", "r", content), ("s", "other", content), ("s", "r", "other")):
        assert journal.find_in_room(*place) is None
    journal.forget("j_bbbbbbbb")
    assert journal.find_in_room("s", "r", content) == first


async def test_doctor_finds_nothing_broken_where_all_is_well(lab: RoomLab) -> None:
    result = await lab.run("doctor", "--json")
    told = json.loads(result.out)
    assert result.code == 0, told
    assert told["ok"]
    found = {check["name"]: check for check in told["checks"]}
    assert list(found) == [check.name for check in CHECKS]
    for name in ("python", "permissions", "engine", "service", "login", "link"):
        assert found[name]["status"] == "ok", found[name]
    assert found["login"]["details"]["name"] == "ada"
    assert found["link"]["details"]["bytes_per_second"] > 0
    assert "slpu_" not in result.out


async def test_doctor_says_a_line_a_check_and_fails_when_one_fails(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sleap_rtc", "doctor", "--server", NOWHERE,
        cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = (text.decode() for text in await process.communicate())
    assert process.returncode == 1
    assert f"FAIL  service      The signaling service at {NOWHERE} cannot be reached" in out
    assert sorted(line[6:].split()[0] for line in out.splitlines()) == sorted(check.name for check in CHECKS)
    assert "1 failed" in err


async def test_the_service_and_its_clock(lab: RoomLab, monkeypatch: pytest.MonkeyPatch) -> None:
    there = scene(lab.service.url)
    found = await check_service(there)
    assert (found.status, found.details["clock_difference"]) == (Status.OK, 0.0)
    now = time.time()
    monkeypatch.setattr("sleap_rtc.cli.doctor.service._now", lambda: now + 3600)
    found = await check_service(there)
    assert found.status is Status.WARN
    assert "clock is 1 h 0 m ahead" in found.sentence
    with pytest.raises(UnreachableError):
        await check_service(scene())


async def test_the_login(lab: RoomLab) -> None:
    there = scene(lab.service.url)
    assert (await check_login(there)).status is Status.OK
    assert (await check_login(scene())).status is Status.WARN
    Credentials().keep_login(NOWHERE, Login("slpu_x", "u_ada12345", "ada", None))
    assert (await check_login(scene())).status is Status.SKIP
    stale = Login(make_token("access", os.urandom(32)), "u_ada12345", "ada", None)
    Credentials().keep_login(lab.service.url, stale)
    found = await check_login(there)
    assert found.status is Status.FAIL
    assert stale.access_token not in str(found)


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
async def test_a_link_carries_data_on_each_engine(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleap_rtc.cli.doctor.link.MESSAGES", 8)
    found = await check_link(scene(engine=engine))
    assert found.status in (Status.OK, Status.WARN)  # warn: slow, which a test must not mind
    assert found.details["engine"] == engine
    assert found.details["bytes"] == 8 * {"libwebrtc": 256, "aiortc": 64}[engine] * 1024


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
async def test_addresses_are_counted_and_a_silent_server_is_noticed(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await check_ice(scene(engine=engine))
    assert "STUN and TURN were not tried" in found.sentence or not found.details["host"]
    # a server that nobody runs: the discard port of this machine
    silent = [
        IceServer(urls=["stun:127.0.0.1:9"]),
        IceServer(urls=["turn:127.0.0.1:9?transport=udp"], username="u", credential="c"),
    ]
    for servers, words in ((silent, "TURN"), (silent[:1], "STUN")):

        async def given(_: Scene, servers: list[IceServer] = servers) -> tuple[list[IceServer], str]:
            return servers, ""

        monkeypatch.setattr("sleap_rtc.cli.doctor.link.ice_servers", given)
        found = await check_ice(scene(engine=engine))
        assert found.status is Status.WARN
        assert f"service's {words} server" in found.sentence


async def test_the_services_ice_servers_are_asked_for(lab: RoomLab) -> None:
    found = await check_ice(scene(lab.service.url))
    assert "names no STUN or TURN server" in found.sentence or not found.details["host"]


async def test_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleap_rtc.cli.doctor.machine.available_engines", lambda: ["aiortc"])
    assert (await check_engines(scene())).status is Status.WARN
    assert (await check_engines(scene(engine="libwebrtc"))).status is Status.FAIL
    monkeypatch.setattr("sleap_rtc.cli.doctor.machine.available_engines", list)
    assert (await check_engines(scene())).status is Status.FAIL


async def test_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await check_python(scene())).status is Status.OK
    monkeypatch.setattr("sleap_rtc.cli.doctor.machine.sleap_nn_version", lambda: None)
    assert (await check_trainer(scene())).status is Status.WARN
    monkeypatch.setattr("sleap_rtc.cli.doctor.machine.find_gpus", list)
    assert (await check_gpu(scene())).status is Status.WARN
    monkeypatch.setattr("sleap_rtc.cli.doctor.machine.find_gpus", lambda: [Gpu("A100", 81920, "GPU-1")])
    monkeypatch.setattr("sleap_rtc.cli.doctor.machine._version", lambda name: "2.8.0+cu128")
    assert (await check_gpu(scene())).sentence == "A100 (80 GiB)."
    monkeypatch.setattr("sleap_rtc.cli.doctor.machine._version", lambda name: "2.8.0+cpu")
    assert (await check_gpu(scene())).status is Status.WARN


async def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await check_disk(scene(jobs=tmp_path / "not" / "made" / "yet"))).details["folder"]
    assert not (tmp_path / "not").exists()

    class Usage:
        total, free = 10**12, 10**10

    monkeypatch.setattr("sleap_rtc.cli.doctor.machine.shutil.disk_usage", lambda path: Usage)
    found = await check_disk(scene(jobs=tmp_path))
    assert found.status is Status.WARN
    assert "Only 10.0 GB of 1.00 TB" in found.sentence
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(
        "sleap_rtc.cli.doctor.machine.tempfile.TemporaryFile",
        lambda dir: (_ for _ in ()).throw(refused),  # noqa: A006
    )
    assert (await check_disk(scene(jobs=tmp_path))).status is Status.FAIL


def test_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert look_at_permissions(tmp_path).status is Status.OK
    tmp_path.chmod(0o755)
    assert look_at_permissions(tmp_path).status is Status.WARN
    for name in ("credentials.json", "room_secrets.json"):
        (tmp_path / name).write_text("{}")
        (tmp_path / name).chmod(0o644)
        found = look_at_permissions(tmp_path)
        assert found.status is Status.FAIL
        assert f"chmod 600 {tmp_path / name}" in found.sentence
        (tmp_path / name).chmod(0o600)


async def test_settings() -> None:
    assert (await check_settings(scene())).status is Status.OK
    broken = await check_settings(scene(settings_error=ConfigError("a.toml, line 1: no.")))
    assert broken.status is Status.FAIL
    assert "a.toml, line 1" in broken.sentence
    assert (await check_settings(scene(settings=Settings(warnings=("odd",))))).status is Status.WARN
    for key in ("slp_mistyped", make_token("access", os.urandom(32))):
        found = await check_settings(scene(settings=Settings(worker=WorkerSection(api_key=key))))
        assert found.status is Status.FAIL
        assert key not in found.sentence
    key = make_token("worker", os.urandom(32))
    assert (await check_settings(scene(settings=Settings(worker=WorkerSection(api_key=key))))).status is Status.OK


async def test_a_check_that_breaks_or_hangs_does_not_end_the_others() -> None:
    seen: list[str] = []

    async def fine(_: Scene) -> Finding:
        return ok("fine")

    async def broken(_: Scene) -> Finding:
        raise ZeroDivisionError("oops")

    async def grouped(_: Scene) -> Finding:
        async with asyncio.TaskGroup():
            raise UnreachableError("Nobody there.")

    async def hanging(_: Scene) -> Finding:
        await asyncio.Event().wait()
        return warn("never")

    checks = [
        Check("measure", fine, alone=True),
        *(Check(run.__name__, run) for run in (broken, grouped, hanging, fine)),
    ]
    found = await examine(scene(), lambda check, _: seen.append(check.name), checks, longest=0.2)
    assert list(found) == ["measure", "broken", "grouped", "hanging", "fine"]
    assert seen[-1] == "measure"
    assert failed(list(found.values()))
    assert "ZeroDivisionError" in found["broken"].sentence
    assert found["grouped"].sentence == "Nobody there."
    assert "longer than 0.2 s" in found["hanging"].sentence
    assert not failed([found["fine"]])


def test_every_check_is_on_the_page() -> None:
    text = DOCS.read_text("utf-8")
    for check in CHECKS:
        assert f"\n## {check.name}\n" in text
