"""When a waiting job starts, as far as the jobs before it tell: epochs done, seconds an epoch, epochs at most.

All of it is a guess, and one of the latest moment: a training may stop long before its last epoch. Where nothing is
known there is no guess at all.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite
from typing import NamedTuple

from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, Event, JobSpec, RunEnded, RunStarted, StateChanged

from . import intake
from .events import EventReader
from .folder import JobFolder

_TIMED_EPOCHS = 5
"""The last ones count: a trainer that shares its machine is not always equally fast."""


class Wanted(NamedTuple):
    """What a waiting job will take: how many devices, and for how long; inf where that is unknown."""

    devices: int
    seconds: float


def start_times(free_in: Sequence[float], waiting: Iterable[Wanted]) -> list[float]:
    """In how many seconds each waiting job starts, if every one waits for the one before it.

    Args:
        free_in: for each slot, in how many seconds it is free; inf where that is unknown.
        waiting: the jobs that wait, the next one first.

    Returns:
        Seconds for each job; inf where they are unknown.
    """
    slots, last, found = sorted(free_in), 0.0, []
    for job in waiting:
        # nobody overtakes: a job starts when its slots are free, and not before the one in front of it did
        last = max(last, slots[job.devices - 1]) if job.devices <= len(slots) else inf
        slots = sorted([*slots[job.devices :], *[last + job.seconds] * job.devices])
        found.append(last)
    return found


class Pace:
    """How far a job has come, told by its events.

    Args:
        spec: what the job is to do.
    """

    def __init__(self, spec: JobSpec) -> None:
        self._limits: dict[str, int | None] = {run.name: run.max_epochs for run in spec.runs}
        self._to_come = list(self._limits)
        self._run: str | None = None
        self._done = 0
        # when the current run's first epoch began and each one ended, in milliseconds
        self._marks: list[int] = []
        self._seconds: float | None = None

    @property
    def seconds_per_epoch(self) -> float | None:
        """How long an epoch of this job takes; None before the first one ended."""
        return self._seconds

    def apply(self, event: Event) -> None:
        """Take in the next event."""
        match event.body:
            case StateChanged():
                # again after a resume: what an earlier attempt had still to do says nothing
                self._run, self._marks = None, []
            case RunStarted(max_epochs=limit) if event.run is not None:
                self._limits[event.run] = limit if limit is not None else self._limits.get(event.run)
                names = list(self._limits)
                self._to_come = names[names.index(event.run) + 1 :]
                self._run, self._done, self._marks = event.run, 0, []
            case EpochStarted(epoch=epoch):
                self._done = epoch
                self._marks = self._marks or [event.t]
            case EpochEnded(epoch=epoch):
                self._done = epoch + 1
                self._marks = [*self._marks, event.t][-_TIMED_EPOCHS - 1 :]
                if len(self._marks) > 1:
                    self._seconds = max(self._marks[-1] - self._marks[0], 0) / 1000 / (len(self._marks) - 1)
            case RunEnded():
                self._run = None

    def seconds_left(self, now_ms: int) -> float:
        """How long the epochs that are left will take at most; inf where that is unknown."""
        if self._seconds is None:
            return inf
        later = _product(epochs(self._limits[name] for name in self._to_come), self._seconds)
        if self._run is None:
            return later
        limit = self._limits.get(self._run)
        if limit is None:
            return inf
        since = (now_ms - self._marks[-1]) / 1000 if self._marks else 0.0
        # a clock that was set makes an epoch no longer than it is
        current = max(limit - self._done, 0) * self._seconds - min(max(since, 0.0), self._seconds)
        return max(current, 0.0) + later


def epochs(limits: Iterable[int | None]) -> float:
    """How many epochs runs of these limits have at most; inf if one of them has none."""
    return sum(inf if limit is None else limit for limit in limits)


def _product(count: float, seconds: float) -> float:
    # nothing times an unknown time would be no number
    return count * seconds if isfinite(count) and isfinite(seconds) else inf


class Outlook:
    """Looks ahead over all jobs of a worker. It reads what is new in the running jobs' journals, and nothing twice."""

    def __init__(self) -> None:
        self._readers: dict[str, tuple[EventReader, Pace]] = {}

    def look(
        self, slots: Mapping[str, str | None], waiting: Sequence[JobSpec], running: Sequence[JobFolder], now_ms: int
    ) -> list[float | None]:
        """In how many seconds each waiting job starts; None where that is unknown. Blocks.

        A job that waits has no pace of its own yet: its epochs count at the mean pace of those that run.

        Args:
            slots: which job has each slot; None for a free one.
            waiting: the jobs that wait, the next one first.
            running: the jobs that run.
            now_ms: now, in UTC milliseconds.
        """
        paces = self._read(running)
        left = {job: pace.seconds_left(now_ms) for job, pace in paces.items()}
        known = [pace.seconds_per_epoch for pace in paces.values() if pace.seconds_per_epoch is not None]
        pace = sum(known) / len(known) if known else inf
        free_in = [0.0 if job is None else left.get(job, inf) for job in slots.values()]
        wanted = [Wanted(spec.devices, _product(epochs(run.max_epochs for run in spec.runs), pace)) for spec in waiting]
        return [seconds if isfinite(seconds) else None for seconds in start_times(free_in, wanted)]

    def _read(self, running: Sequence[JobFolder]) -> dict[str, Pace]:
        known = self._readers
        self._readers = {}
        for folder in running:
            try:
                self._readers[folder.job] = known.get(folder.job) or (EventReader(folder.events), Pace(folder.spec()))
                reader, pace = self._readers[folder.job]
                while events := reader.read():
                    for event in events:
                        pace.apply(event)
            except intake.ODD:
                # whoever looks after the job says what is wrong with it; there is just no guess
                self._readers.pop(folder.job, None)
        return {job: pace for job, (_, pace) in self._readers.items()}
