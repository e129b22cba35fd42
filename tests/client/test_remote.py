"""What a client makes of a worker's reports."""

from sleap_rtc.client.upload import Upload
from sleap_rtc.protocol.files import FileEntry, Manifest, TransferProgress
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
