"""Sees to it that sleap-nn is compiled before a sandbox imports it: inside nothing can be kept for the next time.

Some installers leave compiling to the first import. A job's sandbox may not write to where the packages are, so that
without this every job would compile them anew, which takes longer than all the rest of a start.
"""

import asyncio
import importlib.util
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from sleap_rtc.jobs.environment import supervisor_environment

_FIRST_IMPORTED = "sleap_nn"
_LAST_IMPORTED = "sleap_rtc.jobs.sandbox.last_imported"
_IMPORT = "import sleap_nn.cli, sleap_nn.train, sleap_rtc.jobs.sandbox.last_imported"
_WITHIN = 300.0


def compile_once() -> None:
    """Import sleap-nn in a process of its own, outside of any sandbox and with no job near, unless it is compiled."""
    if not _may_compile():
        return
    # whatever goes wrong here goes wrong again in the runner, where it is told
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            _command(), stdin=subprocess.DEVNULL, capture_output=True, timeout=_WITHIN, check=False,
            cwd="/", env=supervisor_environment(),
        )  # fmt: skip


async def compiled() -> None:
    """The same in a loop: it takes up to minutes, and ends at once if whoever waits for it is cancelled."""
    if not await asyncio.to_thread(_may_compile):
        return
    process = await asyncio.create_subprocess_exec(
        *_command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        cwd="/", env=supervisor_environment(),
    )  # fmt: skip
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN):
                await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _command() -> list[str]:
    # run with nothing of the worker's in its environment, and nothing of the folder where that was started in its path
    return [sys.executable, "-c", _IMPORT]


def _may_compile() -> bool:
    """Whether it is not compiled yet, and can be."""
    kept = _folder_of(_FIRST_IMPORTED)
    if kept is None:
        return False  # the runner will say so
    # who was ended halfway has compiled the first and not the last, and with a new sleap-nn the first is not there
    done = any(kept.glob("*.pyc")) and _is_marked()
    return not done and os.access(kept.parent, os.W_OK)


def _is_marked() -> bool:
    folder = _folder_of(_LAST_IMPORTED)
    if folder is None or not os.access(folder.parent, os.W_OK):
        return True  # never to be marked: then what the first says must do
    return any(folder.glob(f"{_LAST_IMPORTED.rpartition('.')[2]}.*.pyc"))


def _folder_of(module: str) -> Path | None:
    """Where what is compiled of a module is kept."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return None
    return Path(importlib.util.cache_from_source(found.origin)).parent
