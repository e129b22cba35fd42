"""The processes that the demo starts, and the certainty that none of them outlives it."""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import IO

import psutil

from sleap_rtc.errors import DependencyError, UnreachableError

_TAIL = 8
_GRACE = 5.0
_ROUNDS = 3
_NAMES = ("python", "sleap", "bwrap")


class Background:
    """A command that runs beside us; a thread keeps the last lines it wrote."""

    def __init__(self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=200)
        self._news = threading.Condition()
        self._silent = False
        self.process = spawn(command, env=env, cwd=cwd, piped=True)
        assert self.process.stdout is not None  # noqa: S101 - we asked for a pipe
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout, cwd / f"{name}.log"), daemon=True)
        self._reader.start()

    def wait_for(self, pattern: re.Pattern[str], seconds: float) -> str:
        """Return the first group of `pattern` in the first line that has it.

        Raises:
            UnreachableError: if the process ends or `seconds` pass before; its last lines are in the sentence.
        """
        deadline = monotonic() + seconds
        with self._news:
            while True:
                found = next((match for line in self._lines if (match := pattern.search(line))), None)
                if found:
                    return found[1]
                if self._silent:
                    raise UnreachableError(f"The demo's {self.name} ended while it started.{self._said()}")
                if not self._news.wait(max(deadline - monotonic(), 0)) and monotonic() >= deadline:
                    raise UnreachableError(
                        f"The demo's {self.name} was not ready after {seconds:g} seconds.{self._said()}"
                    )

    def check(self) -> None:
        """Raise an UnreachableError with its last lines if the process has ended."""
        if self.process.poll() is not None:
            self._reader.join(1)
            with self._news:
                raise UnreachableError(
                    f"The demo's {self.name} ended early (exit code {self.process.returncode}).{self._said()}"
                )

    def output(self, seconds: float) -> str:
        """Wait for the end and return the last line.

        Raises:
            DependencyError: if it failed, with its last lines.
        """
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise DependencyError(f"The demo's {self.name} took longer than {seconds:g} seconds.") from error
        self._reader.join(1)
        with self._news:
            if code != 0 or not self._lines:
                raise DependencyError(f"The demo's {self.name} failed (exit code {code}).{self._said()}")
            return self._lines[-1]

    def _said(self) -> str:
        tail = [line for line in self._lines if line.strip()][-_TAIL:]
        return " It said:\n" + "\n".join(f"  {line}" for line in tail) if tail else " It said nothing."

    def _read(self, pipe: IO[str], log: Path) -> None:
        with log.open("w", encoding="utf-8") as kept, pipe:
            for line in pipe:
                kept.write(line)
                kept.flush()
                with self._news:
                    self._lines.append(line.rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._silent = True
            self._news.notify_all()


def spawn(command: Sequence[str], *, env: Mapping[str, str], cwd: Path, piped: bool = False) -> subprocess.Popen[str]:
    """Start `command` out of reach of the terminal's Ctrl-C: we end it ourselves, in order.

    Args:
        command: what to run.
        env: its whole environment.
        cwd: where it runs.
        piped: read what it writes; otherwise it writes where we do.
    """
    return subprocess.Popen(
        command,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if piped else None,
        stderr=subprocess.STDOUT if piped else None,
        text=True,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
    )


def environment(home: Path) -> dict[str, str]:
    """Return our environment with no sleap-rtc setting in it but `home` and the demo's own.

    The demo's model is too small for threads: two of them that wait for each other on a busy machine made an epoch
    thirty times slower than one.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLEAP_RTC_")}
    # its one small job needs no more room than is left on the disk of a laptop
    ours = {"SLEAP_RTC_HOME": str(home), "SLEAP_RTC_WORKER_MIN_FREE_BYTES": "0", "PYTHONUNBUFFERED": "1"}
    return {"OMP_NUM_THREADS": "1"} | kept | ours


def end_all(started: Sequence[subprocess.Popen[str]], folder: Path) -> None:
    """End the processes we `started`, their descendants, and every one that works below the demo's own `folder`.

    A job's supervisor is meant to outlive its worker: it is no descendant by then, but its folder tells it apart.
    """
    first = [psutil.Process(process.pid) for process in started if process.poll() is None]
    alive = _families(first)
    for end in (psutil.Process.terminate, *[psutil.Process.kill] * _ROUNDS):
        alive |= _families(_working_below(folder))
        if not alive:
            break
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        alive = set(psutil.wait_procs(alive, timeout=_GRACE)[1])
    for child in started:
        with contextlib.suppress(subprocess.TimeoutExpired):  # killed above: there is nothing left to try
            child.wait(_GRACE)


def _families(processes: Iterable[psutil.Process]) -> set[psutil.Process]:
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {process, *process.children(recursive=True)}
    return found


def _working_below(folder: Path) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # gone meanwhile, or somebody else's
            if process.pid != os.getpid() and _is_ours(process, folder):
                yield process


def _is_ours(process: psutil.Process, folder: Path) -> bool:
    # a shell or an editor that looks into a kept folder has a terminal, or is no Python
    if not process.name().lower().startswith(_NAMES) or (hasattr(process, "terminal") and process.terminal()):
        return False
    return (
        any(str(folder) in argument for argument in process.cmdline())
        or process.environ().get("SLEAP_RTC_HOME", "").startswith(str(folder))
        or Path(process.cwd()).is_relative_to(folder)
    )


@contextlib.contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Treat SIGTERM (and a closed terminal's SIGHUP) as Ctrl-C, so that cleaning up happens."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
