"""What a job sees of its surroundings: an allow-list, so that no token of the worker's can ever be in it."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

JOB_VARIABLE = "SLEAP_RTC_JOB"
"""Carries the mark of the supervisor, by which left-over processes are known."""

_WANDB_SERVER = "WANDB_BASE_URL"

# PATH and library paths find the interpreter and CUDA; nothing here carries a credential
_ALLOWED = frozenset({
    "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "CUDA_HOME", "CUDA_PATH", "CUDA_DEVICE_ORDER", "LANG", "LC_ALL",
    "LC_CTYPE", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NVIDIA_VISIBLE_DEVICES",
    "NVIDIA_DRIVER_CAPABILITIES", "SYSTEMROOT", "COMSPEC", "PATHEXT",
})  # fmt: skip


def runner_environment(mark: str, nursery: Path, *, source: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a runner is started with, whether its job is known by then or not: what libraries read when they load.

    Args:
        mark: the supervisor's, by which everything it started is known; see `ProcessRecord.mark`.
        nursery: an empty folder, which is its home until it has a job.
        source: the environment to take allowed variables from; this process's without it.
    """
    source = os.environ if source is None else source
    # no CUDA_VISIBLE_DEVICES: the job brings it, and nothing is to be counted before
    kept = {name: value for name, value in source.items() if name.upper() in _ALLOWED}
    return (
        kept
        | _homes(nursery)
        | {
            "MPLBACKEND": "Agg",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "WANDB_MODE": "disabled",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
            # a job's own folder is its working directory: nothing in there may pass for a module
            "PYTHONSAFEPATH": "1",
            # a checkpoint is a pickle: a layer before the sandbox, for where there is none
            "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",
            "PYTHONIOENCODING": "utf-8",
            JOB_VARIABLE: mark,
        }
    )


def job_environment(
    scratch: Path, devices: Sequence[str], *, source: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a runner adds to its environment when its job comes, before anything touches a device.

    Args:
        scratch: the job's own folder for temporary files, which is its home as well.
        devices: UUIDs of the GPUs it was given; empty where the machine has none.
        source: the environment to take the worker's own choice of GPUs from; this process's without it.
    """
    source = os.environ if source is None else source
    found = _homes(scratch)
    if devices:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    elif "CUDA_VISIBLE_DEVICES" in source:
        found["CUDA_VISIBLE_DEVICES"] = source["CUDA_VISIBLE_DEVICES"]
    return found


def wandb_environment(key: str, *, source: Mapping[str, str] | None = None) -> dict[str, str]:
    """What lets one job report to Weights & Biases.

    Args:
        key: its submitter's.
        source: the environment to take the operator's choice of a server from; this process's without it.
    """
    source = os.environ if source is None else source
    server = {name: source[name] for name in (_WANDB_SERVER,) if name in source}
    return server | {
        "WANDB_API_KEY": key,
        "WANDB_MODE": "online",
        # the submitter's project learns what the training says, not what this machine holds or prints
        "WANDB_CONSOLE": "off",
        "WANDB_DISABLE_CODE": "true",
        "WANDB_DISABLE_GIT": "true",
        "WANDB__DISABLE_META": "true",
        "WANDB__DISABLE_MACHINE_INFO": "true",
    }


def _homes(folder: Path) -> dict[str, str]:
    home = str(folder)
    return {
        "HOME": home,
        "USERPROFILE": home,
        "TMPDIR": home,
        "TEMP": home,
        "TMP": home,
        "XDG_CACHE_HOME": str(folder / "cache"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
        "TORCH_HOME": str(folder / "torch"),
    }


def supervisor_environment(*, source: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a supervisor: as a job's, with the home of the user it runs as."""
    source = os.environ if source is None else source
    allowed = _ALLOWED | {"HOME", "USERPROFILE", "TMPDIR", "TEMP", "TMP", "CUDA_VISIBLE_DEVICES", _WANDB_SERVER}
    return {name: value for name, value in source.items() if name.upper() in allowed} | {"PYTHONSAFEPATH": "1"}


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours with this interpreter."""
    return [sys.executable, "-m", module, *arguments]
