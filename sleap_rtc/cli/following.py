"""A job that the worker has: watched to its end, asked about on Ctrl-C, and its results brought home."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sleap_rtc.cli.asking import ask
from sleap_rtc.cli.output import note
from sleap_rtc.cli.progress import JobDisplay, What
from sleap_rtc.cli.running import beside, interrupts
from sleap_rtc.client.lossviewer import MonitorPorts, monitored
from sleap_rtc.client.predictions import ModelsAndPredictions, PredictionFiles
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.errors import JobFailedError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.jobs import Event, JobState, JobSummary, RunEnded, StateChanged, Verb

T = TypeVar("T")
Interrupts = asyncio.Queue[int]
OnBytes = Callable[[int, int], None]
INTERRUPTED = 130
MODELS = Path("models")
"""Where models go unless it is typed."""
NO_MONITOR = MonitorPorts()
_ASKED = {
    "d": "detach: let it run, and watch it later with the same command",
    "s": "",
    "c": "cancel: end it and keep nothing",
    "w": "watch on",
}


@dataclass(frozen=True)
class Words:
    """What is said of a job by what it does.

    Attributes:
        results: what it leaves.
        stop: what the answer ``s`` to Ctrl-C does.
        stopping: said when it was given.
        nothing: said when nothing was there to be kept.
    """

    results: What
    stop: str
    stopping: str
    nothing: str


TRAINING = Words(
    results="models",
    stop="stop: validate the best model so far and bring it home",
    stopping="Stopping after this step; the best model so far is validated and comes home.",
    nothing="The job was stopped before it had a model, so there is nothing to bring home.",
)
TRACKING = Words(
    results="predictions",
    stop="stop: bring home the predictions of what was looked at to its end",
    stopping="Stopping; the predictions of what was looked at to its end come home.",
    nothing="The job was stopped before anything was looked at to its end, so there is nothing to bring home.",
)
EXPORTING = Words(
    results="network",
    stop="stop: end the export, and keep nothing",
    stopping="Stopping the export.",
    nothing="The job was stopped before the model was exported.",
)


BOTH = Words(
    results="models and predictions",
    stop="stop: bring home the best model so far, and the predictions of what was looked at to its end",
    stopping="Stopping; the best model so far comes home, and the predictions of what was looked at to its end.",
    nothing=TRAINING.nothing,
)


@dataclass(frozen=True)
class Results:
    """How a job's results come home.

    Attributes:
        words: what is said of them.
        bring: brings them, and returns where they are; None leaves them on the worker.
    """

    words: Words
    bring: Callable[[RemoteJob, OnBytes], Awaitable[Sequence[Path]]] | None = None


def results_of(summary: JobSummary, output: Path | None, *, leave: bool = False) -> Results:
    """How the results of a job come home that another command sent.

    Args:
        summary: the job.
        output: the folder that was typed.
        leave: leave them on the worker.
    """
    tracked = frozenset(run.name for run in summary.runs if run.verb is Verb.TRACK)
    if not tracked:
        return models_into(None if leave else output or MODELS)
    if len(tracked) == len(summary.runs):
        return Results(TRACKING) if leave else predictions_into(output or Path(), PredictionFiles())
    if leave:
        return Results(BOTH)
    layout = ModelsAndPredictions(tracked, PredictionFiles(), output or Path())
    return Results(BOTH, lambda job, on_bytes: job.fetch(output or MODELS, on_bytes, layout=layout))


def predictions_into(folder: Path, layout: PredictionFiles) -> Results:
    """Bring an inference's predictions into a folder."""
    return Results(TRACKING, lambda job, on_bytes: job.fetch(folder, on_bytes, layout=layout))


def models_into(output: Path | None) -> Results:
    """Bring a training's models into a folder; without one they stay on the worker."""
    if output is None:
        return Results(TRAINING)
    return Results(TRAINING, lambda job, on_bytes: job.fetch(output, on_bytes))


class _Interrupted(Exception):  # noqa: N818 - not an error: the user pressed Ctrl-C
    """The user wants out of what is being waited for."""


class Asks:
    """Where Ctrl-C goes: until there is a job it ends the command, from then on it is a question about the job."""

    def __init__(self) -> None:
        self.has_job = False
        self.queue: asyncio.Queue[int] = asyncio.Queue()


async def until_interrupted(work: Callable[[Asks], Coroutine[Any, Any, int]]) -> int:
    """Run a command that comes to watch a job; until it has one, Ctrl-C ends it.

    Args:
        work: the command, given where Ctrl-C goes.

    Returns:
        The exit code.
    """
    asks = Asks()
    with interrupts() as interrupted:
        async with beside(work(asks)) as working:
            while True:
                async with beside(interrupted.get()) as pressed:
                    either: set[asyncio.Future[int]] = {working, pressed}
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                    if working.done():
                        return working.result()
                    number = pressed.result()
                if not asks.has_job:
                    break
                asks.queue.put_nowait(number)
    note("Interrupted before this command had a job to watch. The same command goes on where this one was.")
    return INTERRUPTED


