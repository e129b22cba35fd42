"""Which worker of a room gets the job. Pure: workers in, one worker or a sentence out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sleap_rtc.errors import UnreachableError, UsageError
from sleap_rtc.protocol.signaling import WorkerPresence

RULE = "a free worker before a busy one, then the one with the most GPU memory"
"""How `auto_select` decides, for help texts and announcements."""

COLUMNS = ("worker", "GPU", "memory", "state", "queue")
"""The headings of `rows`."""

_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([mgt]i?b?)?", re.IGNORECASE)
_UNITS = {"m": 10**6, "mi": 2**20, "g": 10**9, "gi": 2**30, "t": 10**12, "ti": 2**40}
_MEBIBYTE = 2**20
_SMALLEST_MB = 256
_SHOWN = 8


@dataclass(frozen=True)
class Wish:
    """What a user asks of a worker.

    Attributes:
        worker: its name or id; None if any will do.
        min_gpu_memory: bytes that one of its GPUs must have.
        holders: ids of workers that have what the job is about: one of them is taken if one of them fits.
        sleap_nn: the version of sleap-nn that it must have; None if any will do.
    """

    worker: str | None = None
    min_gpu_memory: int = 0
    holders: frozenset[str] = frozenset()
    sleap_nn: str | None = None


def parse_memory(text: str) -> int:
    """Read an amount of memory: ``24GB``, ``24 GiB``, ``24000MB``; a bare number counts in MB.

    GB are decimal, as on a GPU's box: a card sold with 16 GB has a little more than that.

    Returns:
        Bytes.

    Raises:
        UsageError: if it is none, or so little that the unit was forgotten.
    """
    match = _MEMORY.fullmatch(text.strip())
    unit = (match[2] or "m").lower().removesuffix("b") if match else ""
    if match is None or unit not in _UNITS:
        raise UsageError(f"'{text}' is no amount of GPU memory. Write it as 24GB, or 24000MB.")
    if match[2] is None and float(match[1]) < _SMALLEST_MB:
        raise UsageError(f"'{text}' would be {text.strip()} MB, which every GPU has. Write {text.strip()}GB.")
    return int(float(match[1]) * _UNITS[unit])


def is_free(worker: WorkerPresence) -> bool:
    """Tell whether a job would start at once."""
    return worker.info.busy + worker.info.queued < worker.info.slots


def gpu_memory(worker: WorkerPresence) -> int:
    """The bytes of its largest GPU: a job has one; 0 without any."""
    return max((gpu.memory_mb for gpu in worker.info.gpus), default=0) * _MEBIBYTE


def ranked(workers: Sequence[WorkerPresence]) -> list[WorkerPresence]:
    """Order workers by `RULE`, equals by name and id, so that the same room always gives the same answer."""
    return sorted(workers, key=lambda each: (not is_free(each), -gpu_memory(each), each.name, each.worker_id))


def auto_select(workers: Sequence[WorkerPresence]) -> WorkerPresence:
    """The worker that `RULE` picks of at least one."""
    return ranked(workers)[0]


def fitting(workers: Sequence[WorkerPresence], wish: Wish, *, room: str) -> list[WorkerPresence]:
    """The workers that fulfil a wish, the best first.

    Args:
        workers: those of the room that are online.
        wish: what the user asks for.
        room: the room's name, for sentences.

    Raises:
        UnreachableError: if none is online, or none fits.
        UsageError: if the name belongs to several.
    """
    if not workers:
        raise UnreachableError(
            f"No worker of the room '{room}' is online. Start 'sleap-rtc worker' on a GPU machine of this room, "
            "then try again."
        )
    named = list(workers) if wish.worker is None else [_named(workers, wish.worker, room)]
    large = [each for each in named if gpu_memory(each) >= wish.min_gpu_memory]
    if not large:
        best = max(named, key=gpu_memory)
        whose = f"the room '{room}'" if wish.worker is None else best.name
        raise UnreachableError(
            f"No GPU of {whose} has {_gigabytes(wish.min_gpu_memory)}: the largest one online is "
            f"{best.name}'s with {_gigabytes(gpu_memory(best))}. Ask for less with --min-gpu-memory."
        )
    fits = [each for each in large if wish.sleap_nn in (None, each.info.sleap_nn)]
    if not fits:
        have = ", ".join(f"{each.name} has {each.info.sleap_nn or 'none'}" for each in large[:_SHOWN])
        raise UnreachableError(
            f"No worker that is meant has sleap-nn {wish.sleap_nn}: {have}. Use another worker, or take any version "
            "with --any-version: then the models may differ."
        )
    return ranked([each for each in fits if each.worker_id in wish.holders] or fits)


def announcement(chosen: WorkerPresence, among: Sequence[WorkerPresence]) -> str:
    """Say which worker auto-select took of those that fit, by which rule, and why it came out so."""
    return f"Auto-select ({RULE}): {chosen.name} ({gpu_text(chosen)}), {_reason(chosen, among)}"


def waiting_text(worker: WorkerPresence) -> str | None:
    """Say that a job will have to wait there; None for a free worker."""
    if is_free(worker):
        return None
    before = worker.info.queued
    waiting = f", behind {before} that wait already" if before > 1 else ", behind one that waits already"
    return f"{worker.name} is busy: the job waits in its queue{waiting if before else ''}."


def gpu_text(worker: WorkerPresence) -> str:
    """Say in a few words what a worker computes on."""
    gpus = worker.info.gpus
    return ", ".join(f"{gpu.name} ({gpu.memory_mb / 1024:.0f} GiB)" for gpu in gpus) if gpus else "CPU only"


def rows(workers: Sequence[WorkerPresence]) -> list[tuple[str, ...]]:
    """A line for each worker, under `COLUMNS`."""
    return [_row(worker) for worker in workers]


def _row(worker: WorkerPresence) -> tuple[str, ...]:
    info = worker.info
    names = list(dict.fromkeys(gpu.name for gpu in info.gpus))
    counted = ", ".join(f"{sum(gpu.name == name for gpu in info.gpus)} x {name}" for name in names)
    gpus = names[0] if len(info.gpus) == 1 else counted or "none"
    memory = f"{gpu_memory(worker) / 2**30:.0f} GiB" if info.gpus else "-"
    state = "free" if is_free(worker) else "busy"
    state += f" ({info.busy} of {info.slots} GPUs)" if info.slots > 1 else ""
    return (worker.name, gpus, memory, state, str(info.queued))


def _reason(chosen: WorkerPresence, among: Sequence[WorkerPresence]) -> str:
    if len(among) == 1:
        return "the only one there is to choose."
    alike = [each for each in among if is_free(each) == is_free(chosen)]
    most = all(gpu_memory(each) < gpu_memory(chosen) for each in alike if each is not chosen)
    memory = "with the most GPU memory" if most else "the first by name of those with the most GPU memory"
    if not is_free(chosen):
        return f"{memory}; all {len(among)} are busy."
    if len(alike) == 1:
        return f"the only free one of {len(among)}."
    return f"free, and {memory} of {len(alike)} free ones."


def _named(workers: Sequence[WorkerPresence], text: str, room: str) -> WorkerPresence:
    # an id first: a worker may call itself by the id of another
    found = [each for each in workers if each.worker_id == text] or [each for each in workers if each.name == text]
    if not found:
        online = ", ".join(sorted({each.name for each in workers}))
        raise UnreachableError(f"No worker '{text}' is online in the room '{room}'. Online: {online}.")
    if len(found) > 1:
        ids = ", ".join(sorted(each.worker_id for each in found))
        raise UsageError(f"{len(found)} workers of the room '{room}' are called '{text}'. Give the id of one: {ids}.")
    return found[0]


def _gigabytes(size: int) -> str:
    return f"{size / 10**9:.3g} GB"
