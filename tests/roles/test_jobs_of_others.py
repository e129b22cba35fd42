"""Somebody else's job, by its id, over a proven link: it looks like none, and nothing of it changes."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sleap_rtc.errors import BusyError, ConflictError, NotFoundError, SleapRTCError
from sleap_rtc.jobs import attempts
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.bundles_shelf import BundleShelf
from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.intake import end, enter
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import ChunksGet, FileEntry, FileGet, Manifest, ManifestGet, ManifestRef
from sleap_rtc.protocol.inspecting import JobInspect, JobInspected
from sleap_rtc.protocol.jobs import (
    JobAccepted,
    JobAgain,
    JobCommand,
    JobEvents,
    JobList,
    JobListed,
    JobLog,
    JobResume,
    JobShow,
    JobSpec,
    JobState,
    JobSubmit,
    JobWatch,
    JobWatchEnded,
    Owner,
    RunEnded,
)
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.streams import StreamRequest
from sleap_rtc.protocol.zipping import zip_of
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transfer.store import Store
from sleap_rtc.worker.desk import Desk
from sleap_rtc.worker.inspecting import InspectService
from sleap_rtc.worker.model_service import ModelDesk
from sleap_rtc.worker.service import MAX_WATCHES, JobService
from tests.jobs.conftest import OWNER, STRANGER, new_board, submit, training_config, write_package
from tests.jobs.fakes import QUICK
from tests.session.linked import STEADY, linked, meeting

RUNNING, DONE, UNKNOWN, AGAIN = "j_11111111", "j_22222222", "j_33333333", "j_55555555"
ELSEWHERE = Owner(user=OWNER.user, name=OWNER.name, room="r_other1234")


def new_desk(board: JobBoard, folder: Path) -> Desk:
    store = Store(folder / "store")
    return Desk(board, store, ModelDesk(BundleShelf(folder / "models"), store))


async def hear(_: Session, message: Message) -> Message:
    return Done()


@dataclass
class Worker:
    """A worker with two jobs of `OWNER`: one that runs, and one that is done and has a model."""

    folder: Path
    board: JobBoard
    desk: Desk

    def everything(self) -> dict[str, str]:
        """All that is on its disk but for the index of its store, whose bytes move by being looked at."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and "index" not in path.name]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}

    @asynccontextmanager
    async def serving(self, who: Owner, *, owns_room: bool = False) -> AsyncIterator[Session]:
        """A link of somebody."""
        access = Access(who, owns_room=owns_room)
        service = JobService(self.desk, access, lambda: None)
        inspecting = InspectService(self.desk, access, lambda: None)
        async with (
            meeting(
                timeouts=STEADY,
                client_handlers=dict.fromkeys((JobEvents, JobLog, JobWatchEnded), hear),
                worker_handlers={**service.handlers, **inspecting.handlers},
                worker_producers=Provider(service.offering).producers,
            ) as found,
            linked(found) as (client, _),
        ):
            yield client


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    folder = tmp_path / "worker"
    board = new_board(folder / "jobs", QUICK)
    package = write_package(tmp_path / "package", {"one": training_config()})
    running, done = await submit(board, package, RUNNING), await submit(board, package, DONE)
    enter(running, JobState.STARTING)
    enter(running, JobState.RUNNING)
    leave_a_model(done)
    desk = new_desk(board, folder)
    yield Worker(folder, board, desk)
    await desk.close()
    desk.store.close()


def leave_a_model(folder: JobFolder) -> None:
    (folder.models / "one").mkdir()
    (folder.models / "one" / "best.ckpt").write_bytes(b"secret model")
    for state in (JobState.STARTING, JobState.RUNNING):
        enter(folder, state)
    with Journal(folder.events) as journal:
        journal.append(RunEnded(outcome="done", folder="one", metrics={}), "one")
    enter(folder, JobState.FINISHING)
    end(folder, JobState.DONE)


