"""What ``sleap-rtc worker`` finds on its machine before it serves anybody, and its first lines about it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sleap_rtc.cli.output import say, warn
from sleap_rtc.config.identity import Identity, load_identity
from sleap_rtc.config.schema import Mount
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import DependencyError
from sleap_rtc.jobs.gpus import Gpu, at_most, chosen, find_gpus
from sleap_rtc.jobs.mounts import Mounts, check_mounts
from sleap_rtc.jobs.sandbox.choosing import Isolation, Wanted, choose
from sleap_rtc.transport.engines import Engine, preload
from sleap_rtc.worker.capabilities import sleap_nn_version


@dataclass(frozen=True)
class Places:
    """Where a worker keeps its jobs, and the files that clients sent."""

    jobs: Path
    store: Path


@dataclass(frozen=True)
class Machine:
    """What there is to work with.

    Attributes:
        identity: the worker's key.
        gpus: those that jobs get.
        sleap_nn: its version.
        mounts: what jobs may read beside their own files.
        isolation: what keeps jobs apart from everything else.
    """

    identity: Identity
    gpus: list[Gpu]
    sleap_nn: str
    mounts: Mounts
    isolation: Isolation


async def look_around(settings: Settings, places: Places, typed: Sequence[Mount] = ()) -> Machine:
    """Find out what there is to work with.

    Args:
        settings: everything that is set.
        places: the worker's folders.
        typed: mounts beside those of the configuration; a label's typed folder wins.

    Raises:
        ConfigError: if there are no such GPUs or mounts as were asked for.
        DependencyError: if sleap-nn is missing, or a sandbox that must be.
    """
    version = sleap_nn_version()
    if version is None:
        raise DependencyError(
            "sleap-nn is not installed, so nothing can be trained here: pip install 'sleap-nn[torch]'"
        )
    identity = load_identity()
    gpus = await asyncio.to_thread(find_gpus)
    if settings.worker.gpus is not None:
        gpus = chosen(gpus, settings.worker.gpus)
    gpus = at_most(gpus, settings.worker.slots)
    await asyncio.to_thread(preload, cast(Engine, settings.transport))
    mounts = await asyncio.to_thread(_find_mounts, settings, places, typed)
    wanted = cast(Wanted, settings.worker.sandbox)
    isolation = await asyncio.to_thread(choose, wanted, places.jobs, mounts, [places.store])
    return Machine(identity, gpus, version, mounts, isolation)


def _find_mounts(settings: Settings, places: Places, typed: Sequence[Mount]) -> Mounts:
    labels = {mount.label for mount in typed}
    configured = [mount for mount in settings.worker.mounts if mount.label not in labels]
    return check_mounts([*configured, *typed], [places.jobs, places.store])


def say_who(name: str, machine: Machine) -> None:
    """Say the worker's first lines: who it is, what it has, and what keeps its jobs apart."""
    say(f"worker {name} ({machine.identity.worker_id}), sleap-nn {machine.sleap_nn}, {_gpu_text(machine.gpus)}")
    if machine.isolation.settings is not None:
        say("Sandbox: bubblewrap. Jobs see their own files and the mounts, and no network.")
    else:
        warn(
            f"Sandbox: none, because {machine.isolation.reason}. Jobs can read what this user can read, and reach the "
            "network: let only people train here whom you would give an account."
        )


def _gpu_text(gpus: list[Gpu]) -> str:
    if not gpus:
        return "no NVIDIA GPU found: CPU only"
    return ", ".join(f"{gpu.name} ({gpu.memory_mb / 1024:.0f} GiB)" for gpu in gpus)
