"""A client asks what a worker would train, and submits it: no byte is sent twice, whatever happens in between."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sleap_rtc.errors import BusyError, ConfigError, ConflictError, ConnectionLost, SleapRTCError, UnreachableError
from sleap_rtc.jobs.access import Access
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import FileGet, ManifestRef, TransferProgress
from sleap_rtc.protocol.inference import DataInput, TrackOptions
from sleap_rtc.protocol.inspecting import ABILITY, MAX_NOTICES, JobInspect, JobInspected
from sleap_rtc.protocol.jobs import JobAccepted, JobState, JobSubmit, Owner
from sleap_rtc.protocol.link import LINK, Done
from sleap_rtc.protocol.models import RoomModel
from sleap_rtc.protocol.streams import StreamRequest
from sleap_rtc.protocol.training import Override, TrainOptions
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.streams import SendStream
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transport.memory import MemoryPeer
from sleap_rtc.worker.desk import Desk
from sleap_rtc.worker.inspecting import InspectService
from sleap_rtc.worker.service import JobService
from tests.jobs.conftest import LABELS, OWNER, STRANGER, names_in, new_board, training_config, write_package
from tests.jobs.fakes import QUICK
from tests.roles.conftest import Lab
from tests.roles.test_jobs_of_others import new_desk
from tests.session.linked import STEADY, Meeting, linked, meeting
from tests.transfer.test_unhashed import MB, unhashed

JOB = "j_11111111"
FOR_EVER = float("inf")


@dataclass
class Browser:
    """A client that offers a package, and what was asked of it and told to it."""

    offering: Offering
    sent: int = 0
    told: list[TransferProgress] = field(default_factory=list)
    on_told: Callable[[TransferProgress], None] = lambda progress: None
    hold: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def producers(self) -> Producers:
        async def find(transfer: str) -> Offering:
            assert transfer == JOB
            return self.offering

        provider = Provider(find).producers

        async def counted(session: Session, message: StreamRequest, stream: SendStream) -> None:
            if isinstance(message, FileGet):
                self.asked.set()
                if self.hold:
                    await self.hold.wait()
                self.sent += message.size
            await provider[type(message)](session, message, stream)

        return dict.fromkeys(provider, counted)

    async def hear(self, _: Session, message: TransferProgress) -> Message:
        assert message.transfer == JOB
        self.told.append(message)
        self.on_told(message)
        return Done()

    async def inspect(self, session: Session, options: TrainOptions | None = None, job: str = JOB) -> JobInspected:
        ref = ManifestRef.of(self.offering.manifest)
        message = JobInspect(job=job, name="dropped", manifest=ref, options=options or TrainOptions())
        return await session.request(message, JobInspected, timeout=FOR_EVER)

    async def submit(self, session: Session, options: TrainOptions | None = None) -> JobAccepted:
        ref = ManifestRef.of(self.offering.manifest)
        message = JobSubmit(job=JOB, name="dropped", manifest=ref, options=options or TrainOptions())
        return await session.request(message, JobAccepted, timeout=FOR_EVER)


@dataclass
class Worker:
    """A worker's desk, and the folder of its jobs."""

    desk: Desk
    jobs: Path
    new_work: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def meeting(self, client: Browser, who: Owner = OWNER) -> AsyncIterator[Meeting]:
        access = Access(who)
        services = (
            JobService(self.desk, access, self.new_work),
            InspectService(self.desk, access, self.new_work),
        )
        async with meeting(
            timeouts=STEADY,
            client_handlers={TransferProgress: client.hear},
            client_producers=client.producers,
            worker_handlers={kind: handler for each in services for kind, handler in each.handlers.items()},
        ) as found:
            yield found

    @asynccontextmanager
    async def serving(self, client: Browser, who: Owner = OWNER) -> AsyncIterator[Session]:
        async with self.meeting(client, who) as found, linked(found) as (session, _):
            yield session


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[Worker]:
    desk = new_desk(new_board(tmp_path / "jobs", QUICK), tmp_path)
    yield Worker(desk, tmp_path / "jobs")
    await desk.close()
    desk.store.close()


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    package = write_package(tmp_path / "package", {"one": training_config()}, LABELS + os.urandom(6 * MB))
    return Browser(unhashed(package))


def cut(found: Meeting) -> None:
    for peer in found.peers:
        assert isinstance(peer, MemoryPeer)
        peer.channel.link.cut()


async def test_a_package_is_sent_once_and_then_looked_at_and_submitted_at_will(
    worker: Worker, browser: Browser
) -> None:
    total = browser.offering.manifest.total_size
    async with worker.serving(browser) as session:
        seen = await browser.inspect(session)
        assert (seen.size, seen.files) == (total, 2)
        assert [(run.name, run.max_epochs) for run in seen.runs] == [("one", 2)]
        assert browser.sent == total
        assert (browser.told[-1].arrived, browser.told[-1].here) == (total, 0)
        assert names_in(worker.jobs) == []
        more = TrainOptions(overrides=(Override(key="trainer_config.max_epochs", value=9),))
        assert [run.max_epochs for run in (await browser.inspect(session, more)).runs] == [9]
        assert (await browser.submit(session, more)).job.state is JobState.QUEUED
        assert browser.sent == total
        assert browser.told[-1].here == total
        # of a job that there is
        assert [run.max_epochs for run in (await browser.inspect(session)).runs] == [2]
    assert browser.sent == total
    assert names_in(worker.jobs) == [JOB]


