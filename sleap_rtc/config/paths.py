"""Where sleap-rtc keeps its files."""

import os
from pathlib import Path


def home() -> Path:
    """Return the folder of all our files: ``SLEAP_RTC_HOME``, else ``~/.sleap-rtc``; made, private, where missing."""
    folder = Path(os.environ.get("SLEAP_RTC_HOME") or Path.home() / ".sleap-rtc").expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, readable by this user alone.

    The file is written beside its place, synced and renamed, so that a crash leaves the old one or the new one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor has no path
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
