"""Where sleap-rtc keeps its files."""

import os
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
