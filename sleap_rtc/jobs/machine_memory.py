"""How much memory this machine has, and how much of it is left; of a container, what it was given."""

from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_OLD_LIMIT = Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")


def total_memory() -> int:
    """Bytes of memory that there are for us."""
    limits = [_number(group / "memory.max") for group in _groups()]
    known = [limit for limit in (*limits, _number(_OLD_LIMIT)) if limit is not None]
    return min([int(psutil.virtual_memory().total), *known])


def available_memory() -> int:
    """Bytes of memory that can still be had without swapping."""
    return min([int(psutil.virtual_memory().available), *map(_left_in, _limited())])


def _limited() -> list[Path]:
    return [group for group in _groups() if _number(group / "memory.max") is not None]


def _groups() -> Iterator[Path]:
    """The control groups (version 2) that this process is in, from its own up; each may have a limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.startswith("0::/"):
            own = _CGROUPS / line.removeprefix("0::/")
            yield from (each for each in (own, *own.parents) if each.is_relative_to(_CGROUPS))


def _left_in(group: Path) -> int:
    limit, used = _number(group / "memory.max"), _number(group / "memory.current")
    if limit is None or used is None:
        return int(psutil.virtual_memory().available)
    # what is cached of files is given up when it is needed
    cached = sum(_counted(group / "memory.stat", name) for name in ("inactive_file", "active_file"))
    return limit - used + cached


def _counted(path: Path, name: str) -> int:
    try:
        found = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return 0
    return next((int(words[1]) for words in found if words[0] == name), 0)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None  # no such file, or "max"
