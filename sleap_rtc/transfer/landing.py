"""Where files arrive: in parts first, under their own name only when they are whole and proven."""

import errno
import hashlib
import os
from pathlib import Path

from sleap_rtc.errors import SleapRTCError, StorageError, TransferError
from sleap_rtc.protocol.files import FileEntry
from sleap_rtc.transfer.source import BLOCK


def storage_error(error: OSError, path: Path) -> SleapRTCError:
    """Say what a failed write to `path` means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"The disk of {path} is full. Free some space, then run the same command again.")
    return StorageError(f"{path} cannot be written: {error.strerror}. Check the folder's permissions, then try again.")


class Landing:
    """A folder that files arrive in. All methods block; callers use a thread.

    Args:
        folder: where whole files go; made, private, where missing.
        parts: where unfinished ones wait, on the same file system.

    Raises:
        StorageError: if they cannot be made.
    """

    def __init__(self, folder: Path, parts: Path) -> None:
        self.folder = folder
        self._parts = parts
        for each in (folder, parts):
            try:
                each.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise storage_error(error, each) from error

    def size(self) -> int:
        """Bytes that are here already, in whole files and in parts."""
        found = (path for root in (self.folder, self._parts) for path in root.rglob("*"))
        return sum(path.lstat().st_size for path in found if path.is_file())

    def holds(self, entry: FileEntry) -> bool:
        """Whether the file is here, whole; it was checked when it was published."""
        path = self.folder / entry.path
        return path.is_file() and not path.is_symlink() and path.stat().st_size == entry.size

    def begin(self, index: int, entry: FileEntry) -> "Part":
        """Open the part of a file, going on where an earlier attempt ended."""
        # the hash is in the name: a part of another version of the file is never continued
        return Part(self._parts / f"{index}-{entry.sha256}", self.folder / entry.path, entry)


class Part:
    """A file on its way."""

    def __init__(self, path: Path, target: Path, entry: FileEntry) -> None:
        self._path = path
        self._target = target
        self._entry = entry
        self._digest = hashlib.sha256()
        self.offset = 0
        try:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
            self._file = open(os.open(path, flags, 0o600), "r+b")  # noqa: PTH123, SIM115 - closed in close()
            self._take_up()
        except OSError as error:
            raise storage_error(error, path) from error

    def _take_up(self) -> None:
        while block := self._file.read(BLOCK):
            self._digest.update(block)
            self.offset += len(block)
        if self.offset > self._entry.size:
            self._start_over()

    def _start_over(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.offset = 0

    def write(self, data: bytes) -> None:
        """Append bytes.

        Raises:
            TransferError: if the file would become longer than announced.
            StorageError: if the disk refuses.
        """
        if self.offset + len(data) > self._entry.size:
            raise TransferError(f"{self._entry.path} is longer than its sender announced. Send it again.")
        try:
            self._file.write(data)
        except OSError as error:
            raise storage_error(error, self._target) from error
        self._digest.update(data)
        self.offset += len(data)

    def publish(self) -> None:
        """Check the whole file, sync it, and give it its name.

        Raises:
            TransferError: if its bytes are not the announced ones; they are thrown away.
            StorageError: if the disk refuses.
        """
        if self.offset != self._entry.size or self._digest.hexdigest() != self._entry.sha256:
            self._start_over()
            raise TransferError(f"{self._entry.path} arrived damaged or changed while it was sent. Send it again.")
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.replace(self._target)
        except OSError as error:
            raise storage_error(error, self._target) from error

    def close(self) -> None:
        """Let go of the file; what arrived stays for the next attempt."""
        try:
            self._file.close()
        except OSError as error:
            raise storage_error(error, self._target) from error
