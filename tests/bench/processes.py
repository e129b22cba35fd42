"""Processes that a bench starts: they end with it, and what they use is measured."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Self

import psutil

from tests.bench.proxy_control import ROOT

MIB = 1024 * 1024
SAMPLE_EVERY = 0.05
LOOK_FOR_CHILDREN_EVERY = 10
"""In samples: finding children reads the whole process table."""
ROW_LIMIT = 900.0
"""Seconds after which whatever is being measured is given up."""

Process = subprocess.Popen[str]


class BenchError(Exception):
    """Why a row has no figure."""


@dataclass(frozen=True)
class Moved:
    """One file moved from one process to another.

    Attributes:
        size: its bytes.
        seconds: from the command typed to the last byte on the other end's disk.
        sender_cpu: CPU seconds of the sending end.
        receiver_cpu: those of the receiving end.
        peak: bytes of memory of the end that took more.
    """

    size: int
    seconds: float
    sender_cpu: float
    receiver_cpu: float
    peak: int

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds


class Meter:
    """Samples one end's CPU time and memory while the body runs.

    Args:
        pids: its processes.
        children: count those they start as well.
    """

    def __init__(self, *pids: int, children: bool = True) -> None:
        self.peak = 0
        self._children = children
        self._roots = [psutil.Process(pid) for pid in pids]
        self._processes = {process.pid: process for process in self._roots}
        self._before = {process.pid: _cpu_of(process) for process in self._roots}
        self._cpu: dict[int, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_on, daemon=True)

    @property
    def cpu(self) -> float:
        """CPU seconds since the body began, short of at most one sample."""
        return sum(seconds - self._before.get(pid, 0.0) for pid, seconds in self._cpu.items())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample_on(self) -> None:
        turn = 0
        while True:
            if self._children and turn % LOOK_FOR_CHILDREN_EVERY == 1:
                self._find_children()
            self._sample()
            turn += 1
            if self._ended.wait(SAMPLE_EVERY):
                self._sample()
                return

    def _find_children(self) -> None:
        for root in self._roots:
            with suppress(psutil.Error):
                for child in root.children(recursive=True):
                    self._processes.setdefault(child.pid, child)

    def _sample(self) -> None:
        memory = 0
        for pid, process in self._processes.items():
            with suppress(psutil.Error):
                self._cpu[pid] = _cpu_of(process)
                memory += process.memory_info().rss
        self.peak = max(self.peak, memory)


def _cpu_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


@contextmanager
def spawned(
    command: Sequence[str | Path],
    *,
    cwd: Path,
    limit: float = ROW_LIMIT,
    environment: dict[str, str] | None = None,
    log: Path | None = None,
) -> Iterator[Process]:
    """Run a command while the body does, its stdin and stdout piped; then, or when the time is up, kill it.

    Args:
        command: what to run; Python modules of this repository are found from anywhere.
        cwd: where to run it, away from any project's files.
        limit: seconds it may live.
        environment: added to ours.
        log: where its stderr goes; nowhere by default.
    """
    with (log or Path(os.devnull)).open("ab") as errors:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=cwd,
            env=_environment() | (environment or {}),
            # a Ctrl-C reaches the bench alone, which then ends all it started, the last one first
            start_new_session=True,
        )
    watchdog = threading.Timer(limit, _kill, [process])
    watchdog.daemon = True
    watchdog.start()
    try:
        yield process
    finally:
        watchdog.cancel()
        _kill(process)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()


def _environment() -> dict[str, str]:
    # compiled once and kept, as on any machine where Python was not told otherwise
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return ours | {"PYTHONPATH": str(ROOT)}


def python(module: str, *arguments: object) -> list[str]:
    """The command that runs a module of this repository."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):
        # its whole session: ssh's and wormhole's helpers must not stay behind
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def lines_of(process: Process) -> Iterator[str]:
    """What a process prints, line by line, without the line's end."""
    assert process.stdout
    for line in process.stdout:
        yield line.rstrip("\n")


def word_with(process: Process, mark: str) -> str:
    """The first word a process prints that contains `mark`.

    Raises:
        BenchError: if it ends without.
    """
    for line in lines_of(process):
        if mark in line:
            return next(word for word in line.split() if mark in word)
    raise BenchError(f"{_name(process)} ended without printing '{mark}'")


def read_json(process: Process) -> dict[str, Any]:
    """The object in the next line a process prints.

    Raises:
        BenchError: if there is none.
    """
    line = next(lines_of(process), "")
    if not line.startswith("{"):
        raise BenchError(f"{_name(process)} ended early")
    found: dict[str, Any] = json.loads(line)
    return found


def write_json(process: Process, message: Mapping[str, object]) -> None:
    """Send a process one object as a line."""
    assert process.stdin
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _name(process: Process) -> str:
    assert isinstance(process.args, list)
    return " ".join(str(word) for word in process.args[:3])


def make_file(path: Path, size: int, start: bytes = b"") -> Path:
    """Write a file of random bytes, and wait until it is on the disk: no later run pays for it.

    Args:
        path: where; its folder is made.
        size: bytes.
        start: what it begins with.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(start)
        for at in range(len(start), size, MIB):
            file.write(os.urandom(min(MIB, size - at)))
        file.flush()
        os.fsync(file.fileno())
    return path


def sync_file(path: Path) -> None:
    """Wait until a file that another program wrote is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def now() -> float:
    """Seconds on the clock that all rows are timed with."""
    return time.perf_counter()


def end_when_interrupted() -> None:
    """Let Ctrl-C and SIGTERM unwind quietly, so that all that was started ends, and its folders go."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def leave(number: int, _: FrameType | None) -> None:
        for ignored in numbers:
            signal.signal(ignored, signal.SIG_IGN)  # once is enough: a second one would stop the tidying up
        sys.exit(128 + number)

    for number in numbers:
        signal.signal(number, leave)
