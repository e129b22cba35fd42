"""A disk that is nearly full: a pause that says so, while there is hope, and then an error that says what to do."""

import asyncio
from pathlib import Path

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import StorageError
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.store import LEAST, Store
from sleap_rtc.transfer.threads import in_thread
from sleap_rtc.transfer.usage import disk_of, space_of

GLANCE = 64 * 1024 * 1024
"""Bytes that may be taken between two looks at the disk."""


class DiskSpace:
    """The room that one transfer may fill.

    Args:
        store: where the bytes go.
        progress: told of a pause.
        timeouts: how long to hope.
    """

    def __init__(self, store: Store, progress: Progress, timeouts: Timeouts) -> None:
        self._store = store
        self._progress = progress
        self._timeouts = timeouts
        self._known = 0
        self._looking = asyncio.Lock()

    async def check(self, lacking: int, size: int, place: Path) -> None:
        """Refuse at once what does not fit.

        Args:
            lacking: bytes that the store is about to take.
            size: bytes of the copy at `place`; where the disk shares blocks it takes none, which shows only later.
            place: where that goes, perhaps on another disk.

        Raises:
            StorageError: if they cannot be written.
        """
        await in_thread(self._check, lacking, size, place)

    def _check(self, lacking: int, size: int, place: Path) -> None:
        folder = next(each for each in place.absolute().parents if each.exists())
        same = disk_of(folder) == disk_of(self._store.folder)
        wanted = lacking + size if same else lacking
        if self._free(wanted) < 0:
            raise _too_little(wanted, self._store.folder, self._store.free())
        if not same and (free := space_of(folder)[1]) - LEAST < size:
            raise _too_little(size, folder, free)

    async def take(self, size: int) -> None:
        """Wait until `size` bytes may be written.

        Raises:
            StorageError: if the disk stays nearly full.
        """
        self._known -= size
        if self._known >= 0:
            return
        async with self._looking:
            if self._known < 0:
                await self._look(size)

    async def _look(self, size: int) -> None:
        clock = asyncio.get_running_loop().time
        until = clock() + self._timeouts.disk
        while (free := await in_thread(self._free, size)) < 0:
            if clock() > until:
                raise StorageError(
                    f"The disk of {self._store.folder} is nearly full. What arrived is kept: free some space there, "
                    "then run the same command again."
                )
            self._progress.pause(f"The disk of {self._store.folder} is nearly full, so nothing is taken just now.")
            await asyncio.sleep(self._timeouts.disk / 10)
        self._progress.pause(None)
        self._known = min(free, GLANCE)

    def _free(self, size: int) -> int:
        free = self._store.free() - LEAST - size
        if free < 0:
            self._store.make_room(size)
            free = self._store.free() - LEAST - size
        return free


def _too_little(size: int, folder: Path, free: int) -> StorageError:
    return StorageError(
        f"{size / 1e9:.1f} GB are to be written to the disk of {folder}, which has {free / 1e9:.1f} GB left. "
        "Free some space there, then run the same command again."
    )
