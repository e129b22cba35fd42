"""What a worker does for one client: takes jobs, shows them, hands their results out."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sleap_rtc.errors import BusyError, ConfigError, NotFoundError, SleapRTCError, ungrouped
from sleap_rtc.jobs.access import Access
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
)
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.zipping import inside_of
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.worker.desk import Desk, Upload, has_ended, still_running
from sleap_rtc.worker.listing import list_jobs

logger = logging.getLogger(__name__)

FOR_EVER = float("inf")
EVENTS_AT_ONCE = 512
MAX_WATCHES = 64
"""Jobs watched over one link: each is looked at several times a second for as long as it lasts."""
MESSAGE_ROOM = 48 * 1024
"""Bytes of events in one message; the rest of the 64 KiB is the envelope's."""


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
                upload = Upload(message.job, message.job, message.manifest, self._owner, folder.inputs)
                await self._desk.receive(session, upload)
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
        """The results of a job that this client may have, or one zip of them.

        Raises:
            NotFoundError: if there is no such job of theirs.
            ConflictError: if it still runs.
        """
        inside = inside_of(transfer)
        job, zipped = inside or transfer, inside is not None
        # asked for every few hundred kilobytes of a download: what was checked once need not be read again
        if (known := self._desk.hashed_results(job, self._access, zipped=zipped)) is not None:
            self._desk.note_asked(job)
            return known
        folder = await self._find(job)
        self._desk.note_asked(job)
        if not await asyncio.to_thread(has_ended, folder):
            raise still_running()
        return await self._desk.results(folder, zipped=zipped)

    async def _find(self, job: str) -> JobFolder:
        return await asyncio.to_thread(self._board.find, job, self._owner, owns_room=self._access.owns_room)

    async def _summary(self, folder: JobFolder) -> JobSummary:
        return await asyncio.to_thread(self._board.summary, folder)


def _batches(events: Sequence[Event]) -> list[tuple[Event, ...]]:
    batches: list[tuple[Event, ...]] = []
    batch: list[Event] = []
    size = 0
    for event in events:
        length = len(event.model_dump_json().encode())
        if batch and (size + length > MESSAGE_ROOM or len(batch) == EVENTS_AT_ONCE):
            batches.append(tuple(batch))
            batch, size = [], 0
        batch.append(event)
        size += length
    return [*batches, tuple(batch)] if batch else batches
