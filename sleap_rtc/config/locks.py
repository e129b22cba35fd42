"""A lock between processes, for files that are read, changed and written again."""

import asyncio
import errno
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from sleap_rtc.errors import StorageError

PATIENCE = 10.0
"""Seconds to wait for another process; it holds such a lock for milliseconds."""
_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What a lock says that another process holds; anything else means that this file system has no locks."""
_PAUSE = 0.01

if sys.platform == "win32":
    import msvcrt

    def _take(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _give_back(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _give_back(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


@contextmanager
def locked(path: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock that belongs to the file `path` while the body runs; a process that dies lets go of it.

    Raises:
        StorageError: if another process keeps it for longer than `patience` seconds.
    """
    with _beside(path) as descriptor:
        for pause in _pauses_until_taken(path, descriptor, patience):
            time.sleep(pause)
        try:
            yield
        finally:
            _give_back(descriptor)


@asynccontextmanager
async def locked_meanwhile(path: Path, patience: float) -> AsyncIterator[None]:
    """The same for an event loop, which goes on while this waits; the body may take its time.

    Raises:
        StorageError: as `locked` does.
    """
    with _beside(path) as descriptor:
        for pause in _pauses_until_taken(path, descriptor, patience):
            await asyncio.sleep(pause)
        try:
            yield
        finally:
            _give_back(descriptor)


@contextmanager
def _beside(path: Path) -> Iterator[int]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a+b") as file:
        yield file.fileno()


def _pauses_until_taken(path: Path, descriptor: int, patience: float) -> Iterator[float]:
    until = time.monotonic() + patience
    while True:
        try:
            return _take(descriptor)
        except OSError as error:
            if error.errno not in _HELD:
                raise StorageError(
                    f"{path} cannot be locked ({error.strerror}). Set SLEAP_RTC_HOME to a folder on a local disk."
                ) from error
            if time.monotonic() > until:
                raise StorageError(
                    f"Another sleap-rtc process has been writing {path} for {patience:.0f} seconds. "
                    "Look for one that hangs, then try again."
                ) from error
            yield _PAUSE
