"""What a client makes of a worker's reports."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from sleap_rtc.client.package import Package
from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.client.remote import Place, RemoteWorker
from sleap_rtc.client.upload import Upload
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import FileEntry, Manifest, TransferProgress
from sleap_rtc.protocol.jobs import JobAccepted, JobShow, JobState, JobSubmit, JobSummary
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.source import FilesSource

TOTAL = 1000


def upload_of(told: list[tuple[int, int, int]], paused: list[str | None]) -> Upload:
    manifest = Manifest(files=(FileEntry(path="a", size=TOTAL, sha256="0" * 64),))
    return Upload(
        Offering(manifest, [], FilesSource({})),
        lambda sent, total, already: told.append((sent, total, already)),
        paused.append,
    )


def report(here: int, arrived: int, paused: str | None = None) -> TransferProgress:
    return TransferProgress(transfer="t", here=here, arrived=arrived, paused=paused)


def test_what_an_earlier_link_brought_was_sent_and_not_there_already() -> None:
    told: list[tuple[int, int, int]] = []
    upload = upload_of(told, [])
    first, second = object.__new__(Session), object.__new__(Session)
    upload.count(first, report(100, 300))
    upload.count(second, report(0, 0))
    upload.count(second, report(400, 0))
    upload.count(second, report(400, 600))
    assert told == [(300, TOTAL, 100), (300, TOTAL, 100), (300, TOTAL, 100), (900, TOTAL, 100)]


def test_a_worker_that_exaggerates_changes_no_more_than_the_display() -> None:
    told: list[tuple[int, int, int]] = []
    upload = upload_of(told, [])
    upload.count(object.__new__(Session), report(2**61, 2**61))
    assert told == [(TOTAL, TOTAL, 0)]


def test_a_pause_is_told_once_and_its_end_too() -> None:
    paused: list[str | None] = []
    upload = upload_of([], paused)
    session = object.__new__(Session)
    for sentence in ("The disk is full.\x1b[2J", "The disk is full.\x1b[2J", None, None):
        upload.count(session, report(0, 0, sentence))
    assert len(paused) == 2
    assert paused[1] is None
    assert "\x1b" not in str(paused[0])


class _Link:
    """A link to a worker that has the job in a state, and notes what it is asked."""

    worker_id = "w_12345678"

    def __init__(self, state: JobState) -> None:
        self.state = state
        self.asked: list[Message] = []

    async def call(self, work: Callable[["_Link"], Awaitable[JobAccepted]]) -> JobAccepted:
        return await work(self)

    async def request(self, message: JobShow | JobSubmit, _: type[Message], timeout: float = 0) -> JobAccepted:
        self.asked.append(message)
        return JobAccepted(job=JobSummary(job=message.job, name="a", state=self.state, submitted=1, owner="Alice"))


@pytest.mark.parametrize(
    ("state", "sent"), [(JobState.RECEIVED, True), (JobState.STAGED, True), (JobState.QUEUED, False)]
)
async def test_the_same_command_sends_again_what_the_worker_has_not_queued(state: JobState, sent: bool) -> None:
    manifest = Manifest(files=(FileEntry(path="a", size=TOTAL, sha256="0" * 64),))
    package = Package("a", Offering(manifest, [], FilesSource({})))
    worker = RemoteWorker(PendingJobs(), Place("http://127.0.0.1:1", "r_lab12345"))
    worker.link = link = cast(Any, _Link(state))
    first = await worker.submit(package)
    link.asked.clear()
    assert (await worker.submit(package)).id == first.id
    assert [message.TYPE for message in link.asked] == ["job.show", "job.submit"][: 1 + sent]
