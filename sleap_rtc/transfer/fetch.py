"""The receiving side of a transfer: finds out what is lacking, asks for it over all lanes, puts files in place."""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sleap_rtc.errors import ConflictError, LaneLost, ProtocolError, TransferError, ungrouped
from sleap_rtc.protocol.chunks import ChunkList, max_list_size
from sleap_rtc.protocol.exchange import FileExchange, Span
from sleap_rtc.protocol.files import MAX_MANIFEST, ChunksGet, FileEntry, FileGet, Manifest, ManifestGet, ManifestRef
from sleap_rtc.protocol.streams import StreamRequest
from sleap_rtc.session.reading import read_whole
from sleap_rtc.session.session import Session
from sleap_rtc.session.window import Slot
from sleap_rtc.transfer.disk import storage_error
from sleap_rtc.transfer.part import Part
from sleap_rtc.transfer.placing import Placing, remove_drafts
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.space import DiskSpace
from sleap_rtc.transfer.store import Store
from sleap_rtc.transfer.threads import held, in_thread

logger = logging.getLogger(__name__)

FILES_AT_ONCE = 4
"""Files in work on a link; they share its window."""
SETTLE_EVERY = 64 * 1024 * 1024
"""Bytes of a file after which they are brought to the disk and to their place: at the end that would take its time."""


@dataclass(frozen=True)
class Target:
    """Where the files of a transfer go.

    Attributes:
        store: keeps them, whole and in parts.
        owner: whose they are: nobody else's files in the store count as present.
        folder: gets a copy of each file, under the path that the manifest gives it.
    """

    store: Store
    owner: str
    folder: Path


@dataclass
class Fetch:
    """One transfer, on one link.

    Attributes:
        session: the link.
        transfer: the transfer's id.
        target: where the files go.
        progress: told what is here and what arrives.
    """

    session: Session
    transfer: str
    target: Target
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.space = DiskSpace(self.target.store, self.progress, self.session.timeouts)

    async def manifest(self, expected: ManifestRef | None = None) -> Manifest:
        """Ask the other side what there is.

        Args:
            expected: what it must be, where that was announced.

        Raises:
            ProtocolError: if it is another one, or cannot be read.
            PackageError: if it breaks a path rule.
        """
        data = await self._read(ManifestGet, expected.size if expected else MAX_MANIFEST)
        manifest = await in_thread(Manifest.from_bytes, data)
        if expected and manifest.digest != expected.digest:
            raise ProtocolError("The list of files that arrived is not the one that was announced.")
        return manifest

    async def files(self, manifest: Manifest, only: Collection[str] | None = None) -> None:
        """Fetch what is lacking and put every file in its place.

        Args:
            manifest: what there is.
            only: the paths of those that are wanted; all if None.

        Raises:
            ConnectionLost: if the link ended; what arrived is kept for the next attempt.
            TransferError: if a file arrives damaged again and again, or its source changed.
            StorageError: if the disk refuses.
        """
        wanted = [(at, entry) for at, entry in enumerate(manifest.files) if only is None or entry.path in only]
        waiting = iter(wanted)
        await in_thread(remove_drafts, self.target.folder)
        async with self._pinned(manifest):
            with ungrouped():
                async with asyncio.TaskGroup() as tasks:
                    for _ in range(min(FILES_AT_ONCE, len(wanted))):
                        tasks.create_task(self._work(waiting))

    def _pinned(self, manifest: Manifest) -> AbstractAsyncContextManager[ExitStack]:
        """Keep the store from giving up one file of the transfer for another one."""

        def pin() -> ExitStack:
            stack = ExitStack()
            stack.enter_context(self.target.store.pinned(self.target.owner, manifest.files))
            return stack

        return held(pin, ExitStack.close)

    async def _work(self, waiting: Iterator[tuple[int, FileEntry]]) -> None:
        for index, entry in waiting:
            place = self.target.folder / entry.path
            if await in_thread(_in_place, place, entry):
                self.progress.add(here=entry.size)
                continue
            async with held(partial(Placing, place), Placing.close) as placing:
                if await in_thread(self.target.store.holds, self.target.owner, entry):
                    self.progress.add(here=entry.size)
                else:
                    await self._fetch(index, entry, placing)
                await in_thread(self.target.store.place, self.target.owner, entry, placing)

    async def _fetch(self, index: int, entry: FileEntry, placing: Placing) -> None:
        chunks = await self._chunks(index, entry)
        async with self._part(entry, chunks) as part:
            if part is not None:
                await self._complete(index, entry, chunks, part, placing)

    async def _complete(self, index: int, entry: FileEntry, chunks: ChunkList, part: Part, placing: Placing) -> None:
        store = self.target.store
        self.progress.add(here=part.here)
        await self.space.check(entry.size - part.here, entry.size, placing.target)
        # before room is made for it: what is given up may be the version that it differs little from
        self.progress.add(here=await in_thread(part.borrow))
        await in_thread(store.make_room, entry.size - part.here)
        exchange = FileExchange(chunks, part.missing())
        await _Pull(self, index, entry.path, part, exchange, placing).run()
        await in_thread(part.publish)

    @asynccontextmanager
    async def _part(self, entry: FileEntry, chunks: ChunkList) -> AsyncIterator[Part | None]:
        """Hold the file's part; None if another transfer has brought the file meanwhile."""
        store, owner = self.target.store, self.target.owner
        async with AsyncExitStack() as stack:
            part = None
            while part is None:
                try:
                    part = await stack.enter_async_context(held(lambda: store.begin(owner, entry, chunks), Part.close))
                except ConflictError as error:
                    # another transfer is bringing the same file: what it brings is here for this one, too
                    self.progress.pause(error.sentence)
                    await asyncio.sleep(self.session.timeouts.reconnect_first)
                    if await in_thread(store.holds, owner, entry):
                        self.progress.add(here=entry.size)
                        break
            self.progress.pause(None)
            yield part

    async def _chunks(self, index: int, entry: FileEntry) -> ChunkList:
        if entry.chunks is None and entry.sha256 is not None:
            return ChunkList.of_small(entry.size, entry.sha256)
        data = await self._read(ChunksGet, max_list_size(entry.size), file=index)
        chunks = await in_thread(ChunkList.from_bytes, data, entry.size)
        if chunks.digest != entry.chunks:
            raise ProtocolError(f"The chunk list of {entry.path} is not the one that was announced.")
        return chunks

    async def _read(self, kind: type[StreamRequest], at_most: int, **fields: object) -> bytes:
        return await read_whole(self.session, kind, at_most, transfer=self.transfer, **fields)


