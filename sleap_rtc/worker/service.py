"""What a worker does for one client: takes jobs, shows them, hands their results out."""

import asyncio
import json
import logging
import shutil
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from sleap_rtc.errors import ConflictError, NotFoundError, SleapRTCError, StorageError, ungrouped
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.events import last_seq, read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.jobs import (
    Event,
    JobAccepted,
    JobCommand,
    JobEvents,
    JobLog,
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
from sleap_rtc.session.session import Handlers, Session
from sleap_rtc.transfer.fetch import fetch_files, fetch_manifest
from sleap_rtc.transfer.landing import Landing
from sleap_rtc.transfer.provider import Offering, Provider
from sleap_rtc.transfer.source import FilesSource, make_manifest

logger = logging.getLogger(__name__)

FOR_EVER = float("inf")
EVENTS_AT_ONCE = 64
MESSAGE_ROOM = 48 * 1024
"""Bytes of events in one message; the rest of the 64 KiB is the envelope's."""


class Desk:
    """What all clients of a worker share.

    Args:
        board: the worker's jobs.
    """

    RESULTS_KEPT = 16
    """Jobs whose results stay listed and hashed; others are hashed again when somebody asks."""

    def __init__(self, board: JobBoard) -> None:
        self.board = board
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._results: OrderedDict[str, Offering] = OrderedDict()

    def lock(self, job: str) -> asyncio.Lock:
        """One receiver and one hasher a job: a client that redials may be back before its old link is known dead."""
        return self._locks.setdefault(job, asyncio.Lock())

    async def results(self, folder: JobFolder) -> Offering:
        """The results of a job that has ended, hashed once for all who ask."""
        async with self.lock(folder.job):
            if folder.job not in self._results:
                files = await asyncio.to_thread(folder.results)
                source = FilesSource({file.path: file.source for file in files})
                self._results[folder.job] = Offering(await make_manifest(source), source)
            self._results.move_to_end(folder.job)
            while len(self._results) > self.RESULTS_KEPT:
                self._results.popitem(last=False)
            return self._results[folder.job]


class JobService:
    """Answers one client; everything it does is done as that client's user.

    Args:
        desk: what all clients share.
        owner: who the client is, as the service stamped it on the offer.
    """

    def __init__(self, desk: Desk, owner: Owner) -> None:
        self._desk = desk
        self._board = desk.board
        self._owner = owner

    @property
    def handlers(self) -> Handlers:
        """What answers the client's requests."""
        return {
            **Provider(self._offering).handlers,
            JobSubmit: self._submit,
            JobShow: self._show,
            JobWatch: self._watch,
            JobCommand: self._command,
        }

    async def _submit(self, session: Session, message: JobSubmit) -> Message:
        async with self._desk.lock(message.job):
            folder = await self._board.receive(
                message.job,
                owner=self._owner,
                name=message.name,
                manifest_digest=message.manifest.digest,
                options=message.options,
            )
            state = (await asyncio.to_thread(folder.state)).state
            if state is JobState.RECEIVED:
                await self._receive_files(session, message, folder)
            if state in (JobState.RECEIVED, JobState.STAGED):
                return JobAccepted(job=await self._board.accept(folder))
        return JobAccepted(job=await self._summary(folder))

    async def _receive_files(self, session: Session, message: JobSubmit, folder: JobFolder) -> None:
        manifest = await fetch_manifest(session, message.job, message.manifest)
        parts = folder.path / "parts"
        landing = await asyncio.to_thread(Landing, folder.inputs, parts)
        await asyncio.to_thread(_check_space, folder.path, manifest, landing)
        await fetch_files(session, message.job, manifest, landing)
        await asyncio.to_thread(shutil.rmtree, parts)

    async def _show(self, _: Session, message: JobShow) -> Message:
        return JobAccepted(job=await self._summary(await self._find(message.job)))

    async def _command(self, _: Session, message: JobCommand) -> Message:
        await self._board.command(await self._find(message.job), message.command)
        return Done()

    async def _watch(self, session: Session, message: JobWatch) -> Message:
        folder = await self._find(message.job)
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
        ended = JobWatchEnded(watch=message.watch, reason=ErrorInfo.of(reason) if reason else None)
        try:
            await session.request(ended, Done, timeout=FOR_EVER)
        except NotFoundError:
            logger.debug("Nobody watches %s any more.", folder.job)

    async def _send_events(self, session: Session, folder: JobFolder, message: JobWatch) -> None:
        async for events in self._board.watch(folder, message.since):
            for batch in _batches(events):
                # each message waits for its answer: a slow watcher is simply sent less often
                await session.request(JobEvents(watch=message.watch, events=batch), Done, timeout=FOR_EVER)

    async def _send_log(self, session: Session, folder: JobFolder, message: JobWatch, offset: int) -> None:
        async for following, text in self._board.follow_log(folder, offset):
            part = JobLog(watch=message.watch, offset=following, text=text)
            await session.request(part, Done, timeout=FOR_EVER)

    async def _offering(self, transfer: str) -> Offering:
        folder = await self._find(transfer)
        if not await asyncio.to_thread(_has_ended, folder):
            raise ConflictError("The job is still running; its models can be fetched when it has ended.")
        return await self._desk.results(folder)

    async def _find(self, job: str) -> JobFolder:
        return await asyncio.to_thread(self._board.find, job, self._owner)

    async def _summary(self, folder: JobFolder) -> JobSummary:
        return await asyncio.to_thread(self._board.summary, folder)


def _has_ended(folder: JobFolder) -> bool:
    # the journal is written before the state file, and whoever watches it may ask in between
    if folder.state().state.ended:
        return True
    last = read_events(folder.events, max(0, last_seq(folder.events) - 1))
    return bool(last) and isinstance(last[-1].body, StateChanged) and last[-1].body.state.ended


def _check_space(folder: Path, manifest: Manifest, landing: Landing) -> None:
    # what is trained from the package needs room as well, at least as much again
    free = shutil.disk_usage(folder).free
    missing = manifest.total_size - landing.size()
    if missing + manifest.total_size > free:
        raise StorageError(
            f"The worker has {free / 1e9:.1f} GB of disk left, too little for a package of "
            f"{manifest.total_size / 1e9:.1f} GB. Ask its owner to free some."
        )


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