async def asked(session: Session, job: str, what: str) -> SleapRTCError | Message:
    """What comes of it."""
    manifest = Manifest(files=(FileEntry(path="a", size=1, sha256="0" * 64),))
    requests: dict[str, tuple[Message, type[Message]]] = {
        "show": (JobShow(job=job), JobAccepted),
        "watch": (JobWatch(job=job, watch=1), Done),
        "logs": (JobWatch(job=job, watch=1, since=2**40, log_offset=0, follow=False), Done),
        "stop": (JobCommand(job=job, command="stop"), Done),
        "cancel": (JobCommand(job=job, command="cancel"), Done),
        "resume": (JobResume(job=job), JobAccepted),
        "again": (JobAgain(job=job, new=AGAIN), JobAccepted),
        "submit": (JobSubmit(job=job, name="mine", manifest=ManifestRef.of(manifest)), JobAccepted),
        "inspect": (JobInspect(job=job, name="mine", manifest=ManifestRef.of(manifest)), JobInspected),
    }
    transfer = job if not what.startswith("zip ") else zip_of(job)
    streams: dict[str, tuple[type[StreamRequest], dict[str, object]]] = {
        "manifest": (ManifestGet, {}),
        "chunks": (ChunksGet, {"file": 0}),
        "file": (FileGet, {"file": 0, "offset": 0, "size": 1}),
    }
    try:
        if what in requests:
            return await session.request(*requests[what])
        kind, fields = streams[what.removeprefix("zip ")]
        with await session.slot(100) as slot:
            async with session.ask(slot, kind, transfer=transfer, **fields) as stream:
                await stream.read_all(1000)
        return Done()
    except SleapRTCError as error:
        return error


ACTS = (
    "show",
    "watch",
    "logs",
    "stop",
    "cancel",
    "resume",
    "again",
    "submit",
    "inspect",
    "manifest",
    "chunks",
    "file",
    "zip manifest",
    "zip chunks",
    "zip file",
)


@pytest.mark.parametrize("who", [STRANGER, ELSEWHERE], ids=["another user", "the same user in another room"])
async def test_a_foreign_job_looks_like_none_and_nothing_changes(worker: Worker, who: Owner) -> None:
    # the owner's own results are known and hashed: that opens them to nobody
    async with worker.serving(OWNER) as owner:
        assert isinstance(await asked(owner, DONE, "manifest"), Done)
        assert isinstance(await asked(owner, DONE, "zip manifest"), Done)
    before = worker.everything()
    async with worker.serving(who) as stranger:
        for job in (RUNNING, DONE):
            for what in ACTS:
                answer = await asked(stranger, job, what)
                assert isinstance(answer, NotFoundError), what
                assert answer.sentence == f"This worker has no job {job}."
        for what in set(ACTS) - {"submit", "inspect"}:
            unknown = await asked(stranger, UNKNOWN, what)
            assert isinstance(unknown, NotFoundError), what
            assert unknown.sentence == f"This worker has no job {UNKNOWN}."
        assert stranger.close_reason is None
    assert worker.everything() == before
    assert JobFolder(worker.folder / "jobs" / RUNNING).commands() == set()


def inputs(folder: JobFolder) -> dict[str, bytes]:
    root = folder.inputs
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("who", "owns_room"), [(OWNER, False), (STRANGER, True)], ids=["the owner", "the room's owner"]
)
async def test_whoever_may_act_on_a_job_submits_it_again_as_their_own(
    worker: Worker, who: Owner, owns_room: bool
) -> None:
    async with worker.serving(who, owns_room=owns_room) as session:
        for _ in range(2):  # an answer that was lost: asked again, it is the same job
            answer = await asked(session, DONE, "again")
            assert isinstance(answer, JobAccepted)
            assert (answer.job.job, answer.job.state, answer.job.attempt) == (AGAIN, JobState.QUEUED, 1)
            said = answer.manifest, answer.options
    source, new = (JobFolder(worker.folder / "jobs" / job) for job in (DONE, AGAIN))
    assert (new.spec().owner, new.spec().options) == (who, source.spec().options)
    assert said == (source.spec().manifest, source.spec().options)
    assert inputs(new) == inputs(source) != {}
    assert [run.name for run in new.spec().runs] == ["one"]
    assert not (new.models / "one").exists()


async def test_what_was_begun_of_it_before_a_crash_is_begun_anew(worker: Worker) -> None:
    source = JobFolder(worker.folder / "jobs" / DONE)
    spec = source.spec().model_copy(update={"job": AGAIN, "runs": ()})
    half = JobFolder.create(worker.folder / "jobs" / AGAIN, spec)
    (half.inputs / "labels.pkg.slp").write_bytes(b"half")
    (half.inputs / "left.yaml").write_bytes(b"{}")
    async with worker.serving(OWNER) as owner:
        assert isinstance(await asked(owner, DONE, "again"), JobAccepted)
        same = await asked(owner, AGAIN, "again")
    assert isinstance(same, ConflictError)
    assert inputs(half) == inputs(source)