class Following:
    """A job from its acceptance to its results where they belong.

    Args:
        job: which job.
        display: what shows it.
        interrupted: where Ctrl-C arrives.
        results: how its results come home.
        logs: show the training log too.
        monitor: where SLEAP's own monitor shows the training.
    """

    def __init__(
        self,
        job: RemoteJob,
        display: JobDisplay,
        interrupted: Interrupts,
        *,
        results: Results,
        logs: bool,
        monitor: MonitorPorts = NO_MONITOR,
    ) -> None:
        self._job = job
        self._display = display
        self._interrupted = interrupted
        self._bring = results.bring
        self._words = results.words
        self._logs = logs
        self._monitor = monitor
        self._error: SleapRTCError | None = None
        self._has_results = False
        self._cancelled_here = False
        self._stopped_here = False

    async def run(self) -> int:
        """Watch the job to its end and bring its results home; return the exit code.

        Raises:
            JobFailedError: if it did not end well.
            UnreachableError: if its worker is gone for good.
        """
        try:
            state = await self._watch()
            has_results = self._has_results and state is not JobState.CANCELLED
            if has_results and self._bring is not None:
                fetching = self._bring(self._job, self._display.download)
                self._display.finished(await _unless(self._interrupted, fetching), self._words.results)
        except UnreachableError as error:
            raise UnreachableError(
                f"{error.sentence} The job {self._job.id} goes on if its worker does: type the same command again to "
                "watch it."
            ) from error
        except _Interrupted:
            note(f"Detached; the job {self._job.id} stays on its worker. Type the same command again to go on.")
            return INTERRUPTED
        if has_results and self._bring is None:
            note(f"Its {self._words.results} are on the worker. Bring them home: sleap-rtc jobs fetch {self._job.id}")
        else:
            self._job.forget()
        return self._outcome(state)

    def _outcome(self, state: JobState) -> int:
        if state is JobState.DONE:
            return 0
        if state is JobState.CANCELLED and self._cancelled_here:
            note("The job was cancelled; nothing was kept.")
            return INTERRUPTED
        if self._error:
            raise JobFailedError(self._error.sentence)
        if state is JobState.CANCELLED and self._stopped_here:
            raise JobFailedError(self._words.nothing)
        raise JobFailedError(
            f"The job {self._job.id} ended as {state}. See its log: sleap-rtc jobs logs {self._job.id}"
        )

    async def _watch(self) -> JobState:
        on_log = self._display.log if self._logs else None
        async with (
            monitored(self._monitor, self._stop_from_monitor, note) as show,
            beside(self._job.watch(lambda event: self._take(event, show), on_log=on_log)) as watching,
        ):
            while True:
                async with beside(self._interrupted.get()) as pressed:
                    either: set[asyncio.Future[Any]] = {watching, pressed}
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                    if not pressed.done():
                        return watching.result()
                    number = pressed.result()
                # whoever ends us from outside is not there to be asked
                if number != signal.SIGINT or not await self._asked(watching):
                    raise _Interrupted

    async def _asked(self, watching: "asyncio.Future[JobState]") -> bool:
        """Ask what Ctrl-C meant; tell whether to watch on."""
        with self._display.paused():
            answers = _ASKED | {"s": self._words.stop}
            choice = await ask("Ctrl-C: what about the job?", answers, default="d", interrupted=self._interrupted)
        if choice == "d":
            return False
        if watching.done():
            return True
        if choice == "s":
            self._stopped_here = True
            await _unless(self._interrupted, self._job.stop())
            note(self._words.stopping)
        elif choice == "c":
            self._cancelled_here = True
            await _unless(self._interrupted, self._job.cancel())
        return True

    async def _stop_from_monitor(self) -> None:
        self._stopped_here = True
        await self._job.stop()
        note("SLEAP's monitor stops the training: the best model so far is validated and comes home.")

    def _take(self, event: Event, show: Callable[[Event], None]) -> None:
        body = event.body
        if isinstance(body, RunEnded):
            self._has_results = self._has_results or body.folder is not None
            # the run's own error quotes the end of its log; the job's says only that it failed
            self._error = body.error.as_exception() if body.error else self._error
        if isinstance(body, StateChanged) and body.state is JobState.QUEUED:
            self._error = None  # an earlier attempt's
        if isinstance(body, StateChanged) and body.error and not self._error:
            self._error = body.error.as_exception()
        self._display.event(event)
        show(event)


async def _unless(interrupted: Interrupts, work: Awaitable[T]) -> T:
    """Await `work`, but give it up when Ctrl-C is pressed."""
    async with beside(work) as working, beside(interrupted.get()) as pressed:
        either: set[asyncio.Future[Any]] = {working, pressed}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise _Interrupted
        if pressed.done():
            interrupted.put_nowait(pressed.result())  # both at once: whoever waits next hears of it
        return working.result()
