"""Knowing a process again: its number is given to another one later, its number and start are not."""

import os
from pathlib import Path

import psutil

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_STATE, _STARTED = 0, 19
"""Which fields after the command's name in ``/proc/<pid>/stat`` say how a process is, and when it was started."""


def this_process() -> tuple[int, str]:
    """The number of this process and a text that says when it was started."""
    pid = os.getpid()
    return pid, _started(pid) or ""


def is_running(pid: int, started: str) -> bool:
    """Whether the process that `this_process` described is still there."""
    return _started(pid) == started


def _started(pid: int) -> str | None:
    try:
        # a count of ticks since the machine was started: unlike a time of day it stays when somebody sets the clock
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        if fields[_STATE] in "ZX":  # it has ended, only its parent has not looked yet
            return None
        return f"{_BOOT.read_text().strip()} {fields[_STARTED]}"
    except (OSError, IndexError):
        pass
    try:
        return f"{psutil.Process(pid).create_time():.0f}"
    except psutil.Error:
        return None
