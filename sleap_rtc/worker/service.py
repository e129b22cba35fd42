"""What a worker does for one client: takes jobs, shows them, hands their results out."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from weakref import WeakValueDictionary

from sleap_rtc.errors import BusyError, ConfigError, ConflictError, NotFoundError, SleapRTCError, ungrouped
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.events import last_seq, read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.jobs import (
    Event,
    JobAccepted,
    JobAgain,
    JobCommand,
    JobEvents,
    JobList,
    JobLog,
    JobResume,
    JobShow,
    JobState,
    JobSubmit,
    JobSummary,
    JobWatch,
    JobWatchEnded,
    Owner,
    StateChanged,
)
from sleap_rtc.protocol.link import Done
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import FilesSource
from sleap_rtc.transfer.store import Store
from sleap_rtc.worker.listing import list_jobs
from sleap_rtc.worker.model_service import ModelDesk
from sleap_rtc.worker.offerings import Offerings

logger = logging.getLogger(__name__)

FOR_EVER = float("inf")
EVENTS_AT_ONCE = 64
MAX_WATCHES = 64
"""Jobs watched over one link: each is looked at several times a second for as long as it lasts."""
MESSAGE_ROOM = 48 * 1024
"""Bytes of events in one message; the rest of the 64 KiB is the envelope's."""


class Desk:
    """What all clients of a worker share.

    Args:
        board: the worker's jobs.
        store: the files that clients sent.
        models: what they share about models.
    """

    def __init__(self, board: JobBoard, store: Store, models: ModelDesk) -> None:
        self.board = board
        self.store = store
        self.models = models
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # of their own: who sends a package again must not wait until results are hashed
        self._listing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._receiving: dict[str, asyncio.Task[None]] = {}
        self._results: Offerings[str] = Offerings()
        self._owners: dict[str, Owner] = {}

    def lock(self, job: str) -> asyncio.Lock:
        """One receiver a job."""
        return self._locks.setdefault(job, asyncio.Lock())

    @asynccontextmanager
    async def receiving(self, job: str) -> AsyncIterator[None]:
        """Hold a job while its files arrive; a client that redials is back before its old link is known dead."""
        if task := self._receiving.get(job):
            task.cancel()
        async with self.lock(job):
            yield

    async def receive(self, job: str, task: "asyncio.Task[None]") -> None:
        """Wait for the task that receives a job's files.

        Raises:
            ConflictError: if the same client sends them over another link now.
        """
        self._receiving[job] = task
        try:
            await task
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelled():
                raise ConflictError("The files of this job are being sent over another link now.") from None
            raise
        finally:
            del self._receiving[job]

    def hashed_results(self, job: str, access: Access) -> Offering | None:
        """The results of a job, if somebody has asked for them of late and whoever asks now may have them."""
        owner = self._owners.get(job)
        return self._results.known(job) if owner and access.may_act_on(owner) else None

    def note_asked(self, job: str) -> None:
        """Note that somebody fetches the results of a job now."""
        self._results.note_asked(job)

    def in_use(self, job: str) -> bool:
        """Whether somebody fetches the results of a job, or did a moment ago and may go on."""
        return self._results.in_use(job) or job in self._receiving

    async def drop_results(self, job: str) -> None:
        """Hand out the results of a job no longer: it goes on, and will have others."""
        await self._results.drop(job)
        self._owners.pop(job, None)

    @asynccontextmanager
    async def going_on(self, job: str) -> AsyncIterator[None]:
        """Hold a job while it is made to go on: its results are neither listed nor handed out meanwhile.

        Once it runs, what lies in its folder may change from one look to the next, and lead elsewhere.
        """
        await self.drop_results(job)
        async with self._listing.setdefault(job, asyncio.Lock()):
            await self.drop_results(job)
            yield

    async def results(self, folder: JobFolder) -> Offering:
        """The results of a job that has ended, hashed once for all who ask and may have them."""
        return await self._results.get(folder.job, partial(self._hash, folder))

    async def _hash(self, folder: JobFolder) -> Offering:
        async with self._listing.setdefault(folder.job, asyncio.Lock()):
            # asked here: it may have been made to go on since whoever wants them looked
            if not await asyncio.to_thread(_has_ended, folder):
                raise _still_running()
            self._owners[folder.job] = (await asyncio.to_thread(folder.spec)).owner
            files = await asyncio.to_thread(folder.results)
            return await make_offering(FilesSource({file.path: file.source for file in files}))

    async def close(self) -> None:
        """End what is being hashed, and give all files back."""
        await self._results.close()
        await self.models.close()


