"""Where sleap-rtc keeps its files."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from sleap_rtc.errors import ConfigError, StorageError


def home() -> Path:
    """Return the folder of all our files: ``SLEAP_RTC_HOME``, else ``~/.sleap-rtc``; made, private, where missing.

    Raises:
        ConfigError: if it cannot be made.
    """
    folder = Path(os.environ.get("SLEAP_RTC_HOME") or Path.home() / ".sleap-rtc").expanduser()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be used for sleap-rtc's own files: {error.strerror}. "
            "Set SLEAP_RTC_HOME to another folder."
        ) from error
    return folder


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, readable by this user alone.

    The file is written beside its place, synced and renamed, so that a crash leaves the old one or the new one.

    Raises:
        StorageError: if the disk refuses.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)  # it may hold half a secret
        raise StorageError(
            f"{path} cannot be written: {error.strerror}. Check the disk and its permissions."
        ) from error


def read_private(path: Path) -> bytes:
    """Read a file that this user alone may read.

    Raises:
        FileNotFoundError: if there is none.
        ConfigError: if it is a link, no file, open to others, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ConfigError(f"{path} is a link. Put the file itself there, or remove the link.") from error
        if isinstance(error, FileNotFoundError):
            raise
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    # closed by hand: a folder can be opened like this, and not be made a file of
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} is no file. Remove it, then try again.")
        if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigError(f"{path} can be read by others: run 'chmod 600 {path}', then try again.")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)
