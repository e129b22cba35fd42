"""What a store takes of its disk, and what the disk has."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sleap_rtc.transfer.disk import storage_error, used_by


class PartFile(NamedTuple):
    """A part that lies in a store: when it was last touched, where, the bytes it takes, and those it will have."""

    touched: float
    path: Path
    used: int
    size: int


def list_parts(folder: Path) -> list[PartFile]:
    """All parts in a folder, the oldest first.

    Raises:
        StorageError: if it cannot be read.
    """
    found = []
    try:
        for path in list(folder.iterdir()):
            with suppress(FileNotFoundError):
                state = path.lstat()
                found.append(PartFile(state.st_mtime, path, used_by(state), state.st_size))
    except OSError as error:
        raise storage_error(error, folder) from error
    return sorted(found)


def size_below(folder: Path) -> int:
    """Bytes of the files below a folder; no link is followed, and what vanishes meanwhile does not count.

    Raises:
        StorageError: if a folder cannot be read.
    """
    total = 0
    try:
        for root, _, names in os.walk(folder, onerror=_unless_gone):
            for name in names:
                with suppress(FileNotFoundError):
                    total += Path(root, name).lstat().st_size
    except OSError as error:
        raise storage_error(error, folder) from error
    return total


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def disk_of(path: Path) -> int:
    """A number that two paths on the same disk have in common.

    Raises:
        StorageError: if the disk does not say.
    """
    try:
        return path.stat().st_dev
    except OSError as error:
        raise storage_error(error, path) from error


def space_of(path: Path) -> tuple[int, int]:
    """Return the bytes that a disk has and those that it has left.

    Raises:
        StorageError: if it does not say.
    """
    try:
        usage = shutil.disk_usage(path)
    except OSError as error:
        raise storage_error(error, path) from error
    return usage.total, usage.free