class JobService:
    """Answers one client; everything it does is done as that client's user.

    Args:
        desk: what all clients share.
        access: who the client is, as the service stamped it on the offer.
        check_new_work: raises where this client may begin nothing new just now.
    """

    def __init__(self, desk: Desk, access: Access, check_new_work: Callable[[], None]) -> None:
        self._desk = desk
        self._check_new_work = check_new_work
        self._board = desk.board
        self._access = access
        self._owner = access.owner
        self._watches = 0

    @property
    def handlers(self) -> Handlers:
        """What answers the client's requests."""
        return {
            JobSubmit: self._submit,
            JobShow: self._show,
            JobList: self._list,
            JobWatch: self._watch,
            JobCommand: self._command,
            JobResume: self._resume,
            JobAgain: self._again,
        }

    async def _submit(self, session: Session, message: JobSubmit) -> Message:
        try:
            await self._find(message.job)
        except NotFoundError:
            self._check_new_work()
        await self._folder_for(message)  # refused here, if the job is somebody else's: only its owner may take it over
        async with self._desk.receiving(message.job):
            folder = await self._folder_for(message)
            state = (await asyncio.to_thread(folder.state)).state
            if state is JobState.RECEIVED:
                await self._receive_files(session, message, folder)
            if state in (JobState.RECEIVED, JobState.STAGED) or message.wandb_key is not None:
                return JobAccepted(job=await self._board.accept(folder, wandb_key=message.wandb_key))
        return JobAccepted(job=await self._summary(folder))

    async def _folder_for(self, message: JobSubmit) -> JobFolder:
        if message.options.wandb and message.wandb_key is None:
            raise ConfigError("Weights & Biases was asked for without a key: set WANDB_API_KEY where you submit.")
        return await self._board.receive(
            message.job,
            owner=self._owner,
            name=message.name,
            manifest_digest=message.manifest.digest,
            options=message.options,
        )

    async def _receive_files(self, session: Session, message: JobSubmit, folder: JobFolder) -> None:
        target = Target(self._desk.store, f"{self._owner.room}/{self._owner.user}", folder.inputs)
        fetch = Fetch(session, message.job, target)

        async def receive() -> None:
            async with fetch.progress.told(session, message.job):
                await fetch.files(await fetch.manifest(message.manifest))

        # owned by the desk: two links that bring the same job share it
        await self._desk.receive(message.job, asyncio.create_task(receive()))

    async def _show(self, _: Session, message: JobShow) -> Message:
        return JobAccepted(job=await self._summary(await self._find(message.job)))

    async def _list(self, _: Session, message: JobList) -> Message:
        return await asyncio.to_thread(list_jobs, self._board, self._access, message)

    async def _command(self, _: Session, message: JobCommand) -> Message:
        await self._board.command(await self._find(message.job), message.command)
        return Done()

    async def _resume(self, _: Session, message: JobResume) -> Message:
        folder = await self._find(message.job)
        self._check_new_work()
        async with self._desk.going_on(message.job):
            summary = await self._board.resume(folder)
        spec = await asyncio.to_thread(folder.spec)
        return JobAccepted(job=summary, manifest=spec.manifest, options=spec.options)

    async def _again(self, _: Session, message: JobAgain) -> Message:
        source = await self._find(message.job)
        self._check_new_work()
        folder = await self._board.again(source, message.new, self._owner)
        spec = await asyncio.to_thread(folder.spec)
        return JobAccepted(job=await self._summary(folder), manifest=spec.manifest, options=spec.options)

    async def _watch(self, session: Session, message: JobWatch) -> Message:
        folder = await self._find(message.job)
        if self._watches >= MAX_WATCHES:
            raise BusyError(f"{MAX_WATCHES} jobs are watched over this link already. End one of these watches first.")
        self._watches += 1
        session.start(self._serve_watch, session, folder, message)
        return Done()

    async def _serve_watch(self, session: Session, folder: JobFolder, message: JobWatch) -> None:
        reason: SleapRTCError | None = None
        try:
            with ungrouped():
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._send_events(session, folder, message))
                    if message.log_offset is not None:
                        tasks.create_task(self._send_log(session, folder, message, message.log_offset))
        except SleapRTCError as error:
            # the watch ends, and says so; the link goes on unless it was the link that broke
            reason = error
        except Exception:
            logger.exception("Watching %s failed.", folder.job)
            reason = SleapRTCError("The worker failed while it was watched; its log says more. Watch the job again.")
        finally:
            self._watches -= 1
        ended = JobWatchEnded(watch=message.watch, reason=ErrorInfo.of(reason) if reason else None)
        try:
            await session.request(ended, Done, timeout=FOR_EVER)
        except NotFoundError:
            logger.debug("Nobody watches %s any more.", folder.job)

    async def _send_events(self, session: Session, folder: JobFolder, message: JobWatch) -> None:
        async for events in self._board.watch(folder, message.since, follow=message.follow):
            for batch in _batches(events):
                # each message waits for its answer: a slow watcher is simply sent less often
                await session.request(JobEvents(watch=message.watch, events=batch), Done, timeout=FOR_EVER)

    async def _send_log(self, session: Session, folder: JobFolder, message: JobWatch, offset: int) -> None:
        async for following, text in self._board.follow_log(folder, offset, follow=message.follow):
            part = JobLog(watch=message.watch, offset=following, text=text)
            await session.request(part, Done, timeout=FOR_EVER)

    async def offering(self, transfer: str) -> Offering:
        """The results of a job that this client may have.

        Raises:
            NotFoundError: if there is no such job of theirs.
            ConflictError: if it still runs.
        """
        # asked for every few hundred kilobytes of a download: what was checked once need not be read again
        if (known := self._desk.hashed_results(transfer, self._access)) is not None:
            self._desk.note_asked(transfer)
            return known
        folder = await self._find(transfer)
        self._desk.note_asked(transfer)
        if not await asyncio.to_thread(_has_ended, folder):
            raise _still_running()
        return await self._desk.results(folder)

    async def _find(self, job: str) -> JobFolder:
        return await asyncio.to_thread(self._board.find, job, self._owner, owns_room=self._access.owns_room)

    async def _summary(self, folder: JobFolder) -> JobSummary:
        return await asyncio.to_thread(self._board.summary, folder)


def _still_running() -> ConflictError:
    return ConflictError("The job is still running; its models can be fetched when it has ended.")


def _has_ended(folder: JobFolder) -> bool:
    # the journal is written before the state file, and whoever watches it may ask in between
    last = read_events(folder.events, max(0, last_seq(folder.events) - 1))
    if last and isinstance(last[-1].body, StateChanged):
        return last[-1].body.state.ended
    return folder.state().state.ended


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _batches(events: Sequence[Event]) -> list[tuple[Event, ...]]:
    batches: list[tuple[Event, ...]] = []
    batch: list[Event] = []
    size = 0
    for event in events:
        length = len(json.dumps(event.model_dump(mode="json")))
        if batch and (size + length > MESSAGE_ROOM or len(batch) == EVENTS_AT_ONCE):
            batches.append(tuple(batch))
            batch, size = [], 0
        batch.append(event)
        size += length
    return [*batches, tuple(batch)] if batch else batches
