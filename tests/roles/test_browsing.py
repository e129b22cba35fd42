"""A client that looks into a worker's mounts, over a link in memory."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.client.link import WorkerLink
from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.client.remote import Place, RemoteWorker
from sleap_rtc.errors import BusyError, ConfigError, NotFoundError, ProtocolError, UnreachableError
from sleap_rtc.jobs.folder_listing import Look
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.protocol.mounts import ABILITY, FolderGet, MountInfo
from sleap_rtc.worker.browsing import Browser, BrowsingService
from tests.session.linked import CLIENT, STEADY, accepting, meeting


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(b"video")
    return folder


@asynccontextmanager
async def browsing(
    lab: Path, *, patience: float = 5.0, abilities: tuple[str, ...] = (ABILITY,)
) -> AsyncIterator[RemoteWorker]:
    """A client of a worker that has one mount."""
    browser = Browser(Mounts({"lab": lab}, writable=["lab"]), patience)
    service = BrowsingService(browser)
    async with meeting(timeouts=STEADY, worker_handlers=service.handlers, worker_producers=service.producers) as found:
        found.worker_settings = replace(found.worker_settings, abilities=abilities)
        async with accepting(found):
            worker = RemoteWorker(PendingJobs(), Place("", CLIENT.room))
            worker.link = WorkerLink(
                found.client, lambda: CLIENT, found.identity.worker_id, found.client_settings, acquaintance=None
            )
            running = asyncio.ensure_future(worker.link.run())
            yield worker
            running.cancel()
            await asyncio.wait({running})
    browser.close()


async def test_mounts_are_told_without_where_they_are(lab: Path) -> None:
    async with browsing(lab) as worker:
        assert await worker.mounts() == [MountInfo(label="lab", rw=True)]
        listing = await worker.folder("lab:/")
        assert [each.name for each in listing.entries] == ["a.mp4"]
        with pytest.raises(NotFoundError, match="'lab:/b' on this worker does not exist") as missing:
            await worker.folder("lab:/b")
        with pytest.raises(ConfigError, match="no place below a mount"):
            await worker.folder(str(lab))
        assert str(lab) not in missing.value.sentence


async def test_a_worker_that_knows_no_mounts_is_not_asked(lab: Path) -> None:
    async with browsing(lab, abilities=()) as worker:
        with pytest.raises(ProtocolError, match="too old"):
            await worker.mounts()
        with pytest.raises(ProtocolError, match="too old"):
            await worker.folder("lab:/")


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A disk that answers nothing until this is set."""
    answer = threading.Event()
    honest = Look.run

    def hang(look: Look) -> None:
        answer.wait(30)
        honest(look)

    monkeypatch.setattr(Look, "run", hang)
    yield answer
    answer.set()


async def test_a_disk_that_hangs_costs_nobody_else(lab: Path, hanging: threading.Event) -> None:
    async with browsing(lab, patience=0.1) as worker:
        with pytest.raises(UnreachableError, match="could not be listed in time"):
            await worker.folder("lab:/")
        assert len(await worker.mounts()) == 1
        hanging.set()
        assert len((await worker.folder("lab:/")).entries) == 1


async def test_one_folder_at_a_time_is_listed_over_a_link(lab: Path, hanging: threading.Event) -> None:
    browser = Browser(Mounts({"lab": lab}), 0.1)
    produce = BrowsingService(browser).producers[FolderGet]
    request = FolderGet(stream=1, lane=0, window=0, place="lab:/")
    nobody: Any = None
    answers = await asyncio.gather(*(produce(nobody, request, nobody) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [UnreachableError, BusyError, BusyError]
    browser.close()
