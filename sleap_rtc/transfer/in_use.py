"""Knowing whether another process has a file in use that nobody may replace meanwhile."""

import errno
import os
import sys
from pathlib import Path

from sleap_rtc.transfer.disk import open_plain

if sys.platform == "win32":

    def _try(descriptor: int, *, alone: bool) -> None:
        """Nothing to do: Windows refuses to replace a file that somebody has open."""

else:
    import fcntl

    def _try(descriptor: int, *, alone: bool) -> None:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)


class InUse:
    """The users of the file `path`, this one among them until `close`; a process that dies is one no more.

    A file beside it holds the lock. Whoever changes from one kind of lock to the other lets go of it for a moment, so
    do that under a lock of another kind.

    Args:
        path: the file that is used.

    Raises:
        OSError: if the lock's file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = open_plain(path.with_name(f".{path.name}.users"), os.O_RDWR | os.O_CREAT)

    def share(self) -> None:
        """Use the file, as others may."""
        _take(self._descriptor, alone=False)

    def alone(self) -> bool:
        """Whether nobody else uses the file; nobody may, then, until `share` or `close`."""
        return _take(self._descriptor, alone=True)

    def close(self) -> None:
        """Use the file no more; idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _take(descriptor: int, *, alone: bool) -> bool:
    try:
        _try(descriptor, alone=alone)
    except OSError as error:
        # anything else means that this file system knows no locks: then there is none to respect
        return error.errno not in (errno.EAGAIN, errno.EACCES)
    return True
