"""How a warm supervisor waits for its job: its runner is started, the job's folder comes on standard input.

The end of standard input is the end of the worker, and of the waiting. Once the folder is there, nothing ties the
supervisor to the worker any longer.
"""

import json
import os
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple

from sleap_rtc.errors import DependencyError
from sleap_rtc.protocol.text import printable

from .folder import JobFolder
from .runners import RunnerProcess, Runners

_LOOK = 1.0
_BLOCK = 64 * 1024
_MAX_REASON = 500


class Told(NamedTuple):
    """What a worker tells a supervisor on its standard input: the job's folder, and the W&B key that came with it."""

    folder: Path
    wandb_key: str | None

    @classmethod
    def read(cls) -> "Told | None":
        """Wait for it; None if the worker ended before it said anything. Blocks."""
        line = _read_line()
        if not line:
            return None
        said = json.loads(line)
        return cls(Path(said["folder"]), said.get("wandb_key"))


def wait_for_job(runners: Runners) -> Told | None:
    """Start a runner ahead and wait for a job.

    Returns:
        The job; None if the worker ended before it had one.

    Raises:
        DependencyError: if the runner cannot be started, or ended while it waited.
    """
    try:
        runner = runners.start_ahead()
    except OSError as error:
        raise DependencyError(f"A runner cannot be started: {error}.") from error
    jobs: SimpleQueue[Told | None] = SimpleQueue()
    # a daemon: it must not keep a supervisor whose runner ended from ending as well
    threading.Thread(target=lambda: jobs.put(Told.read()), daemon=True).start()
    while True:
        try:
            told = jobs.get(timeout=_LOOK)
            break
        except Empty:
            if runner.process.poll() is not None:
                raise DependencyError(_why_it_ended(runner)) from None
    if told is not None:
        _let_go(JobFolder(told.folder))
    return told


def job_line(folder: JobFolder, wandb_key: str | None = None) -> bytes:
    """What is written to the standard input of a supervisor, and is nowhere else: what it holds may be a secret."""
    said = {"folder": str(folder.path.resolve())} | ({"wandb_key": wandb_key} if wandb_key else {})
    return json.dumps(said).encode() + b"\n"


def _read_line() -> bytes:
    line = b""
    # unbuffered: a buffered reader that waits in a daemon thread can abort the interpreter at its end
    while data := os.read(0, _BLOCK):
        line += data
        if line.endswith(b"\n"):
            return line
    return b""


def _let_go(folder: JobFolder) -> None:
    """Leave the worker's pipe and output for the job's own log."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    log = os.open(folder.supervisor_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.close(nothing)
    os.close(log)


def _why_it_ended(runner: RunnerProcess) -> str:
    errors = runner.process.stderr
    said = os.read(errors.fileno(), _BLOCK) if errors else b""
    last = (said.decode(errors="replace").strip().splitlines() or ["it gave no reason"])[-1]
    return f"A runner ended before it had a job (exit code {runner.returncode}): {printable(last)[:_MAX_REASON]}"