async def test_owning_another_room_opens_nothing(worker: Worker) -> None:
    before = worker.everything()
    async with worker.serving(ELSEWHERE.model_copy(update={"user": "u_boss12345"}), owns_room=True) as stranger:
        for what in ACTS:
            assert isinstance(await asked(stranger, DONE, what), NotFoundError)
        listed = await stranger.request(JobList(all=True), JobListed)
    assert listed.jobs == ()
    assert worker.everything() == before


async def test_a_list_names_foreign_jobs_as_not_mine_and_tells_no_more(worker: Worker) -> None:
    async with worker.serving(STRANGER) as stranger:
        listed = await stranger.request(JobList(all=True), JobListed)
    assert {job.job for job in listed.jobs} == {RUNNING, DONE}
    assert not any(job.mine or job.runs or job.error for job in listed.jobs)


async def test_a_link_watches_no_more_jobs_than_the_worker_can_look_at(worker: Worker) -> None:
    async with worker.serving(OWNER) as owner:
        for number in range(1, MAX_WATCHES + 1):
            await owner.request(JobWatch(job=RUNNING, watch=number, since=2**40), Done)
        with pytest.raises(BusyError, match="watched over this link already"):
            await owner.request(JobWatch(job=RUNNING, watch=999), Done)
        assert isinstance(await asked(owner, RUNNING, "show"), JobAccepted)


async def test_a_watch_that_has_ended_makes_room_for_another(worker: Worker) -> None:
    async with worker.serving(OWNER) as owner:
        for number in range(1, 2 * MAX_WATCHES):
            while True:
                try:
                    await owner.request(JobWatch(job=DONE, watch=number, since=2**40, follow=False), Done)
                except BusyError:
                    await asyncio.sleep(0)
                else:
                    break


# code in a message


def reduce(canary: Path) -> dict[str, object]:
    """What jsonpickle would run."""
    return {"py/reduce": [{"py/function": "os.system"}, {"py/tuple": [f"touch {canary}"]}]}


def messages_with(evil: dict[str, object]) -> list[object]:
    submit = {"type": "job.submit", "id": 1, "job": "j_44444444", "name": "n"}
    command = {"type": "job.command", "id": 1, "job": RUNNING}
    return [
        evil, [evil], {"type": evil}, {"type": "py/reduce", "py/object": "os.system"} | evil,
        {"type": "job.show", "id": 1, "job": evil},
        *(command | {"command": text} for text in (evil, "py/reduce", json.dumps(evil), "stop; touch x", "STOP")),
        submit | {"name": evil, "manifest": evil}, submit | {"manifest": {}, "options": evil},
        submit | {"manifest": {"size": 2, "digest": evil}},
    ]  # fmt: skip


async def test_code_in_a_control_message_is_never_run(worker: Worker, tmp_path: Path) -> None:
    before = worker.everything()
    for message in messages_with(reduce(tmp_path / "canary")):
        async with worker.serving(OWNER) as owner:
            await owner._channel.send(json.dumps(message))
            # whatever becomes of the link, it is read before the next message
            await asked(owner, RUNNING, "show")
    async with worker.serving(OWNER) as owner:
        assert isinstance(await asked(owner, RUNNING, "show"), JobAccepted)
    assert worker.everything() == before
    assert not (tmp_path / "canary").exists()


async def test_code_beside_an_honest_command_is_ignored(worker: Worker, tmp_path: Path) -> None:
    text = {"type": "job.show", "id": 7, "job": RUNNING} | reduce(tmp_path / "canary")
    async with worker.serving(OWNER) as owner:
        await owner._channel.send(json.dumps(text))
        assert isinstance(await asked(owner, RUNNING, "show"), JobAccepted)
        assert owner.close_reason is None
    assert not (tmp_path / "canary").exists()


async def test_what_a_job_has_left_is_not_listed_while_it_is_made_to_go_on(tmp_path: Path) -> None:
    """A job that runs could put a link there between two looks."""
    spec = JobSpec(job=DONE, owner=OWNER, name="labels.zip", manifest="0" * 64, submitted=1)
    folder = JobFolder.create(tmp_path / "jobs" / DONE, spec)
    enter(folder, JobState.FAILED)
    desk = new_desk(new_board(tmp_path / "jobs", QUICK), tmp_path)
    assert (await desk.results(folder)).manifest.files == ()
    async with desk.going_on(DONE):
        assert desk.hashed_results(DONE, Access(OWNER)) is None
        asking = asyncio.ensure_future(desk.results(folder))
        attempts.begin(folder)
        assert not asking.done()
    with pytest.raises(ConflictError, match="still running"):
        await asking
    await desk.close()
    desk.store.close()
