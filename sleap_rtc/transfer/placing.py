"""Giving a stored file to somebody: a copy that shares its blocks where the system can, never another name of it."""

import errno
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
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

    def _clone(source: int, sink: int, size: int) -> None:
        fcntl.ioctl(sink, _FICLONE, source)

    def _copy_range(source: int, sink: int, size: int) -> None:
        _in_steps(source, size, lambda at, left: os.copy_file_range(source, sink, left, at, at))

    def _send(source: int, sink: int, size: int) -> None:
        os.lseek(sink, 0, os.SEEK_SET)
        _in_steps(source, size, lambda at, left: os.sendfile(sink, source, at, left))

    _WAYS: tuple[Callable[[int, int, int], None], ...] = (_clone, _copy_range, _send)
else:
    _WAYS = ()


def _in_steps(source: int, size: int, step: Callable[[int, int], int]) -> None:
    at = 0
    while at < size:
        moved = step(at, min(size - at, _AT_ONCE))
        if moved == 0:  # the file is shorter than it was, or this way does not work here, as on some network disks
            raise OSError(errno.EIO, "nothing was copied")
        not_needed(source, at, moved)
        at += moved


def place_file(source: int, size: int, target: Path) -> None:
    """Copy a file to `target`: whole and synced, or not at all; what is there is replaced.

    Args:
        source: descriptor of the file; its position does not matter.
        size: its bytes.
        target: where the copy goes; its folders are made, private, where missing.

    Raises:
        StorageError: if `target` is a link or a folder, or the disk refuses.
    """
    if target.is_symlink():
        raise StorageError(f"{target} is a link. Remove it, or choose another place, then try again.")
    # hidden, no longer than any name may be, and another one at every attempt: an earlier one may still be at work
    draft = target.with_name(f".{secrets.token_hex(8)}{_DRAFT}")
    try:
        make_folder(target.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        try:
            sink = os.open(draft, flags, 0o600)
            try:
                copy_file(source, sink, size)
                os.fsync(sink)
            finally:
                os.close(sink)
            draft.replace(target)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)
    except OSError as error:
        raise storage_error(error, target) from error


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


def copy_file(source: int, sink: int, size: int) -> None:
    """Copy `size` bytes into an empty file, by the best way that the system knows.

    Raises:
        OSError: if the disk refuses, or the source is shorter.
    """
    for way in _WAYS:
        try:
            way(source, sink, size)
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        else:
            if os.fstat(sink).st_size == size:
                return
        os.ftruncate(sink, 0)
    _copy_plainly(source, sink, size)


def _copy_plainly(source: int, sink: int, size: int) -> None:
    os.lseek(source, 0, os.SEEK_SET)
    os.lseek(sink, 0, os.SEEK_SET)
    left = size
    while left:
        block = memoryview(os.read(source, min(BLOCK, left)))
        if not block:
            raise OSError(errno.EIO, "the file is shorter than it was")
        left -= len(block)
        while block:
            block = block[os.write(sink, block) :]
