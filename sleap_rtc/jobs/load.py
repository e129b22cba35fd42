"""How many processes a job may have, and how much of the worker's memory, looked at while it runs.

A job that has too many, or too much, is ended. So is, where the machine itself runs out of memory, the one that holds
most of it among those that run: it alone, if that is enough.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress

from sleap_rtc.errors import StorageError

from .consumption import Processes
from .folder import JobFolder
from .lookout import Lookout, others_at_work
from .machine_memory import available_memory, total_memory
from .processes import ProcessRecord, is_here
from .quota import size_words
from .runners import RunnerProcess
from .settings import SupervisorSettings

_SHARE = 0.9
"""How much of the machine's memory a job may take where nobody has set it."""
_SPARE_SHARE, _LEAST_SPARE, _MOST_SPARE = 50, 256 * 1024**2, 2 * 1024**3
"""A job is ended when only a fiftieth of the memory is left, within these bounds."""
_BUSY_SHARE = 20
"""A look that took long is followed by a pause so many times as long."""
_LESS = "Lower batch_size, use fewer data loading workers, do not cache images in memory"


def most_memory() -> int:
    """Bytes of memory that a job may take where nobody has set it."""
    return int(total_memory() * _SHARE)


def most_processes() -> int:
    """How many processes a job may have: far more than data loading needs, where every GPU has as many as it can."""
    return max(1024, 4 * (os.cpu_count() or 1))


def most_threads() -> int:
    """How many threads they may have together."""
    return 16 * most_processes()


def least_memory() -> int:
    """Bytes of memory below which the job that holds most of it is ended."""
    return min(max(total_memory() // _SPARE_SHARE, _LEAST_SPARE), _MOST_SPARE)


class LoadWatch(Lookout):
    """Looks at the processes and memory of a job, twice a second.

    Args:
        folder: the job's.
        settings: what it may take, and how often to look.
        supervisor: the process that starts everything of the job: this one.
    """

    def __init__(self, folder: JobFolder, settings: SupervisorSettings, supervisor: ProcessRecord) -> None:
        super().__init__(settings.load_look)
        self._folder, self._settings, self._supervisor = folder, settings, supervisor
        self._processes = Processes(supervisor.pid)
        self._not_before = 0.0

    def attend(self, runner: RunnerProcess) -> None:
        """Look at what this runner starts from now on."""
        self._processes = Processes(self._supervisor.pid, runner.sandbox.first if runner.sandbox else None)

    def _look(self) -> str | None:
        # our own time: what others take of the processor is no reason to look less often
        settings, began = self._settings, time.thread_time()
        found = self._processes.look(settings.max_processes)
        self._pause = max(settings.load_look, _BUSY_SHARE * (time.thread_time() - began))
        if found.processes > settings.max_processes:
            return _too_many(settings.max_processes, "processes")
        if found.threads > settings.max_threads:
            return _too_many(settings.max_threads, "threads")
        return self._too_much_memory(found.memory) or self._out_of_memory()

    def _too_much_memory(self, at_most: int) -> str | None:
        most, began = self._settings.max_memory, time.thread_time()
        if not most or at_most <= most or time.monotonic() < self._not_before:
            return None
        # looked at more closely: pages that several processes share were counted for each of them
        found = self._processes.look_closely(self._settings.max_processes)
        self._not_before = time.monotonic() + _BUSY_SHARE * (time.thread_time() - began)
        if found.processes > self._settings.max_processes:
            return _too_many(self._settings.max_processes, "processes")
        if found.memory <= most:
            return None
        return (
            f"it has taken {size_words(found.memory)} of memory, and this worker lets a job take {size_words(most)}. "
            f"{_LESS}, or ask the worker's owner to raise worker.max_job_memory."
        )

    def _out_of_memory(self) -> str | None:
        least = self._settings.min_memory
        if not least or available_memory() >= least or not self._takes_most():
            return None
        # asked again: the one that took most may have been ended meanwhile
        left = available_memory()
        if left >= least:
            return None
        return (
            f"the worker's machine has {size_words(max(left, 0))} of memory left, and of the jobs that run it holds "
            f"most. {_LESS}, or choose another worker."
        )

    def _takes_most(self) -> bool:
        most = self._settings.max_processes
        mine = (self._processes.look_closely(most).memory, self._folder.job)
        others = ((Processes.of_another(pid).look_closely(most).memory, job) for job, pid in self._others())
        return all(other <= mine for other in others)

    def _others(self) -> Iterator[tuple[str, int]]:
        """The other jobs that run here, and the pids of their supervisors."""
        for other in others_at_work(self._folder):
            with suppress(StorageError, OSError):
                record = other.supervisor()
                if record is not None and is_here(record):
                    yield other.job, record.pid


def _too_many(most: int, what: str) -> str:
    return (
        f"it has started more than {most} {what}, which is more than this worker lets a job have. Use fewer data "
        "loading workers."
    )
