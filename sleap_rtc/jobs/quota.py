"""How much of the worker's disk a job may take, looked at while it runs; and how much a new one must find free.

A job whose ``work/`` has grown too large is ended. So is, where the disk is nearly full, the one that takes most of it
among those that run: it alone, if that is enough. All it has written is removed then, but for its models.
"""

import errno
import os
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from sleap_rtc.errors import StorageError

from .files import remove_tree, storage_error
from .folder import JobFolder, is_real_folder
from .lookout import Lookout, others_at_work
from .settings import SupervisorSettings

LEAST_FREE = 5 * 1024**3
"""Bytes that must be free for a new job where the disk is small; of a larger one a twentieth."""
_LAST_SHARE = 10
"""A job that runs is ended only when so many times less is free than a new one must find."""
_BUSY_SHARE = 10
"""A look that took long is followed by a pause so many times as long."""
_HIDDEN = 2**60
"""Bytes that folders count for which are nested too deep to be looked into: nothing is to be hidden there."""


def least_free(folder: Path) -> int:
    """Bytes that must be free for a new job where nobody has set it: 5 GiB, or 5 % of a larger disk.

    Args:
        folder: where jobs are kept; it need not exist yet.

    Raises:
        StorageError: if the disk does not say.
    """
    return max(LEAST_FREE, _usage(folder).total // 20)


def check_free(folder: Path, least: int) -> None:
    """Refuse new work where the disk is nearly full.

    Args:
        folder: where jobs are kept; it need not exist yet.
        least: bytes that must be free.

    Raises:
        StorageError: if less is free.
    """
    if least and (free := _usage(folder).free) < least:
        raise StorageError(
            f"The disk of this worker has {size_words(free)} left, and it takes new jobs only with "
            f"{size_words(least)} free: choose another worker, or ask its owner to make room."
        )


def free_up(folder: JobFolder, run: str, keep: Collection[str]) -> None:
    """Remove what a job has written, but for its models. Nothing of it may run.

    Args:
        folder: the job's.
        run: the run that took too much.
        keep: names of the files that make up its model: nothing else of it is left.
    """
    runs = {each.name for each in folder.spec().runs}
    _clear(folder.work, {folder.models.name, folder.before.name, "runs"})
    _clear(folder.models, runs)
    if is_real_folder(folder.models):
        _clear(folder.models / run, keep)


def _clear(folder: Path, keep: Collection[str]) -> None:
    for entry in list(_entries(folder)) if is_real_folder(folder) else ():
        if entry.name in keep:
            continue
        with suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(Path(entry.path))
            else:
                Path(entry.path).unlink()


def bytes_below(folder: Path) -> int:
    """Bytes that the files below a folder take of their disk; no link is followed, what cannot be read is left out."""
    total, left = 0, [str(folder)]
    # neither recursion nor `Path`: a job may nest folders deeper than Python calls, and long paths are slow
    while left:
        try:
            with os.scandir(left.pop()) as entries:
                for entry in entries:
                    total += _bytes_of(entry, left)
        except OSError as error:
            total += _hidden(error)
    return total


def _bytes_of(entry: "os.DirEntry[str]", left: list[str]) -> int:
    """What an entry takes; a folder is added to those that are left to look into."""
    try:
        if entry.is_dir(follow_symlinks=False):
            left.append(entry.path)
            return 0
        # blocks, for a hole takes no room; Windows does not count them
        state = entry.stat(follow_symlinks=False)
    except OSError as error:
        return _hidden(error)
    return state.st_blocks * 512 if hasattr(state, "st_blocks") else state.st_size


def _hidden(error: OSError) -> int:
    return _HIDDEN if error.errno == errno.ENAMETOOLONG else 0


def _entries(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    with suppress(OSError), os.scandir(folder) as entries:
        yield from entries


class QuotaWatch(Lookout):
    """Looks at what a job takes of the disk, every few seconds.

    Args:
        folder: the job's.
        settings: what it may take, and how often to look.
    """

    def __init__(self, folder: JobFolder, settings: SupervisorSettings) -> None:
        super().__init__(settings.quota_look)
        self._folder, self._settings = folder, settings

    def _look(self) -> str | None:
        began = time.monotonic()
        try:
            return self._excess()
        finally:
            self._pause = max(self._settings.quota_look, _BUSY_SHARE * (time.monotonic() - began))

    def _excess(self) -> str | None:
        taken, most = bytes_below(self._folder.work), self._settings.max_work
        if taken >= _HIDDEN:
            return "it has nested folders deeper than this worker can look into. Write files less deep."
        if taken > most:
            return (
                f"it has written {size_words(taken)}, and this worker lets a job take {size_words(most)}. Keep fewer "
                "checkpoints and images, or ask the worker's owner to raise worker.max_job_bytes."
            )
        least = self._settings.min_free // _LAST_SHARE
        with suppress(StorageError, OSError):  # another job's folder that cannot be read ends no watch
            free = _usage(self._folder.path).free
            # asked again: the one that took most may have been ended and cleared meanwhile
            if free < least and self._takes_most(taken) and _usage(self._folder.path).free < least:
                return (
                    f"the worker's disk has {size_words(free)} left, and of the jobs that run it takes most. Ask the "
                    "worker's owner to make room."
                )
        return None

    def _takes_most(self, taken: int) -> bool:
        mine = (taken, self._folder.job)
        return all((bytes_below(other.work), other.job) <= mine for other in others_at_work(self._folder))


def _usage(folder: Path) -> "shutil._ntuple_diskusage":
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    try:
        return shutil.disk_usage(there)
    except OSError as error:
        raise storage_error(there, error) from error


def size_words(count: int) -> str:
    """A number of bytes, for a sentence."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
