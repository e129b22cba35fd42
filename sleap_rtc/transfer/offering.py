"""What a peer may fetch: a source's files with their hashes, and where each of them is cut."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO, Self

from sleap_rtc.errors import PackageError, TransferError
from sleap_rtc.protocol.chunks import SINGLE, ChunkList, average_for, max_chunks
from sleap_rtc.protocol.files import MAX_FILE_SIZE, FileEntry, Manifest
from sleap_rtc.transfer.chunker import Chunker
from sleap_rtc.transfer.source import UNREADABLE, Source
from sleap_rtc.transfer.threads import Stopped, stoppable

_BLOCK = 4 * 1024 * 1024
_LARGEST_BLOCK = 16 * 1024 * 1024
_READ_AHEAD = 32 * 1024 * 1024
"""Bytes that are read and not yet hashed; this bounds the memory."""
_INLINE = 1024 * 1024
"""Files up to this size are hashed where they are read: handing them to other threads would cost more."""
_REPORT = 1024 * 1024
"""Bytes between two reports of progress."""


@dataclass
class Offering:
    """Files on offer.

    Attributes:
        manifest: what there is.
        chunks: where each file of the manifest is cut, in its order.
        source: where they are read from.
    """

    manifest: Manifest
    chunks: Sequence[ChunkList]
    source: Source


async def make_offering(source: Source, on_bytes: Callable[[int], None] = lambda size: None) -> Offering:
    """List, hash and cut a source's files, off the event loop.

    Args:
        source: what to offer; closing it stays the caller's.
        on_bytes: told, on the event loop, the number of bytes hashed, now and then.

    Raises:
        PackageError: if the tree breaks a path rule, or a file cannot be read or changes meanwhile.
        StorageError: if the source has to keep a part of it, and the disk refuses.
    """
    loop = asyncio.get_running_loop()
    with _Hashing(lambda size: loop.call_soon_threadsafe(on_bytes, size)) as hashing:
        # the source is the caller's again when this returns: a block later nothing reads it any more
        return await stoppable(lambda stopped: hashing.run(source, stopped))


class _Hashing:
    """Hashes files in one thread or three: one reads, one hashes files, one cuts them and hashes chunks.

    Args:
        report: told the number of bytes read since the last time.
    """

    def __init__(self, report: Callable[[int], object]) -> None:
        self._report = report
        self._unreported = 0
        # one thread each: a file's blocks stay in order
        self._whole = ThreadPoolExecutor(1, "sleap-rtc-hash")
        self._parts = ThreadPoolExecutor(1, "sleap-rtc-cut")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._whole.shutdown(wait=False)
        self._parts.shutdown(wait=False)

    def run(self, source: Source, stopped: threading.Event) -> Offering:
        """See `make_offering`; blocks, until `stopped` is set."""
        self._stopped = stopped
        entries, lists = [], []
        for path, size in source.files():
            entry, chunks = self._file(source, path, size)
            entries.append(entry)
            lists.append(chunks)
        self._count(0, least=0)
        return Offering(Manifest(files=tuple(entries)), lists, source)

    def _file(self, source: Source, path: str, size: int) -> tuple[FileEntry, ChunkList]:
        too_large = PackageError(f"{path} is too large to be sent. Split it, or give a part of it.")
        if size > MAX_FILE_SIZE:
            raise too_large
        try:
            with source.open(path) as file:
                sha256, chunks = self._pass(file, size)
        except TransferError as error:
            raise PackageError(error.sentence) from error
        except UNREADABLE as error:
            raise PackageError(f"{path} cannot be read: {error}. Export the training package again.") from error
        if chunks is None or not source.unchanged(path):
            raise PackageError(f"{path} changed while it was read. Wait until nothing writes to it, then try again.")
        if len(chunks) > max_chunks(size):
            raise too_large
        return FileEntry(path=path, size=size, sha256=sha256, chunks=chunks.digest if size > SINGLE else None), chunks

    def _pass(self, file: BinaryIO, size: int) -> tuple[str, ChunkList | None]:
        """Hash and cut one file; None for its chunks if it does not have `size` bytes."""
        chunker = Chunker(size)
        block = min(max(_BLOCK, 8 * average_for(size)), _LARGEST_BLOCK, size + 1)
        under_way: deque[tuple[Future[None], Future[None]]] = deque()
        seen = 0
        while seen <= size and (data := file.read(block)):
            if self._stopped.is_set():
                raise Stopped
            seen += len(data)
            if size <= _INLINE:
                chunker.feed(data)
            else:
                under_way.append((self._whole.submit(chunker.hash, data), self._parts.submit(chunker.cut, data)))
            if len(under_way) * block >= _READ_AHEAD:
                _wait(under_way.popleft())
            self._count(len(data))
        while under_way:
            _wait(under_way.popleft())
        return chunker.finish() if seen == size else ("", None)

    def _count(self, size: int, least: int = _REPORT) -> None:
        self._unreported += size
        if self._unreported > least:
            self._report(self._unreported)
            self._unreported = 0


def _wait(pair: tuple[Future[None], Future[None]]) -> None:
    for future in pair:
        future.result()
