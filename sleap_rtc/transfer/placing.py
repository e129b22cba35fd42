"""Giving a stored file to somebody: a copy that shares its blocks where the system can, never another name of it."""

import errno
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sleap_rtc.config.durable import sync_folder
from sleap_rtc.errors import StorageError
from sleap_rtc.transfer.disk import BLOCK, make_folder, not_needed, storage_error

_AT_ONCE = 16 * BLOCK
_DRAFT = ".placing"
_CANNOT = (
    errno.EOPNOTSUPP,
    errno.ENOTSUP,
    errno.ENOSYS,
    errno.EXDEV,
    errno.EINVAL,
    errno.ENOTTY,
    errno.EPERM,
    errno.EBADF,
    errno.ETXTBSY,
    errno.ENOENT,
    errno.EIO,
)
"""What a system says that knows no such way to copy, or not between these two disks, or does it badly.

Where the disk itself fails, copying plainly fails, too, and says so."""

if sys.platform == "linux":
    import fcntl

    _FICLONE = 0x40049409

    def _clone(source: int, sink: int) -> None:
        fcntl.ioctl(sink, _FICLONE, source)

    def _copy_range(source: int, sink: int, begin: int, end: int) -> None:
        _in_steps(source, begin, end, lambda at, left: os.copy_file_range(source, sink, left, at, at))

    def _send(source: int, sink: int, begin: int, end: int) -> None:
        os.lseek(sink, begin, os.SEEK_SET)
        _in_steps(source, begin, end, lambda at, left: os.sendfile(sink, source, at, left))

    _WAYS: tuple[Callable[[int, int, int, int], None], ...] = (_copy_range, _send)
else:

    def _clone(source: int, sink: int) -> None:
        raise OSError(errno.ENOSYS, "not known on this system")

    _WAYS = ()


def _in_steps(source: int, begin: int, end: int, step: Callable[[int, int], int]) -> None:
    while begin < end:
        moved = step(begin, min(end - begin, _AT_ONCE))
        if moved == 0:  # the file is shorter than it was, or this way does not work here, as on some network disks
            raise OSError(errno.EIO, "nothing was copied")
        not_needed(source, begin, moved)
        begin += moved


def shares_blocks(source: int, sink: int) -> bool:
    """Make a file the clone of another one, where the disk can share blocks between them: that takes no time.

    Raises:
        OSError: if the disk refuses.
    """
    try:
        _clone(source, sink)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return False
    return True


class Placing:
    """A file on its way to its place: whole and synced, or not at all; what is there is replaced.

    Where the disk cannot share blocks, its beginning may be copied while the rest still arrives. It is written beside
    its place, hidden, until then. All methods block, and wait for each other.

    Args:
        target: the place; folders above are made, private, where missing.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        """The place."""
        # hidden, no longer than any name may be, and another one at every attempt: an earlier one may still be at work
        self._draft = target.with_name(f".{secrets.token_hex(8)}{_DRAFT}")
        self._lock = threading.Lock()
        self._sink: int | None = None
        self._copied = 0
        self._shares = False
        self._closed = False

    def extend(self, source: int, end: int) -> None:
        """Copy and sync the beginning of the file, as far as that was not done.

        Args:
            source: descriptor of the file; its position does not matter.
            end: how far it is as it will be, in bytes.

        Raises:
            StorageError: if the place is a link or a folder, or the disk refuses.
        """
        with self._lock, self._on_disk():
            if self._closed or self._shares or end <= self._copied:
                return
            sink = self._open()
            self._shares = not self._copied and shares_blocks(source, sink)
            if not self._shares:
                copy_file(source, sink, self._copied, end)
                self._copied = end
                os.fsync(sink)
                not_needed(sink)

    def finish(self, source: int, size: int) -> None:
        """Copy the rest, and put the file in its place.

        Args:
            source: descriptor of the file; its position does not matter.
            size: its bytes.

        Raises:
            StorageError: if the place is a link or a folder, or the disk refuses.
        """
        with self._lock, self._on_disk():
            sink = self._open()
            if self._copied or not shares_blocks(source, sink):
                copy_file(source, sink, self._copied, size)
            os.fsync(sink)
            self._close_sink()
            self._draft.replace(self.target)
            sync_folder(self.target.parent)

    def close(self) -> None:
        """Remove what was not finished. Idempotent."""
        with self._lock:
            self._give_up()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._give_up()
            raise storage_error(error, self.target) from error

    def _open(self) -> int:
        if self.target.is_symlink():
            raise StorageError(f"{self.target} is a link. Remove it, or choose another place, then try again.")
        if self._sink is None:
            make_folder(self.target.parent)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._sink = os.open(self._draft, flags, 0o600)
        return self._sink

    def _close_sink(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            os.close(sink)

    def _give_up(self) -> None:
        self._closed = True
        self._copied = 0
        with suppress(OSError):
            self._close_sink()
        with suppress(OSError):
            self._draft.unlink(missing_ok=True)


def remove_drafts(folder: Path) -> None:
    """Remove what crashed or cancelled attempts to place files below `folder` left there.

    Raises:
        StorageError: if the disk refuses.
    """
    try:
        for draft in folder.rglob(f".*{_DRAFT}"):
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, folder) from error


def copy_file(source: int, sink: int, begin: int, end: int) -> None:
    """Append bytes `begin` to `end` of a file to another one that ends at `begin`, by the best way the system knows.

    Raises:
        OSError: if the disk refuses, or the source is shorter.
    """
    for way in _WAYS:
        try:
            way(source, sink, begin, end)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        else:
            if os.fstat(sink).st_size == end:
                return
        os.ftruncate(sink, begin)
    _copy_plainly(source, sink, begin, end)


def _copy_plainly(source: int, sink: int, begin: int, end: int) -> None:
    os.lseek(source, begin, os.SEEK_SET)
    os.lseek(sink, begin, os.SEEK_SET)
    left = end - begin
    while left:
        block = memoryview(os.read(source, min(BLOCK, left)))
        if not block:
            raise OSError(errno.EIO, "the file is shorter than it was")
        left -= len(block)
        while block:
            block = block[os.write(sink, block) :]
