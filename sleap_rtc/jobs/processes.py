"""Processes of a job: finding all of them, ending all of them, and knowing one again."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from .descendants import descendants
from .environment import JOB_VARIABLE, supervisor_environment

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PAUSE = 0.02
_GONE = (psutil.NoSuchProcess, psutil.ZombieProcess)
# Windows can do neither, and ends a process by any other signal
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_STOP = getattr(signal, "SIGSTOP", _KILL)


class ProcessRecord(BaseModel):
    """A process, so described that it is known again from another process, and never taken for another one."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    host: str
    boot: str
    pid: int
    started: float
    heartbeat: float

    @property
    def mark(self) -> str:
        """What everything that this process starts carries in its environment, from before it knows its job."""
        return f"{self.boot}:{self.pid}:{self.started}"


def this_process() -> ProcessRecord:
    """The record of the process that asks."""
    pid = os.getpid()
    return ProcessRecord(
        host=host_name(), boot=boot_id(), pid=pid, started=start_time(pid) or 0.0, heartbeat=time.time()
    )


def host_name() -> str:
    """This machine's name."""
    return socket.gethostname()


def boot_id() -> str:
    """A value that changes with every start of this machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return str(int(psutil.boot_time()))


def start_time(pid: int) -> float | None:
    """When a process was started; None if it is gone. A pid is used again, a pid with its start time is not."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except _GONE:
        return None


def is_here(record: ProcessRecord) -> bool:
    """Whether the process of a record runs, on this host and since this host was started."""
    if record.host != host_name() or record.boot != boot_id():
        return False
    started = start_time(record.pid)
    return started is not None and abs(started - record.started) < 1.0


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none escapes by forking twice (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Ask for SIGKILL when the parent ends, however it ends (Linux)."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hide_memory() -> None:
    """Keep this user's other processes from reading or changing this one's memory and descriptors (Linux)."""
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


def terminate_group(pid: int) -> None:
    """Send SIGTERM to a process and its group, if it still leads one."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGTERM)
        else:
            psutil.Process(pid).terminate()
    except (ProcessLookupError, PermissionError, *_GONE):
        return  # it ended meanwhile


def kill_group(pid: int) -> None:
    """SIGKILL a process and its group, if it still leads one: all of it at once, whatever it starts meanwhile."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)


def kill_descendants(within: float = 10.0, *, spare: int | None = None) -> bool:
    """SIGKILL everything this process started, directly or not, until nothing is left.

    Args:
        within: seconds.
        spare: one that is left alone, with all that it started.

    Returns:
        Whether all of it was gone `within` seconds.
    """

    def find() -> list[int]:
        spared = set() if spare is None else {spare, *descendants(spare)}
        return [pid for pid in descendants(os.getpid()) if pid not in spared]

    return _kill_until_gone(find, within)


def kill_job(job: Path, within: float = 5.0) -> bool:
    """SIGKILL every process that carries the mark of a job's supervisor: what it left behind when it was lost."""
    try:
        mark = ProcessRecord.model_validate_json((job / "control" / "supervisor.json").read_bytes()).mark
    except (FileNotFoundError, ValidationError):
        return True  # never claimed, or torn by a power cut, which no process outlives
    return _kill_until_gone(
        lambda: [process.pid for process in psutil.process_iter() if _carries(process, mark) and _living(process)],
        within,
    )


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        return process.pid != os.getpid() and process.environ().get(JOB_VARIABLE) == mark
    except (psutil.AccessDenied, OSError, *_GONE):
        return False  # another user's process, or one that ended


def _kill_until_gone(find: Callable[[], list[int]], within: float) -> bool:
    deadline = time.monotonic() + within
    frozen: set[int] = set()
    while living := set(find()):
        if time.monotonic() > deadline:
            return False
        fresh, frozen = living - frozen, living
        # stopped first: those that start others faster than they are found would never be all found
        for pid in fresh or living:
            _send(pid, _STOP if fresh else _KILL)
        # waiting on them would take the runner's exit status from whoever started it
        time.sleep(0 if fresh else _PAUSE)
    return True


def _living(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except _GONE:
        return False


def _send(pid: int, number: int) -> None:
    # gone, or not ours to end; the deadline tells
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def spawn(command: list[str], output: int) -> tuple[int, int]:
    """Start a process in a session of its own, which outlives this one.

    Args:
        command: what to run, with a supervisor's environment.
        output: the descriptor of the file that its output goes to.

    Returns:
        Its pid, and the descriptor of a pipe to its standard input.
    """
    read, write = os.pipe()
    try:
        if sys.platform == "win32":
            flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
            pid = subprocess.Popen(
                command, stdin=read, stdout=output, stderr=output, creationflags=flags, env=supervisor_environment()
            ).pid
        else:
            # not Popen: an object that stands for the child would complain when the worker goes and the child stays
            pid = os.posix_spawn(
                command[0],
                command,
                supervisor_environment(),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate((read, output, output))
                ],
                setsid=True,
            )
    except OSError:
        os.close(write)
        raise
    finally:
        os.close(read)
    return pid, write


def reaped(pid: int) -> bool:
    """Whether a child has ended; its entry in the process table is freed then."""
    if sys.platform == "win32":
        return start_time(pid) is None
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