class _Pull:
    """Brings the missing chunks of one file."""

    def __init__(
        self, fetch: Fetch, index: int, path: str, part: Part, exchange: FileExchange, placing: Placing
    ) -> None:
        self._fetch = fetch
        self._path = path
        self._session = fetch.session
        self._index = index
        self._part = part
        self._exchange = exchange
        self._placing = placing
        self._unsettled = 0
        self._news = asyncio.Event()
        self._writing = asyncio.Lock()

    async def run(self) -> None:
        with ungrouped():
            async with asyncio.TaskGroup() as tasks:
                while not self._exchange.complete:
                    self._news.clear()
                    # chosen late, since how much to ask for at once depends on the lanes
                    span = self._exchange.next_span(self._session.span)
                    if span is None:
                        await self._news.wait()
                        continue
                    await self._fetch.space.take(span.size)
                    slot = await self._session.slot(span.size)
                    self._settle_now_and_then(tasks, span.size)
                    tasks.create_task(self._bring(span, slot)).add_done_callback(slot.release)

    def _write(self, span: Span, parts: list[bytes | memoryview]) -> Sequence[int]:
        data = b"".join(parts)
        if len(data) != span.size:
            return range(span.first, span.first + span.chunks)
        return self._part.write(span.first, data)

    def _arrived(self, span: Span, damaged: Sequence[int]) -> int:
        try:
            return self._exchange.arrived(span, damaged)
        except TransferError as error:
            raise TransferError(f"{error.sentence} It is {self._path}.") from error

    def _settle_now_and_then(self, tasks: asyncio.TaskGroup, size: int) -> None:
        self._unsettled += size
        if self._unsettled > SETTLE_EVERY:
            self._unsettled = 0
            tasks.create_task(in_thread(self._part.settle, self._placing))

    async def _bring(self, span: Span, slot: Slot) -> None:
        request = {"transfer": self._fetch.transfer, "file": self._index, "offset": span.offset, "size": span.size}
        try:
            async with self._session.ask(slot, FileGet, **request) as stream:
                parts = await stream.parts()
        except LaneLost:
            self._exchange.lost(span)
        else:
            # one after the other: the hash over the whole file grows with its beginning
            async with self._writing:
                damaged = await in_thread(self._write, span, parts)
            self._fetch.progress.add(arrived=self._arrived(span, damaged))
        self._news.set()


def _in_place(place: Path, entry: FileEntry) -> bool:
    """Whether an earlier attempt put the file there; it was checked when it was published."""
    try:
        return place.is_file() and not place.is_symlink() and place.stat().st_size == entry.size
    except OSError as error:
        raise storage_error(error, place) from error
