"""The store: files by their content, each kept once, each given only to those who brought it."""

import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sleap_rtc.errors import NotFoundError, StorageError
from sleap_rtc.protocol.chunks import ChunkList
from sleap_rtc.protocol.files import FileEntry
from sleap_rtc.transfer.chunk_index import ChunkIndex
from sleap_rtc.transfer.disk import is_locked, make_folder, remove_unlocked, storage_error
from sleap_rtc.transfer.part import Part
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.shelf import Shelf
from sleap_rtc.transfer.usage import PartFile, list_parts, size_below, space_of

SHARE = 10
"""The store takes at most this part of its disk, unless told otherwise."""
PART_LIFE = 7 * 24 * 3600.0
"""Seconds that a part waits for somebody to go on with it."""
RESERVE = 5 * 1024**3
"""Bytes to leave free for others on the disk, or a twentieth of it where that is less."""
LEAST = 256 * 1024**2
"""Bytes to leave free even where nothing is left to evict."""


class Store:
    """A folder of files by SHA-256. Several threads and several processes may use it at once; all methods block.

    An owner is whoever brings files, as the caller identifies them. Nobody gets, or learns of, a file of another one
    by knowing its hash.

    Args:
        folder: where it is, on a local disk; made, private, where missing. What a crash left in it is swept.
        max_bytes: how much it may hold; None: a tenth of its disk.

    Raises:
        StorageError: if it cannot be made, was made by a newer sleap-rtc, or is damaged while another process uses it.
    """

    def __init__(self, folder: Path, *, max_bytes: int | None = None) -> None:
        self.folder = folder
        """Where it is."""
        self._parts = folder / "parts"
        try:
            for each in (folder, folder / "files", self._parts):
                make_folder(each)
            if sys.platform != "win32" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
                folder.chmod(0o700)
        except OSError as error:
            raise storage_error(error, folder) from error
        self.max_bytes = space_of(folder)[0] // SHARE if max_bytes is None else max_bytes
        """Bytes of whole files and parts that it holds while no transfer is under way."""
        self._index = ChunkIndex(folder / "index.db", self._begin_anew)
        self._shelf = Shelf(folder / "files", self._index)
        try:
            self._shelf.sweep()
            self._sweep_parts()
            self._trim()
        except BaseException:
            self._index.close()
            raise

    def _begin_anew(self) -> None:
        self._shelf.sweep()  # files that a new index does not know would never be evicted

    def _sweep_parts(self) -> None:
        for part in list_parts(self._parts):
            if part.touched < time.time() - PART_LIFE:
                remove_unlocked(part.path)

    @staticmethod
    def look(folder: Path, *, max_bytes: int | None = None) -> tuple[int, int]:
        """Look at a store from outside: nothing in it is made, swept or locked, whatever state it is in.

        Args:
            folder: where it is; one that is missing is empty.
            max_bytes: as for the store.

        Returns:
            Bytes of whole files and of parts, and how many it may hold.

        Raises:
            StorageError: if it cannot be read.
        """
        size = size_below(folder / "files")
        if (folder / "parts").is_dir():
            size += sum(part.used for part in list_parts(folder / "parts"))
        return size, space_of(folder)[0] // SHARE if max_bytes is None else max_bytes

    @property
    def size(self) -> int:
        """Bytes of whole files and of parts."""
        return self._index.sizes()[0] + sum(part.used for part in list_parts(self._parts))

    def free(self) -> int:
        """Bytes that the disk has left.

        Raises:
            StorageError: if it does not say.
        """
        return space_of(self.folder)[1]

    def close(self) -> None:
        """Let go of the index; parts that are open stay usable until they are published. Idempotent."""
        self._index.close()

    def holds(self, owner: str, entry: FileEntry) -> bool:
        """Whether the file is here, whole, and `owner` brought it; if so, it was used now.

        Raises:
            StorageError: if the index cannot be read.
        """
        return self._shelf.find(owner, entry) is not None

    def begin(self, owner: str, entry: FileEntry, chunks: ChunkList) -> Part:
        """Start to take a file, or go on where an earlier attempt of this owner ended.

        Args:
            owner: who brings it.
            entry: what it must be.
            chunks: how it is cut; already checked against `entry.chunks`.

        Raises:
            TransferError: if the chunks do not add up to the file.
            ConflictError: if the same file of this owner is arriving already.
            StorageError: if the disk refuses.
        """
        name = hashlib.sha256(f"{entry.content} {owner}".encode()).hexdigest()
        return Part(self._parts / name, owner, entry, chunks, self._shelf)

    def place(self, owner: str, entry: FileEntry, placing: Placing) -> None:
        """Copy a file to a place, sharing its blocks where the disk can.

        Args:
            owner: who wants it.
            entry: which file; its path is only for sentences.
            placing: where the copy goes; what it holds already must be the file's beginning.

        Raises:
            NotFoundError: if the file is not here, or `owner` did not bring it.
            StorageError: if the place is a link or a folder, or the disk refuses.
        """
        file = self._shelf.find(owner, entry)
        if file is None:
            raise _not_here(entry)
        try:
            source = self._shelf.open(file.sha256, file.size)
        except NotFoundError as error:  # evicted meanwhile
            raise _not_here(entry) from error
        try:
            placing.finish(source, entry.size)
        finally:
            os.close(source)

    @contextmanager
    def pinned(self, owner: str, entries: Iterable[FileEntry]) -> Iterator[None]:
        """Keep this owner's files, those still to come included, from being evicted while the body runs.

        After it the store gives up what it holds beyond its cap.

        Raises:
            StorageError: if the index cannot be written.
        """
        token = self._index.pin(owner, [entry.content for entry in entries])
        try:
            yield
        finally:
            self._index.unpin(token)
            self._trim()

    def make_room(self, needed: int) -> bool:
        """Evict what was not used for longest, until `needed` bytes fit into the cap and on the disk.

        What cannot be enough is not tried: then nothing goes. The cap gives way where all that may go is too little,
        or `needed` is more than it; the disk's reserve gives way down to `LEAST`. Files that are pinned and parts that
        are open stay; the latter count with all that was announced of them, as far as room can be made for that.

        Args:
            needed: bytes that are about to be written, what open parts lack included.

        Returns:
            Whether the disk has room for them now.

        Raises:
            StorageError: if the index or the disk cannot be read or written.
        """
        return self._make_room(needed, parts_too=True)

    def _trim(self) -> None:
        """Keep the cap. Parts stay: somebody may be about to go on with them."""
        with suppress(StorageError):  # the next one who needs room hears of it
            self._make_room(0, parts_too=False)

    def _make_room(self, needed: int, *, parts_too: bool) -> bool:
        if not any(self._lacks(needed)):
            return True
        with self._index.writing():
            lacks = self._lacks(needed)
            loose: list[PartFile] = []
            idle = self._index.sizes()[1]
            if idle < max(lacks):
                self._index.drop_dead_pins()
                idle = self._index.sizes()[1]
                loose = [part for part in list_parts(self._parts) if parts_too and not is_locked(part.path)]
            within_reach = idle + sum(part.used for part in loose)
            lack = next((lack for lack in lacks if lack <= within_reach), None)
            if lack is None:
                return False
            lack -= self._shelf.evict(self._index.evictable(lack))
            for part in loose:
                if lack > 0 and remove_unlocked(part.path):
                    lack -= part.used
        return self.free() >= needed + min(LEAST, self._reserve())

    def _lacks(self, needed: int) -> list[int]:
        """How many bytes must go, from what is best to what is barely enough."""
        parts, free, reserve = list_parts(self._parts), self.free(), self._reserve()
        held = self._index.sizes()[0] + sum(part.used for part in parts)
        announced = sum(part.size - part.used for part in parts if part.size > part.used and is_locked(part.path))
        all_needed = max(needed, announced)  # whoever asks may have announced it by a part

        def cap(size: int) -> int:
            return max(held + size - self.max_bytes, 0) if size <= self.max_bytes else 0

        def disk(size: int, left: int) -> int:
            return max(size + left - free, 0)

        return [
            max(cap(all_needed), cap(needed), disk(all_needed, reserve)),
            max(cap(needed), disk(needed, reserve)),
            disk(needed, reserve),
            disk(needed, min(LEAST, reserve)),
        ]

    def _reserve(self) -> int:
        return min(RESERVE, space_of(self.folder)[0] // 20)


def _not_here(entry: FileEntry) -> NotFoundError:
    return NotFoundError(f"{entry.path} is not in the store, or not any more. Send it again.")
