"""A job of somebody else is not there, whatever is asked about it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import ConflictError, NotFoundError
from sleap_rtc.jobs import attempts, intake
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.files import ChunksGet, FileGet, ManifestGet
from sleap_rtc.protocol.jobs import JobCommand, JobResume, JobShow, JobSpec, JobState, JobWatch
from sleap_rtc.protocol.streams import StreamRequest
from sleap_rtc.session.reading import read_whole
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.store import Store
from sleap_rtc.worker.service import Desk, JobService
from tests.jobs.conftest import OWNER, STRANGER, new_board
from tests.jobs.fakes import QUICK
from tests.session.linked import STEADY, linked, meeting

FOREIGN, UNKNOWN = "j_00000001", "j_00000002"
REQUESTS: list[tuple[type[Any], dict[str, Any]]] = [
    (JobShow, {}),
    (JobWatch, {"watch": 1}),
    (JobWatch, {"watch": 1, "log_offset": 0, "follow": False}),
    (JobCommand, {"command": "stop"}),
    (JobCommand, {"command": "cancel"}),
    (JobResume, {}),
]
STREAMS: list[tuple[type[StreamRequest], dict[str, Any]]] = [
    (ManifestGet, {}),
    (ChunksGet, {"file": 0}),
    (FileGet, {"file": 0, "offset": 0, "size": 1}),
]


@pytest.fixture
async def stranger(tmp_path: Path) -> AsyncIterator[Session]:
    """A link of somebody to a worker that has a job of somebody else, which is over and left a model."""
    board = new_board(tmp_path / "jobs", QUICK)
    spec = JobSpec(job=FOREIGN, owner=OWNER, name="labels.zip", manifest="0" * 64, submitted=1)
    folder = JobFolder.create(tmp_path / "jobs" / FOREIGN, spec)
    intake.enter(folder, JobState.FAILED, ErrorInfo(code="config", sentence="The config names /home/alice."))
    desk = Desk(board, Store(tmp_path / "store"))
    service = JobService(desk, Access(STRANGER), lambda: None)
    async with (
        meeting(timeouts=STEADY, worker_handlers=service.handlers, worker_producers=service.producers) as found,
        linked(found) as (session, _),
    ):
        before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
        yield session
        assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before
    await desk.close()
    desk.store.close()


async def test_no_request_tells_it_from_one_that_is_not_there(stranger: Session) -> None:
    for kind, fields in REQUESTS:
        answers = []
        for job in (FOREIGN, UNKNOWN):
            with pytest.raises(NotFoundError) as refused:
                await stranger.request(kind(job=job, **fields), Message)
            answers.append(refused.value.sentence.replace(job, ""))
        assert answers[0] == answers[1], kind.TYPE


async def test_no_byte_of_its_models_is_sent(stranger: Session) -> None:
    for kind, fields in STREAMS:
        answers = []
        for job in (FOREIGN, UNKNOWN):
            with pytest.raises(NotFoundError) as refused:
                await read_whole(stranger, kind, 1024, transfer=job, **fields)
            answers.append(refused.value.sentence.replace(job, ""))
        assert answers[0] == answers[1], kind.TYPE


async def test_what_a_job_has_left_is_not_listed_while_it_is_made_to_go_on(tmp_path: Path) -> None:
    """A job that runs could put a link there between two looks."""
    spec = JobSpec(job=FOREIGN, owner=OWNER, name="labels.zip", manifest="0" * 64, submitted=1)
    folder = JobFolder.create(tmp_path / "jobs" / FOREIGN, spec)
    intake.enter(folder, JobState.FAILED)
    desk = Desk(new_board(tmp_path / "jobs", QUICK), Store(tmp_path / "store"))
    assert (await desk.results(folder, Access(OWNER))).manifest.files == ()
    async with desk.going_on(FOREIGN):
        assert desk.hashed_results(FOREIGN, Access(OWNER)) is None
        asking = asyncio.ensure_future(desk.results(folder, Access(OWNER)))
        attempts.begin(folder)
        assert not asking.done()
    with pytest.raises(ConflictError, match="still running"):
        await asking
    await desk.close()
    desk.store.close()
