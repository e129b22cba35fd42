"""Where supervisors are started: on this host now, through a scheduler later. Nothing above knows which."""

import contextlib
import os
import time
from typing import Protocol

from sleap_rtc.errors import StorageError

from .environment import python_command
from .folder import JobFolder
from .processes import ProcessRecord, host_name, is_here, kill_job, reaped, spawn
from .settings import SupervisorSettings
from .waiting import job_line
from .warm import WarmPool

_FOREIGN_SILENCE = 60.0


class Executor(Protocol):
    """Starts supervisors and knows whether one lives. The methods block: call them in a thread."""

    def start(self, folder: JobFolder, wandb_key: str | None = None) -> None:
        """Start the supervisor of a job; it outlives this process, and alone has the key from then on."""

    def alive(self, folder: JobFolder) -> bool:
        """Whether the job has a supervisor, or one that is about to claim it."""

    def clean_up(self, folder: JobFolder) -> None:
        """End what a dead supervisor left behind."""

    def keep_warm(self, count: int) -> None:
        """Have supervisors ready for so many jobs, where that makes a start faster."""

    def close(self) -> None:
        """End what was started for no job; everything that has one goes on."""


class LocalExecutor:
    """Runs supervisors on this host, each in a session of its own.

    Args:
        settings: what they are started with.
        warm: whether some are started before there is a job for them.
    """

    def __init__(self, settings: SupervisorSettings | None = None, *, warm: bool = False) -> None:
        self._settings = settings or SupervisorSettings()
        self._warm = WarmPool(self._settings) if warm else None
        self._launched: dict[str, int] = {}
        self._handed: dict[str, str | None] = {}

    def start(self, folder: JobFolder, wandb_key: str | None = None) -> None:
        """Start the supervisor of a job; it outlives this process, and alone has the key from then on."""
        # with several devices the first process waits for the others, which import everything then
        pid = self._warm.hand_over(folder, wandb_key) if self._warm and folder.spec().devices == 1 else None
        if pid is None:
            self._start_cold(folder, wandb_key)
            return
        self._launched[folder.job] = pid
        self._handed[folder.job] = wandb_key

    def _start_cold(self, folder: JobFolder, wandb_key: str | None) -> None:
        self._handed.pop(folder.job, None)
        command = python_command("sleap_rtc.jobs.supervisor", str(folder.path), "--settings", self._settings.to_json())
        with folder.supervisor_log.open("ab") as log:
            self._launched[folder.job], pipe = spawn(command, log.fileno())
        # written when the pipe is closed: one that has ended by then is found to have, and its job told to be lost
        with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb") as told:
            told.write(job_line(folder, wandb_key))

    def alive(self, folder: JobFolder) -> bool:
        """Whether the job has a supervisor, or one that is about to claim it."""
        pid = self._launched.get(folder.job)
        if pid is not None:
            if not reaped(pid):
                return True
            self._launched.pop(folder.job, None)
        try:
            record = folder.supervisor()
        except StorageError:
            return False  # torn by a power cut, which no supervisor outlives
        if record is None and folder.job in self._handed:
            # the warm one died before it had claimed the job: nothing of it has begun
            self._start_cold(folder, self._handed[folder.job])
            return True
        # claimed: whoever has the job has its key
        self._handed.pop(folder.job, None)
        return record is not None and _lives(record)

    def keep_warm(self, count: int) -> None:
        """Have supervisors ready for so many jobs, as far as memory allows."""
        if self._warm:
            self._warm.keep(count)

    def close(self) -> None:
        """End the supervisors that have no job; those that have one go on."""
        if self._warm:
            self._warm.close()

    def clean_up(self, folder: JobFolder) -> None:
        """End what a dead supervisor left behind."""
        kill_job(folder.path.resolve())


def _lives(record: ProcessRecord) -> bool:
    if record.host != host_name():
        # another host of a shared folder: only its heartbeat can tell
        return time.time() - record.heartbeat < _FOREIGN_SILENCE
    return is_here(record)
