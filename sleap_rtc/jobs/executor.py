"""Where supervisors are started: on this host now, through a scheduler later. Nothing above knows which."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from sleap_rtc.errors import StorageError

from .environment import python_command, supervisor_environment
from .folder import JobFolder
from .processes import ProcessRecord, boot_id, host_name, kill_job, start_time
from .settings import SupervisorSettings

_FOREIGN_SILENCE = 60.0


class Executor(Protocol):
    """Starts supervisors and knows whether one lives. The methods block: call them in a thread."""

    def start(self, folder: JobFolder) -> None:
        """Start the supervisor of a job; it outlives this process."""

    def alive(self, folder: JobFolder) -> bool:
        """Whether the job has a supervisor, or one that is about to claim it."""

    def clean_up(self, folder: JobFolder) -> None:
        """End what a dead supervisor left behind."""


class LocalExecutor:
    """Runs supervisors on this host, each in a session of its own.

    Args:
        settings: what they are started with.
    """

    def __init__(self, settings: SupervisorSettings | None = None) -> None:
        self._settings = settings or SupervisorSettings()
        self._launched: dict[str, int] = {}

    def start(self, folder: JobFolder) -> None:
        """Start the supervisor of a job; it outlives this process."""
        command = python_command("sleap_rtc.jobs.supervisor", str(folder.path), "--settings", self._settings.to_json())
        self._launched[folder.job] = _spawn(command, folder.supervisor_log)

    def alive(self, folder: JobFolder) -> bool:
        """Whether the job has a supervisor, or one that is about to claim it."""
        pid = self._launched.get(folder.job)
        if pid is not None:
            if not _reaped(pid):
                return True
            self._launched.pop(folder.job, None)
        try:
            record = folder.supervisor()
        except StorageError:
            return False  # torn by a power cut, which no supervisor outlives
        return record is not None and _lives(record)

    def clean_up(self, folder: JobFolder) -> None:
        """End what a dead supervisor left behind."""
        kill_job(folder.path.resolve())


def _lives(record: ProcessRecord) -> bool:
    if record.host != host_name():
        # another host of a shared folder: only its heartbeat can tell
        return time.time() - record.heartbeat < _FOREIGN_SILENCE
    started = start_time(record.pid) if record.boot == boot_id() else None
    return started is not None and abs(started - record.started) < 1.0


def _spawn(command: list[str], log: Path) -> int:
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        with log.open("ab") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, creationflags=flags,
                env=supervisor_environment(),
            ).pid  # fmt: skip
    # not Popen: an object that stands for the child would complain when the worker goes and the child stays
    return os.posix_spawn(
        command[0],
        command,
        supervisor_environment(),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def _reaped(pid: int) -> bool:
    """Whether a child has ended; its entry in the process table is freed then."""
    if sys.platform == "win32":
        return start_time(pid) is None
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
