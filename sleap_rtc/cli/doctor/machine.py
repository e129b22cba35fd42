"""Checks of this machine: Python, engines, trainer, GPU, disk."""

import asyncio
import platform
import shutil
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import cast

from sleap_rtc import __version__
from sleap_rtc.cli.doctor.check import Finding, Scene, fail, ok, warn
from sleap_rtc.cli.formats import format_size
from sleap_rtc.jobs.gpus import find_gpus
from sleap_rtc.jobs.quota import LEAST_FREE
from sleap_rtc.jobs.sandbox.choosing import Isolation, Wanted, choose
from sleap_rtc.transport.engines import ENGINES, available_engines
from sleap_rtc.worker.capabilities import sleap_nn_version

OLDEST_PYTHON = (3, 11)


async def check_python(_: Scene) -> Finding:
    """Is this Python new enough, and which versions are these?"""
    versions = {"python": platform.python_version(), "sleap-rtc": __version__, "system": platform.platform()}
    if sys.version_info < OLDEST_PYTHON:
        return fail(
            f"Python {platform.python_version()} is too old: sleap-rtc needs 3.11 or newer. Install it there.",
            **versions,
        )
    return ok(f"sleap-rtc {__version__} on Python {platform.python_version()}, {platform.platform()}.", **versions)


async def check_engines(scene: Scene) -> Finding:
    """Which WebRTC engines import, and is the one asked for among them?"""
    found = await asyncio.to_thread(available_engines)
    names = " and ".join(found)
    if not found:
        return fail("No WebRTC engine can be imported, so no link can be made. Install sleap-rtc again.", engines=found)
    if scene.engine not in ("auto", *found):
        return fail(
            f"The settings ask for the engine {scene.engine}, which cannot be imported here; {names} can. "
            'Set transport = "auto".',
            engines=found,
        )
    fastest = next(iter(ENGINES))
    if fastest not in found:
        return warn(f"Only {names} runs here; links work, but {fastest} would be several times faster.", engines=found)
    used = found[0] if scene.engine == "auto" else scene.engine
    return ok(f"{names} can be imported; {used} is used.", engines=found, used=used)


async def check_trainer(_: Scene) -> Finding:
    """Is sleap-nn installed?"""
    version = sleap_nn_version()
    if version is None:
        return warn(
            "sleap-nn is not installed, so this machine can be a client but no worker: pip install 'sleap-nn[torch]'",
            sleap_nn=None,
        )
    return ok(f"sleap-nn {version} is installed.", sleap_nn=version)


async def check_gpu(_: Scene) -> Finding:
    """Which GPUs does NVML report, and can the installed torch use them?"""
    gpus = await asyncio.to_thread(find_gpus)
    details = [{"name": gpu.name, "memory_mb": gpu.memory_mb, "uuid": gpu.uuid} for gpu in gpus]
    if not gpus:
        return warn("No NVIDIA GPU is visible here: fine for a client, but a worker would train on the CPU.", gpus=[])
    said = ", ".join(f"{gpu.name} ({gpu.memory_mb / 1024:.0f} GiB)" for gpu in gpus)
    torch = _version("torch")
    if torch and torch.endswith("+cpu"):
        return warn(
            f"{said} is there, but torch {torch} was built without CUDA, so jobs would not use it. Install another.",
            gpus=details,
            torch=torch,
        )
    return ok(f"{said}.", gpus=details, torch=torch)


async def check_sandbox(scene: Scene) -> Finding:
    """Does a sandbox really keep jobs apart here?"""
    found = await asyncio.to_thread(_try_sandbox, cast(Wanted, scene.settings.worker.sandbox), scene.jobs)
    if found.settings is not None:
        return ok(f"bubblewrap isolates jobs here: {found.reason}.", level=found.level, reason=found.reason)
    return warn(
        f"A worker here would run jobs without a sandbox, because {found.reason}.",
        level=found.level,
        reason=found.reason,
    )


def _try_sandbox(wanted: Wanted, jobs: Path) -> Isolation:
    if jobs.is_dir():
        return choose(wanted, jobs)
    with tempfile.TemporaryDirectory() as folder:  # nothing of a worker's is made where there is none
        return choose(wanted, Path(folder))


async def check_disk(scene: Scene) -> Finding:
    """Can the jobs folder be written, and is there room for packages and models?"""
    return await asyncio.to_thread(_look_at_disk, scene.jobs)


def _look_at_disk(folder: Path) -> Finding:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(bytes(4096))
            file.flush()
        usage = shutil.disk_usage(existing)
    except OSError as error:
        return fail(
            f"Nothing can be written to {existing} ({error.strerror or error}). Check its space and permissions.",
            folder=str(folder),
        )
    details = {"folder": str(folder), "free": usage.free, "total": usage.total}
    least = max(LEAST_FREE, usage.total // 20)
    if usage.free < least:
        return warn(
            f"Only {format_size(usage.free)} of {format_size(usage.total)} are free where jobs are kept ({folder}); "
            f"keep {format_size(least)} free.",
            **details,
        )
    return ok(f"{format_size(usage.free)} are free where jobs are kept ({folder}).", **details)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
