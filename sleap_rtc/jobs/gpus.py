"""What NVML says about this machine's GPUs, and the slots that jobs run in."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pynvml

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import printable

_DEVICE = re.compile(r"\d+|GPU-[0-9a-fA-F-]+|MIG-[0-9a-zA-Z/-]+")


@dataclass(frozen=True)
class Gpu:
    """One GPU: the name, the memory in MiB, and the UUID by which jobs get it."""

    name: str
    memory_mb: int
    uuid: str


@dataclass(frozen=True)
class Slot:
    """Room for one job of one device at a time: a GPU, or a share of the processor where there is none."""

    name: str
    devices: tuple[str, ...] = ()


def find_gpus(environment: Mapping[str, str] | None = None) -> list[Gpu]:
    """The GPUs that this process may use: none without a driver, and within a set ``CUDA_VISIBLE_DEVICES``."""
    environment = os.environ if environment is None else environment
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []  # no driver, no GPU: that is an answer
    try:
        every = [_describe(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
    finally:
        pynvml.nvmlShutdown()
    return visible(every, environment.get("CUDA_VISIBLE_DEVICES"))


def visible(gpus: Sequence[Gpu], setting: str | None) -> list[Gpu]:
    """The GPUs that ``CUDA_VISIBLE_DEVICES`` leaves, in its order; like CUDA, stop at the first entry that is none."""
    if setting is None:
        return list(gpus)
    found: list[Gpu] = []
    for entry in (part.strip() for part in setting.split(",")):
        gpu = _named(gpus, entry) if _DEVICE.fullmatch(entry) else None
        if gpu is None or gpu in found:
            break
        found.append(gpu)
    return found


def chosen(gpus: Sequence[Gpu], listed: str) -> list[Gpu]:
    """The GPUs that the user lists, in that order; unlike CUDA, an entry that is none is refused, not passed over.

    Args:
        gpus: those that this process may use.
        listed: their indices, or beginnings of their UUIDs, with commas between: as ``CUDA_VISIBLE_DEVICES`` means
            them, and within what that leaves.

    Raises:
        ConfigError: if an entry names no GPU, or one that was named before.
    """
    there = ", ".join(f"{index} ({gpu.name}, {gpu.uuid})" for index, gpu in enumerate(gpus)) or "none"
    found: list[Gpu] = []
    for entry in (part.strip() for part in listed.split(",")):
        gpu = _named(gpus, entry) if _DEVICE.fullmatch(entry) else None
        if gpu is None:
            raise ConfigError(
                f"'{printable(entry, limit=80)}' is no GPU that this worker may use: there is {there}. List indices or "
                "UUIDs with commas between, such as 0,1; indices count within CUDA_VISIBLE_DEVICES where that is set."
            )
        if gpu in found:
            raise ConfigError(f"The GPU {gpu.uuid} is listed twice. List each one once.")
        found.append(gpu)
    return found


def at_most(gpus: Sequence[Gpu], slots: int | None) -> list[Gpu]:
    """The GPUs that a worker uses that runs `slots` jobs at once: the first ones.

    Raises:
        ConfigError: if there are GPUs, but fewer: two trainings on one GPU would only starve each other of memory.
    """
    if gpus and slots is not None and slots > len(gpus):
        there = "one GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
        raise ConfigError(
            f"{slots} jobs at once need as many GPUs, and this worker may use {there}: lower --slots, or worker.slots."
        )
    return list(gpus[:slots])


def slots_for(gpus: Sequence[Gpu], processor: int = 1) -> list[Slot]:
    """One slot a GPU; without one, `processor` slots.

    On the processor a job of several devices takes as many slots as it would take GPUs: it asks for the room of so many
    jobs, and a worker of one slot says that it has none for it, as one with a single GPU does.
    """
    return [Slot(gpu.uuid, (gpu.uuid,)) for gpu in gpus] or [Slot(f"cpu{i}") for i in range(processor)]


def _named(gpus: Sequence[Gpu], entry: str) -> Gpu | None:
    if entry.isdigit():
        return gpus[int(entry)] if int(entry) < len(gpus) else None
    # CUDA takes any unambiguous beginning of a UUID
    matches = [gpu for gpu in gpus if gpu.uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else None


def _describe(handle: object) -> Gpu:
    name, uuid = pynvml.nvmlDeviceGetName(handle), pynvml.nvmlDeviceGetUUID(handle)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total // (1024 * 1024)
    return Gpu(_text(name), int(memory), _text(uuid))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
