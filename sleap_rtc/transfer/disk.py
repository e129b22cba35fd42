"""What disks and systems do differently, in one place: errors, private folders, locks, bytes at offsets."""

import errno
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sleap_rtc.errors import StorageError

BLOCK = 1024 * 1024
"""Bytes to read at once."""
RENAMES_OPEN_FILES = sys.platform != "win32"
"""Whether a file may be renamed and removed while it is open."""
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_PATIENCE = 20
"""How often a lock is tried: whoever sweeps old parts holds one for a moment."""
_PAUSE = 0.01

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 2**60  # a lock here forbids reading, so it lies where no file reaches
    _moving = threading.Lock()

    def _take(descriptor: int) -> None:
        with _moving:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _read_some(descriptor: int, size: int, offset: int) -> bytes:
        with _moving:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, size)

    def _write_some(descriptor: int, data: memoryview, offset: int) -> int:
        with _moving:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.write(descriptor, data)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _read_some(descriptor: int, size: int, offset: int) -> bytes:
        return os.pread(descriptor, size, offset)

    def _write_some(descriptor: int, data: memoryview, offset: int) -> int:
        return os.pwrite(descriptor, data, offset)


def storage_error(error: OSError, path: Path) -> StorageError:
    """Say what an error of the disk at `path` means for the user."""
    if error.errno in _FULL:
        return StorageError(f"The disk of {path} is full. Free some space, then run the same command again.")
    if error.errno == errno.EFBIG:
        return StorageError(
            f"{path} may not grow that large: the disk is full, its kind has no files of that size, or a limit is set "
            "(ulimit -f). Free some space or raise the limit, then run the same command again."
        )
    if error.errno == errno.EROFS:
        return StorageError(f"{path} cannot be written: its disk is read-only. Make it writable, then try again.")
    if error.errno == errno.EIO:
        return StorageError(f"The disk of {path} reports an error ({error.strerror}). Check the disk, then try again.")
    return StorageError(
        f"{path} cannot be written: {error.strerror or error}. Check the folder's permissions, then try again."
    )


def not_needed(descriptor: int, begin: int = 0, size: int = 0) -> None:
    """Let the system forget what it remembers of a synced file: its memory is better used for what is written next.

    Args:
        descriptor: the file.
        begin: from where on, in bytes.
        size: how much; 0 for all of it.
    """
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            os.posix_fadvise(descriptor, begin, size, os.POSIX_FADV_DONTNEED)


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, for this user alone; one that is there stays as it is.

    Raises:
        OSError: if it cannot be made.
    """
    # pathlib gives its mode to the last folder only
    missing = []
    folder = path
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def open_plain(path: Path, flags: int) -> int:
    """Open a regular file by `flags` of `os.open`: no link is followed, a pipe never blocks.

    Returns:
        Its descriptor.

    Raises:
        OSError: if it cannot be opened, or is no regular file.
    """
    extra = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
    descriptor = os.open(path, flags | extra, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def is_plain(path: Path, size: int) -> bool:
    """Whether `path` itself is a regular file of `size` bytes."""
    try:
        state = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == size


def remove(path: Path) -> None:
    """Remove whatever has this name: a file, a link (not where it leads), a folder. A missing one is fine.

    Raises:
        OSError: if it cannot be removed.
    """
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()


def open_locked(path: Path) -> int | None:
    """Open a file to read and write, made where missing, and keep it from all others until it is closed.

    What is there but is no plain file of one name (a link, a pipe, a folder) is replaced: it is neither followed nor
    written to.

    Returns:
        Its descriptor; None if somebody else has it.

    Raises:
        OSError: if the disk refuses.
    """
    for _ in range(_PATIENCE):
        if (descriptor := _open_ours(path)) is None:
            continue
        if not _lock(descriptor):
            os.close(descriptor)
            time.sleep(_PAUSE)
        elif _is_at(descriptor, path):
            return descriptor
        else:  # it was removed before we had the lock
            os.close(descriptor)
    return None


def _open_ours(path: Path) -> int | None:
    try:
        descriptor = open_plain(path, os.O_RDWR | os.O_CREAT)
    except OSError:
        if not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode):
            raise
    else:
        if os.fstat(descriptor).st_nlink <= 1:
            return descriptor
        os.close(descriptor)  # a second name: writing would change somebody else's file
    remove(path)
    return None


def _lock(descriptor: int) -> bool:
    try:
        _take(descriptor)
    except OSError as error:
        # anything else means that this file system knows no locks: then there is none to respect
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except OSError:
        return False


def remove_unlocked(path: Path) -> bool:
    """Remove a file unless somebody has it through `open_locked`; what is no file is removed too.

    Returns:
        Whether it is gone.
    """
    try:
        descriptor = open_plain(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    except OSError:
        with suppress(OSError):
            remove(path)
        return not os.path.lexists(path)
    try:
        if not _lock(descriptor) or not _is_at(descriptor, path):
            return False
        if not RENAMES_OPEN_FILES:
            os.close(descriptor)  # Windows keeps names of open files: let go first
            descriptor = -1
        path.unlink(missing_ok=True)
    except OSError:
        return False
    else:
        return True
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether somebody has a file through `open_locked`."""
    try:
        descriptor = open_plain(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def read_at(descriptor: int, offset: int, size: int) -> bytes:
    """Read exactly `size` bytes from `offset` on.

    Raises:
        OSError: if the disk refuses, or the file ends before.
    """
    data = _read_some(descriptor, size, offset)
    while len(data) < size:
        more = _read_some(descriptor, size - len(data), offset + len(data))
        if not more:
            raise OSError(errno.EIO, "the file is shorter than it was")
        data += more
    return data


def write_at(descriptor: int, offset: int, data: memoryview) -> None:
    """Write all bytes from `offset` on.

    Raises:
        OSError: if the disk refuses; some of the bytes may be written.
    """
    while data:
        written = _write_some(descriptor, data, offset)
        data, offset = data[written:], offset + written


def written_ranges(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the ranges (begin, end) of the first `size` bytes that were ever written, where the system knows."""
    if not hasattr(os, "SEEK_DATA"):
        yield 0, size
        return
    end = 0
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: only a hole is left; others: no such thing on this file system
                yield end, size
            return
        yield begin, min(end, size)


def used_by(state: os.stat_result) -> int:
    """Bytes that a file takes: those of its holes count only where the system does not tell."""
    blocks = getattr(state, "st_blocks", None)
    return state.st_size if blocks is None else min(blocks * 512, state.st_size)
