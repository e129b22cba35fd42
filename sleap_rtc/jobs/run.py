"""One run of a job, seen from the supervisor: its runner's process, pipes, end, and what is kept of it."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO, Literal

import psutil

from sleap_rtc.errors import StorageError
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, EventBody, Frames, Notice, RunEnded, RunStarted, Step

from .bounds import Bounds, Excess
from .descendants import reap_orphans
from .events import Journal
from .failures import Reported, explain, took_too_much, with_log
from .folder import RunResult, is_real_folder
from .keeping import KEPT
from .ladder import Action, Ladder
from .limits import FILE, TASKS
from .log_writer import LogWriter
from .progress import Progress
from .quota import free_up
from .runners import RunnerProcess, Runners
from .settings import WARM_MEMORY, SupervisorSettings
from .work import Work

_MAX_LINE = 64 * 1024
_BLOCK = 64 * 1024
_PIPES_CLOSE = 5.0

_PROGRESS = EpochStarted | EpochEnded | Step | Frames
_FORCE = (None, "stop", "cancel", "kill")

Outcome = Literal["done", "stopped", "failed", "cancelled"]


class _Reader(threading.Thread):
    """Reads a pipe to its end; a daemon, for an escaped process may hold the pipe open for ever."""

    def __init__(self, read: Callable[[BinaryIO], None], pipe: Any) -> None:
        super().__init__(daemon=True)
        self._read, self._pipe = read, pipe
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._read(self._pipe)
        except BaseException as error:  # noqa: BLE001 - raised again where the run is looked after
            self._error = error

    def check(self) -> None:
        """Raise what ended the reader, if something did."""
        if self._error is not None:
            raise self._error


class RunSupervision:
    """Starts the runner of one run and stays with it to its end.

    Args:
        work: the run, and what its verb makes of it.
        settings: times, limits, and the runner's command.
        journal: where its events go.
        log: where its output goes.
        runners: where its runner comes from.
        environment: what the job brings into the runner's environment.
        bounds: tells when the job takes too much of the worker.
        network: whether the job may reach the network.
        kept: whether an earlier attempt had a result of it that could be fetched.
        ahead: whether the runner of the next run may be started while this one works.
    """

    def __init__(
        self, work: Work, *, settings: SupervisorSettings,
        journal: Journal, log: LogWriter, runners: Runners, environment: Mapping[str, str], bounds: Bounds,
        network: bool = False, kept: bool = False, ahead: bool = False,
    ) -> None:  # fmt: skip
        self._work, self._folder, self._run = work, work.folder, work.run
        self._settings, self._journal, self._log = settings, journal, log
        self._runners, self._environment, self._bounds = runners, environment, bounds
        self._network = network
        self._kept, self._next_ahead = kept, ahead
        self._progress = Progress(settings.step_interval)
        self._ladder = Ladder(settings)
        self._ready, self._heard = threading.Event(), threading.Event()
        self._begun = False
        self._reported: Reported | None = None
        self._full = False
        self._too_much: Excess | None = None

    def see_through(
        self, command: Callable[[], str | None], begin: Callable[[], None]
    ) -> tuple[RunResult, ErrorInfo | None]:
        """Run it, and journal its end.

        Args:
            command: tells the strongest command so far.
            begin: called when the runner is ready, before the training starts.

        Returns:
            How it ended, and why if it failed.
        """
        self._make_scratch()
        if (said := self._work.prepare()) is not None:
            self._journal.append(Notice(text=said), self._run.name)
        ahead = self._runners.take_ahead(network=self._network)
        if ahead is not None:
            code = self._attend(ahead, command, begin)
        # one that ended before it was told the job is no end of the job
        if ahead is None or (command() is None and not self._begun):
            code = self._attend(self._runners.start(network=self._network), command, begin)
        return self._end(code, command())

    def _make_scratch(self) -> None:
        scratch = self._folder.scratch
        with suppress(FileExistsError):
            scratch.mkdir(parents=True, mode=0o700)
        if not is_real_folder(scratch):
            # what an earlier run put in its place is neither followed nor taken away
            raise StorageError(f"'{scratch}' is no folder: an earlier run of the job has put something in its place.")

    def _attend(self, runner: RunnerProcess, command: Callable[[], str | None], begin: Callable[[], None]) -> int:
        self._log.tail.clear()
        self._ready.clear()
        self._reported = None
        self._bounds.attend(runner)
        process = runner.process
        with process:
            readers = [
                _Reader(self._read_messages, process.stdout),
                _Reader(self._read_output, process.stderr),
            ]
            try:
                self._stay(runner, readers, command, begin)
            finally:
                # also if the journal cannot be written: nothing may go on unseen
                runner.kill(self._runners.ahead)
            for reader in readers:
                reader.join(_PIPES_CLOSE)
                reader.check()
        self._log.finish()
        return runner.returncode

    def _stay(
        self,
        runner: RunnerProcess,
        readers: list[_Reader],
        command: Callable[[], str | None],
        begin: Callable[[], None],
    ) -> None:
        process, begun = runner.process, False
        while process.poll() is None:
            reap_orphans(process.pid)
            if self._ready.is_set() and not self._begun:
                self._begun = True
                runner.admit(self._folder.job)
                begin()
                self._hand_over(runner)
            if not begun and self._heard.is_set():
                begun = True
                self._work.begun()
                self._start_next()
            self._climb(runner, command())
            for reader in readers:
                reader.check()
            try:
                process.wait(self._settings.tick)
            except subprocess.TimeoutExpired:
                continue

    def _start_next(self) -> None:
        """Let the next run's runner import sleap-nn meanwhile, where there is memory for both."""
        if self._next_ahead and psutil.virtual_memory().available >= WARM_MEMORY:
            self._runners.start_ahead()

    def _hand_over(self, runner: RunnerProcess) -> None:
        told = self._work.told()
        limits = {FILE: self._settings.max_work}
        if runner.sandbox:
            # elsewhere the kernel would count what the user runs beside the job
            limits[TASKS] = self._settings.max_threads
        _tell(
            runner.process, type="job", verb=self._run.verb, run=self._run.name, limits=limits,
            folder=str(self._folder.work), environment=dict(self._environment), **told,
        )  # fmt: skip
        _never_wait_for(runner.process)

    def _climb(self, runner: RunnerProcess, command: str | None) -> None:
        excess = self._bounds.excess
        wanted = max((command, excess.way if excess else None), key=_FORCE.index)
        action = self._ladder.step(time.monotonic(), wanted, self._progress.training)
        if action is not None:
            self._too_much = excess
        if action is Action.STOP:
            _tell(runner.process, type="stop")
        elif action is Action.TERMINATE:
            if command != "cancel":
                self._work.set_aside()
            runner.terminate()
        elif action is Action.KILL:
            runner.kill(self._runners.ahead)

    def announce(self, index: int, count: int) -> None:
        """Journal that the run started."""
        run = self._run
        started = RunStarted(
            index=index, runs=count, verb=run.verb, model_type=run.model_type, max_epochs=run.max_epochs
        )
        self._journal_body(started)

    def _end(self, code: int, command: str | None) -> tuple[RunResult, ErrorInfo | None]:
        self._work.finish()
        outcome, sentence = self._outcome(code, command)
        folder = self._run.name if outcome != "cancelled" and self._work.has_result() else None
        if outcome == "failed" and not self._kept and not self._too_much:
            # what a failed run left is no result, unless there was one before, or nothing was wrong with it
            folder = None
        error = ErrorInfo(code="job_failed", sentence=sentence) if sentence else None
        full = with_log(sentence, self._log.tail) if sentence else None
        ended = RunEnded(outcome=outcome, folder=folder, metrics=self._progress.metrics, error=full)
        self._journal.append(ended, self._run.name, durable=True)
        return RunResult(name=self._run.name, outcome=outcome, exit_code=code, folder=folder), error

    def _outcome(self, code: int, command: str | None) -> tuple[Outcome, str | None]:
        if self._ladder.climbed:
            if command == "cancel":
                return "cancelled", None
            self._work.restore()
            if self._too_much:
                if self._too_much.of_disk:
                    free_up(self._folder, self._run.name, KEPT)
                return "failed", took_too_much(self._run.name, self._too_much.why, kept=self._work.has_result())
            return "stopped", None
        if code == 0 and self._work.has_result():
            return "done", None
        if code == 0:
            return "failed", self._work.nothing()
        return "failed", explain(self._run.name, code, self._reported, self._log.tail)

    def _read_output(self, pipe: BinaryIO) -> None:
        while data := pipe.read1(_BLOCK):  # type: ignore[attr-defined] # a pipe of Popen is a BufferedReader
            self._log.write(data)

    def _read_messages(self, pipe: BinaryIO) -> None:
        for line in _lines(pipe):
            message = _parse(line)
            if message is None:
                continue
            if message.get("type") == "ready":
                self._ready.set()
            elif message.get("type") == "failed":
                self._reported = Reported(str(message.get("kind"))[:200], str(message.get("message"))[:4000])
            elif message.get("type") == "progress":
                self._heard.set()
                body = self._progress.receive(message, time.monotonic())
                if body is not None:
                    self._journal_body(body)

    def _journal_body(self, body: EventBody) -> None:
        if isinstance(body, _PROGRESS) and self._journal.size > self._settings.max_journal:
            if not self._full:
                self._full = True
                text = "The job has reported more than is kept: its progress is not written down any longer."
                self._journal.append(Notice(text=text), self._run.name)
            return
        self._journal.append(body, self._run.name)


def _never_wait_for(process: subprocess.Popen[bytes]) -> None:
    """From here on its job may fill the pipe to it, so that who writes there would wait for ever."""
    if process.stdin is not None and hasattr(os, "set_blocking"):
        os.set_blocking(process.stdin.fileno(), False)


def _tell(process: subprocess.Popen[bytes], **message: Any) -> None:
    if process.stdin is None:
        raise RuntimeError("the runner was started without pipes")
    left = json.dumps(message).encode() + b"\n"
    try:
        # past the buffer: what could not be written must not be tried again when the pipe is closed
        while left:
            left = left[os.write(process.stdin.fileno(), left) :]
    except BrokenPipeError:
        return  # the runner has ended; its exit code tells more
    except BlockingIOError:
        return  # it does not listen; the ladder goes on without it


def _lines(pipe: BinaryIO) -> Iterator[bytes]:
    """The lines of at most `_MAX_LINE` bytes; a longer one is passed over, and its end is no line."""
    whole = True
    while line := pipe.readline(_MAX_LINE):
        ends = line.endswith(b"\n")
        if whole and ends:
            yield line
        whole = ends


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None  # a job may write anything there
    return message if isinstance(message, dict) else None
