"""Sees to it that sleap-nn is compiled before a sandbox imports it: inside nothing can be kept for the next time.

Some installers leave compiling to the first import. A job's sandbox may not write to where the packages are, so that
without this every job would compile them anew, which takes longer than all the rest of a start.
"""

import importlib.util
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from sleap_rtc.jobs.environment import supervisor_environment

_LAST_IMPORTED = "sleap_nn"
_IMPORT = "import sleap_nn.cli, sleap_nn.train"
_WITHIN = 300.0


def compile_once() -> None:
    """Import sleap-nn in a process of its own, outside of any sandbox and with no job near, unless it is compiled."""
    found = importlib.util.find_spec(_LAST_IMPORTED)
    if found is None or found.origin is None:
        return  # the runner will say so
    kept = Path(importlib.util.cache_from_source(found.origin)).parent
    if any(kept.glob("*.pyc")) or not os.access(kept.parent, os.W_OK):
        return
    # whatever goes wrong here goes wrong again in the runner, where it is told
    with suppress(subprocess.TimeoutExpired):
        # with nothing of the worker's in its environment, and nothing of the folder where that was started in its path
        subprocess.run(
            [sys.executable, "-c", _IMPORT],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WITHIN,
            check=False,
            cwd="/",
            env=supervisor_environment(),
        )
