"""Supervisors that were started before their job, so that it need not wait for sleap-nn to be imported.

The pool keeps as many as it is asked to, as far as memory allows. Each serves one job. One that ends while it waits is
replaced after a pause, which grows as long as that happens again and again.
"""

import contextlib
import logging
import os
import signal
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import IO

import psutil

from .environment import python_command
from .folder import JobFolder
from .processes import reaped, spawn
from .settings import WARM_MEMORY, SupervisorSettings
from .waiting import job_line

logger = logging.getLogger(__name__)

_LOADING = 60.0
"""Seconds after which a warm runner has taken the memory that it takes."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_STEADY = 600.0
"""Seconds after which one that ended did so for a reason of its own."""
_LAST_WORDS = 2000
_LEAVES_WITHIN = 5.0


@dataclass(frozen=True)
class WarmSupervisor:
    """A supervisor that waits: its process, the pipe to its standard input, what it printed, and since when."""

    pid: int
    pipe: int
    output: IO[bytes]
    since: float

    def tell(self, folder: JobFolder, wandb_key: str | None) -> bool:
        """Tell it its job; False if it has ended, or is about to."""
        try:
            os.write(self.pipe, job_line(folder, wandb_key))
        except OSError:
            return False
        return True

    def let_go(self) -> None:
        """Close the pipe: without a job, it leaves."""
        os.close(self.pipe)
        self.output.close()


class WarmPool:
    """Keeps warm supervisors. Its methods block for a moment, and may be called from any thread.

    Args:
        settings: what they are started with.
    """

    def __init__(self, settings: SupervisorSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._waiting: list[WarmSupervisor] = []
        self._pause = 0.0
        self._not_before = 0.0
        self._told_of_memory = False
        self._closed = False

    def keep(self, count: int) -> None:
        """See to it that so many wait; more than that may."""
        with self._lock:
            self._bury()
            while len(self._waiting) < count and not self._closed and time.monotonic() >= self._not_before:
                if not self._has_memory(count) or not self._start():
                    return

    def hand_over(self, folder: JobFolder, wandb_key: str | None = None) -> int | None:
        """Give a job to the one that has waited longest, which is nobody's from then on.

        Returns:
            Its pid; None if no one waits.
        """
        with self._lock:
            self._bury()
            for supervisor in self._waiting:
                if supervisor.tell(folder, wandb_key):
                    self._waiting.remove(supervisor)
                    supervisor.let_go()
                    return supervisor.pid
        return None

    def close(self) -> None:
        """End all that wait; no more are started."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, []
            for supervisor in waiting:
                supervisor.let_go()
            deadline = time.monotonic() + _LEAVES_WITHIN
            left = [supervisor.pid for supervisor in waiting]
            while left := [pid for pid in left if not reaped(pid)]:
                if time.monotonic() > deadline + _LEAVES_WITHIN:
                    logger.warning("%d warm runners do not end, not even by force.", len(left))
                    return
                if time.monotonic() > deadline:
                    _kill(left)
                time.sleep(0.02)

    def _start(self) -> bool:
        output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the supervisor waits
        try:
            pid, pipe = spawn(
                python_command("sleap_rtc.jobs.supervisor", "--settings", self._settings.to_json()), output.fileno()
            )
        except OSError as error:
            output.close()
            self._put_off(f"A warm runner cannot be started: {error}.")
            return False
        self._waiting.append(WarmSupervisor(pid, pipe, output, time.monotonic()))
        return True

    def _bury(self) -> None:
        for supervisor in [each for each in self._waiting if reaped(each.pid)]:
            self._waiting.remove(supervisor)
            supervisor.output.seek(0)
            said = supervisor.output.read(_LAST_WORDS).decode(errors="replace").strip()
            supervisor.let_go()
            if time.monotonic() - supervisor.since > _STEADY:
                self._pause = 0.0
            self._put_off(said or "A warm runner ended before it had a job.")

    def _put_off(self, why: str) -> None:
        self._pause = min(max(_FIRST_PAUSE, self._pause * 2), _LONGEST_PAUSE)
        self._not_before = time.monotonic() + self._pause
        logger.warning("%s The next is started in %.0f s; until then jobs start cold.", why, self._pause)

    def _has_memory(self, count: int) -> bool:
        loading = sum(time.monotonic() - each.since < _LOADING for each in self._waiting)
        free = psutil.virtual_memory().available
        if free >= WARM_MEMORY * (loading + 1):
            return True
        if not self._told_of_memory:
            self._told_of_memory = True
            logger.warning(
                "Only %d of %d runners are kept warm: each needs %.1f GiB of free memory, and there are %.1f. "
                "Jobs beyond that start cold.",
                len(self._waiting), count, WARM_MEMORY / 1024**3, free / 1024**3,
            )  # fmt: skip
        return False


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