async def test_a_cut_in_the_middle_costs_no_more_than_what_was_under_way(worker: Worker, browser: Browser) -> None:
    total = browser.offering.manifest.total_size
    async with worker.meeting(browser) as found:

        def cut_halfway(progress: TransferProgress) -> None:
            if progress.arrived >= total / 3:
                cut(found)

        browser.on_told = cut_halfway
        with pytest.raises((ConnectionLost, UnreachableError)):
            async with linked(found) as (session, _):
                await browser.inspect(session)
        browser.on_told = lambda progress: None
        async with linked(found) as (session, _):
            assert len((await browser.inspect(session)).runs) == 1
            assert browser.told[-1].here > 0
            await browser.submit(session)
    assert browser.sent <= total + 4 * MB
    assert names_in(worker.jobs) == [JOB]


async def test_another_link_takes_it_over(worker: Worker, browser: Browser) -> None:
    """A client that redials is back before the worker knows that its old link is dead."""
    browser.hold = asyncio.Event()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(worker.serving(browser))
        asking = asyncio.create_task(browser.inspect(first))
        await browser.asked.wait()
        second = await stack.enter_async_context(worker.serving(browser))
        again = asyncio.create_task(browser.inspect(second))
        with pytest.raises(ConflictError, match="over another link now"):
            await asking
        browser.hold.set()
        assert len((await again).runs) == 1
    assert names_in(worker.jobs) == []


async def test_somebody_else_with_the_same_id_ends_nothing(worker: Worker, browser: Browser) -> None:
    """Not even a submit does, before there is a job."""
    browser.hold = asyncio.Event()
    other = Browser(browser.offering)
    async with AsyncExitStack() as stack:
        mine = await stack.enter_async_context(worker.serving(browser))
        asking = asyncio.create_task(browser.inspect(mine))
        await browser.asked.wait()
        theirs = await stack.enter_async_context(worker.serving(other, STRANGER))
        assert len((await other.inspect(theirs)).runs) == 1
        browser.hold.set()
        assert len((await asking).runs) == 1
    # each of them sent every byte
    assert browser.sent == other.sent == browser.offering.manifest.total_size


async def test_what_is_no_training_or_no_new_work_is_refused_before_a_byte(worker: Worker, browser: Browser) -> None:
    async with worker.serving(browser) as session:
        track = TrackOptions(model=RoomModel(digest="0" * 64), data=(DataInput(path="a.slp", in_package=True),))
        message = JobInspect(job=JOB, name="x", manifest=ManifestRef.of(browser.offering.manifest), options=track)
        with pytest.raises(ConfigError, match="Only what is to be trained"):
            await session.request(message, JobInspected)

    def away() -> None:
        raise UnreachableError("The worker has not heard from the signaling service.")

    worker.new_work = away
    async with worker.serving(browser) as session:
        with pytest.raises(UnreachableError, match="has not heard"):
            await browser.inspect(session)
    assert (browser.sent, browser.told) == (0, [])
    assert names_in(worker.jobs) == []


async def test_a_flood_of_questions_is_answered_a_few_at_a_time(worker: Worker, browser: Browser) -> None:
    """And none that was refused has left anything behind."""
    browser.hold = asyncio.Event()

    async def ask(session: Session, number: int) -> JobInspected | SleapRTCError:
        try:
            return await browser.inspect(session, job=f"j_2222222{number}")
        except SleapRTCError as error:
            return error

    async def find(transfer: str) -> Offering:
        return browser.offering

    async def held(session: Session, message: FileGet, stream: SendStream) -> None:
        assert browser.hold
        await browser.hold.wait()
        await Provider(find).producers[FileGet](session, message, stream)

    async def hear(_: Session, message: TransferProgress) -> Message:
        return Done()

    async with (
        meeting(
            timeouts=STEADY,
            client_handlers={TransferProgress: hear},
            client_producers={**Provider(find).producers, FileGet: held},
            worker_handlers=InspectService(worker.desk, Access(OWNER), lambda: None).handlers,
        ) as found,
        linked(found) as (session, _),
    ):
        asking = [asyncio.create_task(ask(session, number)) for number in range(8)]
        refused = [await each for each in asking[3:]]
        browser.hold.set()
        answered = [await each for each in asking[:3]]
    assert all(isinstance(each, BusyError) for each in refused)
    assert all(isinstance(each, JobInspected) for each in answered)
    assert names_in(worker.jobs) == []


async def test_the_largest_answer_fits_into_a_message(worker: Worker, tmp_path: Path) -> None:
    deep = "/".join(["ü" * 100] * 4)
    package = tmp_path / "package"
    for number in range(16):
        config = training_config(run_name=f"{number}" * 60, trainer_accelerator="tpu", profiler="x" * 9)
        (package / deep / f"{number}").mkdir(parents=True)
        write_package(package / deep / f"{number}", {"ö" * 100: config})
        (package / deep / f"{number}" / "labels.pkg.slp").unlink()
    (package / "labels.pkg.slp").write_bytes(LABELS)
    browser = Browser(unhashed(package))
    async with worker.serving(browser) as session:
        seen = await browser.inspect(session)
    assert len(seen.runs) == 16
    assert 10 < len(seen.notices) <= MAX_NOTICES
    LINK.encode(seen)


async def test_a_real_worker_over_a_real_link_says_and_does_it(lab: Lab) -> None:
    await lab.start_worker()
    package = await lab.package(size=MB)
    async with lab.join() as remote:
        session = await remote.link.session()
        assert ABILITY in session.abilities
        browser = Browser(package.offering)
        session._producers = browser.producers
        seen = await browser.inspect(session)
        assert [(run.name, run.backbone) for run in seen.runs] == [("single_instance", "unet")]
        assert browser.sent == package.manifest.total_size
    async with lab.join() as remote:
        job = await remote.submit(package)
        assert await job.watch(lambda event: None) is JobState.DONE
    assert lab.starts() == ["single_instance"]
