"""The device files of NVIDIA's GPUs, which a sandbox has to be given by name."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

DEV = Path("/dev")
_GPUS = ("nvidia*", "nvidia-caps/*", "dxg")
"""As NVIDIA's driver calls them, and Windows' Subsystem for Linux."""
_CONTROL, _MEMORY = "nvidiactl", "nvidia-uvm"
_WITHIN = 20.0


def gpu_files(dev: Path = DEV) -> Iterator[str]:
    """The device files that CUDA uses; none where there is no GPU.

    Args:
        dev: the folder of device files.
    """
    for pattern in _GPUS:
        yield from map(str, sorted(dev.glob(pattern)))


def make_gpu_files(dev: Path = DEV) -> None:
    """See to it that all of them are there. Blocks for a moment.

    The file for unified memory is missing from the start of a machine until a first program uses CUDA, which has the
    driver's own helper make it. That helper has its owner's rights and so cannot work in a sandbox: it is asked before.

    Args:
        dev: the folder of device files.
    """
    helper = shutil.which("nvidia-modprobe")
    if helper is None or not (dev / _CONTROL).exists() or (dev / _MEMORY).exists():
        return
    # without the file CUDA says what is wrong, in the job
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [helper, "-u", "-c=0"], stdin=subprocess.DEVNULL, capture_output=True, timeout=_WITHIN, check=False
        )
