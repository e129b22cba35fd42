"""The whole files of a store and their index, kept in step whatever happens on the way."""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sleap_rtc.config.durable import sync_folder
from sleap_rtc.errors import NotFoundError, StorageError
from sleap_rtc.protocol.chunks import ChunkList
from sleap_rtc.protocol.files import FileEntry
from sleap_rtc.transfer.chunk_index import ChunkIndex, StoredFile
from sleap_rtc.transfer.disk import is_plain, make_folder, open_plain, remove, storage_error

_PREFIX = 2
"""Hex digits that name a file's folder, so that none holds too many."""


class Shelf:
    """Whole files, each under its SHA-256, and the index that knows whose they are.

    Files are added and removed only while this process is the index's only writer. A file without a row, or a row
    without its file, is what a crash leaves; the one is swept, the other counts as not there.

    Args:
        folder: where the files lie.
        index: what is known about them.
    """

    def __init__(self, folder: Path, index: ChunkIndex) -> None:
        self._folder = folder
        self._index = index
        self.find_chunks = index.find_chunks

    def path_of(self, sha256: str) -> Path:
        """Where a file lies."""
        return self._folder / sha256[:_PREFIX] / sha256

    def find(self, owner: str, entry: FileEntry) -> StoredFile | None:
        """The file, if it is here and `owner` brought it; if so, it was used now."""
        file = self._index.find_of(owner, entry.content)
        if file is None or file.size != entry.size or not is_plain(self.path_of(file.sha256), file.size):
            return None
        with suppress(StorageError), self._index.writing():  # a full disk keeps nobody from reading
            self._index.touch(file)
        return file

    def open(self, sha256: str, size: int) -> int:
        """Open a file for reading.

        Returns:
            Its descriptor.

        Raises:
            NotFoundError: if it is not here any more.
        """
        try:
            descriptor = open_plain(self.path_of(sha256), os.O_RDONLY)
        except OSError as error:
            raise NotFoundError("The file is not in the store any more.") from error
        if os.fstat(descriptor).st_size != size:
            os.close(descriptor)
            raise NotFoundError("The file in the store is damaged.")
        return descriptor

    def adopt(self, owner: str, entry: FileEntry, chunks: ChunkList, part: Path, sha256: str) -> None:
        """Take a checked and synced part as the file it is, and note the owner.

        It replaces a file that is here already: that one may have rotted, and the time this takes tells nobody of it.

        Args:
            owner: who brought it.
            entry: as what.
            chunks: how it is cut.
            part: where it lies.
            sha256: of its bytes, as they were checked.

        Raises:
            StorageError: if the disk refuses; the part is then where it was.
        """
        path = self.path_of(sha256)
        moved = False
        try:
            make_folder(path.parent)
            with self._index.writing():
                file = self._index.find(sha256) or self._index.add(sha256, entry.size)
                self._index.add_owner(file, owner, chunks)
                if entry.sha256 is None:
                    self._index.add_list(file, owner, entry.content)
                self._index.touch(file)
                _put(part, path, entry.size)  # last, so that a crash finds the part or the row, hardly ever neither
                moved = True
            sync_folder(path.parent)
        except OSError as error:
            raise storage_error(error, path) from error
        except StorageError:
            if moved:
                self._move_back(sha256, part)
            raise

    def _move_back(self, sha256: str, part: Path) -> None:
        """Keep a file as a part where the index could not take it; swept would be all it came to otherwise."""
        with suppress(StorageError, OSError), self._index.writing():
            if self._index.find(sha256) is None:
                self.path_of(sha256).replace(part)

    def evict(self, files: Iterable[StoredFile]) -> int:
        """Remove files, the index's only writer being this process; one that the system keeps stays in the index.

        Returns:
            The bytes of those that are gone.
        """
        gone = []
        for file in files:
            with suppress(OSError):
                remove(self.path_of(file.sha256))
                gone.append(file)
        self._index.drop(gone)
        return sum(file.size for file in gone)

    def sweep(self) -> None:
        """Remove what a crash left: files without a row, rows without their file.

        Raises:
            StorageError: if the disk refuses.
        """
        with self._index.writing():
            known = {file.sha256: file for file in self._index.files()}
            try:
                for path in self._names():
                    file = known.get(path.name)
                    if file and path == self.path_of(file.sha256) and is_plain(path, file.size):
                        del known[file.sha256]
                    else:
                        with suppress(OSError):
                            remove(path)
            except OSError as error:
                raise storage_error(error, self._folder) from error
            self._index.drop(list(known.values()))
            self._index.drop_dead_pins()

    def _names(self) -> Iterator[Path]:
        for below in list(self._folder.iterdir()):
            if below.is_dir() and not below.is_symlink() and len(below.name) == _PREFIX:
                yield from list(below.iterdir())
            else:
                yield below


def _put(part: Path, path: Path, size: int) -> None:
    if not is_plain(path, size):
        remove(path)
        part.replace(path)
        return
    old = open_plain(path, os.O_RDONLY)
    try:
        part.replace(path)
    except OSError:
        part.unlink()  # Windows keeps a file that somebody reads
    finally:
        # the disk gives back a large file's blocks slowly: those who wait for it would know that there was one
        threading.Thread(target=os.close, args=(old,)).start()
