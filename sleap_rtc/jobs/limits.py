"""What a runner's process holds itself to before it is told its job; whatever it starts is held to the same."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_FIRST_TO_GO = 500
"""Of 1000: so much sooner than others is a job ended where the kernel finds no memory."""
FILE, TASKS = "file", "tasks"


def hold_to(limits: Mapping[str, int]) -> None:
    """Take up limits that nothing in this process can loosen again.

    Args:
        limits: bytes of the largest `FILE` that it may write, and how many `TASKS` (threads) its user may have in all;
            what is left out is not limited.
    """
    if sys.platform == "win32":
        return
    import resource

    lower(resource.RLIMIT_CORE, 0)
    if FILE in limits:
        lower(resource.RLIMIT_FSIZE, limits[FILE])
    if TASKS in limits:
        lower(resource.RLIMIT_NPROC, limits[TASKS])
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_GO))


def lower(which: int, most: int) -> None:
    """Lower one limit of this process; one that is lower already stays."""
    import resource

    had = resource.getrlimit(which)[1]
    least = most if had == resource.RLIM_INFINITY else min(most, had)
    resource.setrlimit(which, (least, least))
