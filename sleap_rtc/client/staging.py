"""The folder in which something that comes home waits until it is whole: for one command at a time."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil

from sleap_rtc.errors import ConflictError
from sleap_rtc.transfer.disk import storage_error


@asynccontextmanager
async def alone(staging: Path, what: str, place: Path) -> AsyncIterator[None]:
    """Hold a staging folder against another terminal that brings the same to the same place.

    Args:
        staging: the folder; it is there.
        what: what comes, for a sentence: ``this job``.
        place: where it is brought to.

    Raises:
        ConflictError: if another one holds it.
        StorageError: if the disk refuses.
    """
    lock = staging / "lock"
    await asyncio.to_thread(_take_lock, lock, what, place)
    try:
        yield
    finally:
        # gone already where the folder was published
        with suppress(OSError):
            lock.unlink(missing_ok=True)


def _take_lock(lock: Path, what: str, place: Path) -> None:
    try:
        for _ in range(2):
            try:
                with lock.open("x") as file:
                    file.write(str(os.getpid()))
                return
            except FileExistsError:
                owner = lock.read_text()
                if owner.isdigit() and psutil.pid_exists(int(owner)):
                    break
                lock.unlink(missing_ok=True)  # left behind by a process that was killed
    except OSError as error:
        raise storage_error(error, place) from error
    raise ConflictError(f"Another sleap-rtc is bringing {what} to {place}. Wait until it is done.")


def share(result: Path) -> None:
    """Give a folder or a file the modes of any that the user makes; on its way it was private. Blocks."""
    umask = os.umask(0o077)
    os.umask(umask)
    for path in (result, *result.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
