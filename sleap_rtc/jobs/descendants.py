"""All processes that one has started, directly or not, read from ``/proc`` where there is one."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_PROC = Path("/proc")
_HAS_PROC = Path("/proc/self/stat").exists()
_ZOMBIE = "Z"


def descendants(pid: int, *, zombies: bool = False) -> list[int]:
    """The pids of all processes that `pid` has started, parents before their children.

    Args:
        pid: whose; not among them itself.
        zombies: whether those count that have ended and whose parent does not know yet.
    """
    if not _HAS_PROC:
        return _portably(pid)
    children: dict[int, list[tuple[int, str]]] = {}
    for child, parent, state in _all_processes():
        children.setdefault(parent, []).append((child, state))
    found: list[int] = []
    left = [pid]
    while left:
        below = children.get(left.pop(), ())
        left += [child for child, _ in below]
        found += [child for child, state in below if zombies or state != _ZOMBIE]
    return found


def reap_orphans(but: int) -> None:
    """Let go of those that ended and whose own parent had ended before: they would take up pids for as long as we live.

    Args:
        but: the child whose end somebody else asks for.
    """
    if not hasattr(os, "waitid"):
        return
    with suppress(ChildProcessError):
        # looked at first: whoever asks for the end of the other one must find it
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != but:
            os.waitpid(ended.si_pid, 0)


def _all_processes() -> Iterator[tuple[int, int, str]]:
    # psutil makes an object and reads several files for each: ten times slower, while somebody starts more of them
    for name in os.listdir(_PROC):  # noqa: PTH208 - names alone
        if name.isdecimal():
            with suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
                # a name may hold anything, also brackets and blanks
                state, parent, *_ = file.read().rpartition(b") ")[2].split(None, 2)
                yield int(name), int(parent), state.decode()


def _portably(pid: int) -> list[int]:
    with suppress(psutil.Error):
        return [each.pid for each in psutil.Process(pid).children(recursive=True) if _runs(each)]
    return []


def _runs(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False
