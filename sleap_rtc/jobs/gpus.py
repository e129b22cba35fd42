"""What NVML says about this machine's GPUs, and the slots that jobs run in."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pynvml

_DEVICE = re.compile(r"\d+|GPU-[0-9a-fA-F-]+|MIG-[0-9a-zA-Z/-]+")


@dataclass(frozen=True)
class Gpu:
    """One GPU: the name, the memory in MiB, and the UUID by which jobs get it."""

    name: str
    memory_mb: int
    uuid: str


@dataclass(frozen=True)
class Slot:
    """Room for one job at a time: a GPU, or the processor where there is none."""

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


def slots_for(gpus: Sequence[Gpu]) -> list[Slot]:
    """One slot a GPU; a single one without."""
    return [Slot(gpu.uuid, (gpu.uuid,)) for gpu in gpus] or [Slot("cpu")]


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
