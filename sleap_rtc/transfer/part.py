"""A file on its way: its chunks come in any order, each is checked before it is written, the whole before it counts."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sleap_rtc.errors import ConflictError, TransferError
from sleap_rtc.protocol.chunks import ChunkList
from sleap_rtc.protocol.files import FileEntry
from sleap_rtc.transfer.borrowing import loans, spans
from sleap_rtc.transfer.disk import (
    RENAMES_OPEN_FILES,
    not_needed,
    open_locked,
    read_at,
    storage_error,
    write_at,
    written_ranges,
)
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.shelf import Shelf

P = ParamSpec("P")
R = TypeVar("R")


def _one_at_a_time(method: Callable[Concatenate["Part", P], R]) -> Callable[Concatenate["Part", P], R]:
    @wraps(method)
    def locked(part: "Part", /, *arguments: P.args, **named: P.kwargs) -> R:
        with part._lock:  # noqa: SLF001 - its own method
            return method(part, *arguments, **named)

    return locked


class Part:
    """A file that arrives; made by `Store.begin`. Its methods wait for each other.

    The part is a sparse file of the full size. What an earlier attempt left in it counts as far as it matches the
    chunk list, so nothing else has to be remembered, and nothing that a crash left is believed.

    Args:
        path: the part's file.
        owner: who brings the file.
        entry: what it must be.
        chunks: how it is cut.
        shelf: where it goes when it is whole.

    Raises:
        TransferError: if the chunks do not add up to the file.
        ConflictError: if the same file of this owner is arriving already.
        StorageError: if the disk refuses.
    """

    here: int
    """Bytes of checked chunks in this part."""

    def __init__(self, path: Path, owner: str, entry: FileEntry, chunks: ChunkList, shelf: Shelf) -> None:
        if chunks.size != entry.size:
            raise TransferError(f"{entry.path} is announced with chunks that do not add up to it. Send it again.")
        self.here = 0
        # whoever is cancelled closes the part while a thread may still be writing to it
        self._lock = threading.RLock()
        self._path = path
        self._owner = owner
        self._entry = entry
        self._chunks = chunks
        self._shelf = shelf
        self._have = bytearray(len(chunks))
        self._digest = hashlib.sha256()
        self._digested = 0
        """Chunks from the beginning on that the whole file's SHA-256 has seen."""
        with self._on_disk():
            descriptor = open_locked(path)
        if descriptor is None:
            raise ConflictError(
                f"{entry.path} is arriving already, from another command or over another link. "
                "Wait until that has ended, then try again."
            )
        self._descriptor = descriptor
        try:
            with self._on_disk():
                self._take_up()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(error, self._path) from error

    def _take_up(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size > self._entry.size:
            os.ftruncate(self._descriptor, 0)
            size = 0
        if size != self._entry.size:
            os.ftruncate(self._descriptor, self._entry.size)
        os.utime(self._path)  # old parts are swept
        if size:
            for span in spans(self._chunks, self._written_chunks()):
                self._accept(span[0], memoryview(self._read(span)), on_disk=True)

    def _written_chunks(self) -> Iterator[int]:
        ranges = written_ranges(self._descriptor, self._entry.size)
        begin, end = next(ranges, (self._entry.size, self._entry.size))
        for index, chunk in enumerate(self._chunks):
            while begin < self._entry.size and end <= chunk.offset:
                begin, end = next(ranges, (self._entry.size, self._entry.size))
            if begin < chunk.end:
                yield index

    def _read(self, span: range) -> bytes:
        begin = self._chunks[span[0]].offset
        return read_at(self._descriptor, begin, self._chunks[span[-1]].end - begin)

    def missing(self) -> Sequence[int]:
        """Indexes of the chunks that are not here, ascending."""
        return [index for index, have in enumerate(self._have) if not have]

    @_one_at_a_time
    def borrow(self) -> int:
        """Copy what this owner's other files in the store hold, and what this file itself holds several times.

        Returns:
            The bytes gained.

        Raises:
            StorageError: if the disk refuses.
        """
        before = self.here
        for first, data in loans(self._shelf, self._owner, self._chunks, list(self.missing())):
            self._accept(first, memoryview(data))
        self._repeat()
        return self.here - before

    def _repeat(self) -> None:
        missing = self.missing()
        wanted = {self._chunks[index].sha256 for index in missing}
        found = {
            chunk.sha256: index
            for index, chunk in enumerate(self._chunks)
            if chunk.sha256 in wanted and self._have[index]
        }
        sha256, data = b"", b""
        for index in missing:
            chunk = self._chunks[index]
            if chunk.sha256 not in found:
                continue
            if chunk.sha256 != sha256:
                with self._on_disk():
                    sha256, data = chunk.sha256, self._read(range(found[chunk.sha256], found[chunk.sha256] + 1))
            if len(data) == chunk.length:
                self._accept(index, memoryview(data))

    @_one_at_a_time
    def write(self, first: int, data: bytes | bytearray | memoryview) -> list[int]:
        """Check the bytes of consecutive chunks, and write those that are good and not here yet.

        Args:
            first: index of the first chunk.
            data: the whole bytes of that chunk and those that follow.

        Returns:
            Indexes of damaged chunks; they are still missing.

        Raises:
            TransferError: if there are no such chunks, or the data ends inside one; nothing is written then.
            StorageError: if the disk refuses.
        """
        view = memoryview(data).cast("B")
        if not 0 <= first < max(len(self._chunks), 1):
            raise TransferError(f"A chunk of {self._entry.path} arrived that it does not have. Send it again.")
        return self._accept(first, view)

    def _span_of(self, first: int, size: int) -> range:
        stop, rest = first, size
        while rest > 0 and stop < len(self._chunks):
            rest -= self._chunks[stop].length
            stop += 1
        if rest:
            raise TransferError(f"Bytes of {self._entry.path} arrived that are no whole chunks. Send it again.")
        return range(first, stop)

    def _accept(self, first: int, view: memoryview, *, on_disk: bool = False) -> list[int]:
        """Check bytes against their chunks and take the good ones; with `on_disk` the file holds them already."""
        span = self._span_of(first, len(view))
        base = self._chunks[first].offset if span else 0
        fresh, damaged = [], []
        for index in span:
            if self._have[index]:
                continue
            chunk = self._chunks[index]
            if hashlib.sha256(view[chunk.offset - base : chunk.end - base]).digest() == chunk.sha256:
                fresh.append(index)
            else:
                damaged.append(index)
        with self._on_disk():
            for run in _runs(fresh):
                begin, end = self._chunks[run[0]].offset, self._chunks[run[-1]].end
                some = view[begin - base : end - base]
                if not on_disk:
                    write_at(self._descriptor, begin, some)
                self._have[run[0] : run[-1] + 1] = b"\x01" * len(run)
                self.here += end - begin
                self._hash_on(run, some)
        return damaged

    def _hash_on(self, run: range, data: memoryview) -> None:
        """Bring the whole file's SHA-256 forward, by the bytes in hand and those that a hole had kept waiting."""
        if self._digested == run[0]:
            self._digest.update(data)
            self._digested = run.stop
        self._catch_up()

    def _catch_up(self) -> None:
        end = self._have.find(0, self._digested)
        for span in spans(self._chunks, range(self._digested, end if end >= 0 else len(self._have))):
            data = self._read(span)
            if self._entry.sha256 is None and self._differs(span, memoryview(data)):
                self._throw_away()
                raise self._damaged()
            self._digest.update(data)
            self._digested = span.stop

    def _differs(self, span: range, data: memoryview) -> bool:
        """Whether what was read back is not what was written: without a hash of the whole nothing else tells."""
        base = self._chunks[span[0]].offset
        return any(
            hashlib.sha256(data[chunk.offset - base : chunk.end - base]).digest() != chunk.sha256
            for chunk in (self._chunks[index] for index in span)
        )

    def _damaged(self) -> TransferError:
        return TransferError(f"{self._entry.path} arrived damaged or changed while it was sent. Send it again.")

    def settle(self, placing: Placing) -> None:
        """Bring what was written so far to the disk and its beginning on its way, while more arrives.

        `publish` and `Store.place` then need not wait for all of it.

        Args:
            placing: where the file goes; it is finished only when the whole was checked.

        Raises:
            StorageError: if the disk refuses.
        """
        with self._lock:
            if self._descriptor < 0:
                return
            descriptor = os.dup(self._descriptor)
            checked = self._chunks[self._digested - 1].end if self._digested else 0
        try:
            placing.extend(descriptor, checked)
            os.fsync(descriptor)
            not_needed(descriptor)
        except OSError as error:
            self._throw_away()  # as in `publish`: an error is told once, and later attempts would believe what is there
            raise storage_error(error, self._path) from error
        finally:
            os.close(descriptor)

    @_one_at_a_time
    def publish(self) -> None:
        """Check the whole file, sync it, and put it among the whole files of the store, under its SHA-256.

        Raises:
            TransferError: if a chunk is missing, or the whole is not what was announced; in the latter case what
                arrived is thrown away.
            StorageError: if the disk refuses.
        """
        with self._on_disk():
            self._catch_up()
        if self._digested < len(self._chunks):
            raise TransferError(f"{self._entry.path} has not arrived whole. Send it again.")
        sha256 = self._digest.hexdigest()
        if sha256 != (self._entry.sha256 or sha256):
            self._throw_away()
            raise self._damaged()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._throw_away()  # what reached the disk is unknown, and reading it back would not tell
            raise storage_error(error, self._path) from error
        if not RENAMES_OPEN_FILES:
            self.close()
        try:
            self._shelf.adopt(self._owner, self._entry, self._chunks, self._path, sha256)
        finally:
            self.close()

    @_one_at_a_time
    def _throw_away(self) -> None:
        if not RENAMES_OPEN_FILES:
            self.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
        self.close()

    @_one_at_a_time
    def close(self) -> None:
        """Let go of the file; what arrived stays for the next attempt. Idempotent.

        Raises:
            StorageError: if the disk refuses late.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with self._on_disk():
                os.close(descriptor)


def _runs(indexes: Iterable[int]) -> Iterator[range]:
    first = stop = -1
    for index in indexes:
        if index != stop:
            if stop > first:
                yield range(first, stop)
            first = index
        stop = index + 1
    if stop > first:
        yield range(first, stop)
