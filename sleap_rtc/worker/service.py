"""What a worker does for one client: takes jobs, shows them, hands their results out."""

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from sleap_rtc.errors import BusyError, ConflictError, ConnectionLost, SleapRTCError, StorageError
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.codec import Message
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
    Owner,
)
from sleap_rtc.protocol.link import Done
from sleap_rtc.session.session import Handlers, Session
from sleap_rtc.transfer.fetch import fetch_files, fetch_manifest
from sleap_rtc.transfer.landing import Landing
from sleap_rtc.transfer.provider import Offering, Provider
from sleap_rtc.transfer.source import FilesSource, make_manifest

EVENTS_AT_ONCE = 64
MESSAGE_ROOM = 48 * 1024
"""Bytes of events in one message; the rest of the 64 KiB is the envelope's."""


class Desk:
    """What all clients of a worker share.

    Args:
        board: the worker's jobs.
    """

    def __init__(self, board: JobBoard) -> None:
        self.board = board
        self.receiving: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.results: dict[str, Offering] = {}


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
        # one receiver a job: a client that redials may be back before its old link is known to be dead
        async with self._desk.receiving[message.job]:
            folder = await self._board.receive(
                message.job,
                owner=self._owner,
                name=message.name,
                manifest_digest=message.manifest.digest,
                options=message.options,
            )
            summary = await self._summary(folder)
            if summary.state is JobState.RECEIVED:
                manifest = await fetch_manifest(session, message.job, message.manifest)
                await asyncio.to_thread(_check_space, folder.path, manifest)
                landing = await asyncio.to_thread(Landing, folder.inputs, folder.path / "parts")
                await fetch_files(session, message.job, manifest, landing)
                await asyncio.to_thread(shutil.rmtree, folder.path / "parts")
                summary = await self._board.accept(folder)
        self._desk.receiving.pop(message.job, None)
        return JobAccepted(job=summary)

    async def _show(self, _: Session, message: JobShow) -> Message:
        return JobAccepted(job=await self._summary(await self._find(message.job)))

    async def _command(self, _: Session, message: JobCommand) -> Message:
        await self._board.command(await self._find(message.job), message.command)
        return Done()

    async def _watch(self, session: Session, message: JobWatch) -> Message:
        folder = await self._find(message.job)
        session.start(self._send_events, session, folder, message.since)
        if message.log_offset is not None:
            session.start(self._send_log, session, folder, message.log_offset)
        return Done()

    async def _send_events(self, session: Session, folder: JobFolder, since: int) -> None:
        try:
            async for events in self._board.watch(folder, since):
                for batch in _batches(events):
                    # each message waits for its answer: a slow watcher is simply sent less often
                    await session.request(JobEvents(job=folder.job, events=batch), Done, timeout=float("inf"))
        except SleapRTCError as error:
            _only_this_watch(error)

    async def _send_log(self, session: Session, folder: JobFolder, offset: int) -> None:
        try:
            async for start, text in self._board.follow_log(folder, offset):
                offset = start + len(text.encode())
                part = JobLog(job=folder.job, offset=offset, text=text)
                await session.request(part, Done, timeout=float("inf"))
            await session.request(JobLog(job=folder.job, offset=offset, text="", last=True), Done)
        except SleapRTCError as error:
            _only_this_watch(error)

    async def _offering(self, transfer: str) -> Offering:
        folder = await self._find(transfer)
        if folder.job not in self._desk.results:
            summary = await self._summary(folder)
            if not summary.state.ended:
                raise ConflictError("The job is still running; its models can be fetched when it has ended.")
            files = await asyncio.to_thread(folder.results)
            source = FilesSource({file.path: file.source for file in files})
            self._desk.results[folder.job] = Offering(await make_manifest(source), source)
        return self._desk.results[folder.job]

    async def _find(self, job: str) -> JobFolder:
        return await asyncio.to_thread(self._board.find, job, self._owner)

    async def _summary(self, folder: JobFolder) -> JobSummary:
        return await asyncio.to_thread(self._board.summary, folder)


def _check_space(folder: Path, manifest: Manifest) -> None:
    # what is trained from the package needs room as well, at least as much again
    free = shutil.disk_usage(folder).free
    if manifest.total_size * 2 > free:
        raise StorageError(
            f"The worker has {free / 1e9:.1f} GB of disk left, too little for a package of "
            f"{manifest.total_size / 1e9:.1f} GB. Ask its owner to free some."
        )


def _only_this_watch(error: SleapRTCError) -> None:
    """Let an error end the watch it belongs to, unless it is the link's own end."""
    if isinstance(error, ConnectionLost | BusyError):
        raise error


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
