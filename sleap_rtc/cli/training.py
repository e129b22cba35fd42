"""What ``sleap-rtc train`` does once its options are read: connect, submit, watch, bring home."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from sleap_rtc.cli.asking import ask
from sleap_rtc.cli.output import note, warn
from sleap_rtc.cli.progress import JobDisplay, make_display
from sleap_rtc.cli.running import interrupts
from sleap_rtc.client.client import join_session
from sleap_rtc.client.link import LinkState
from sleap_rtc.client.package import open_package
from sleap_rtc.client.remote import RemoteJob, RemoteWorker
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import JobFailedError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.jobs import Event, JobState, RunEnded, StateChanged
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.transport.engines import Engine, preload

T = TypeVar("T")
Interrupts = asyncio.Queue[int]
INTERRUPTED = 130
CHOICES = {
    "d": "detach: let it run, and watch it later with the same command",
    "s": "stop: validate the best model so far and bring it home",
    "c": "cancel: end it and keep nothing",
    "w": "watch on",
}


@dataclass(frozen=True)
class TrainRequest:
    """What the user typed."""

    session_string: str
    pkg_path: Path
    output: Path
    logs: bool
    as_json: bool
    new: bool
    give_up: float
    server: str
    transport: str


class _Interrupted(Exception):  # noqa: N818 - not an error: the user pressed Ctrl-C
    """The user wants out before there is a job to be asked about."""


async def train_remotely(request: TrainRequest) -> int:
    """Train a package on the worker of a session string.

    Returns:
        The exit code.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    with interrupts() as interrupted, make_display(json=request.as_json, logs=request.logs) as display:
        try:
            return await _train(request, display, interrupted)
        except _Interrupted:
            note("Interrupted before the job was accepted: nothing runs. The same command goes on where this one was.")
            return INTERRUPTED


async def _train(request: TrainRequest, display: JobDisplay, interrupted: Interrupts) -> int:
    package = await _unless(interrupted, open_package(request.pkg_path))
    display.connecting("the worker")
    await _unless(interrupted, asyncio.to_thread(preload, cast(Engine, request.transport)))
    async with join_session(
        request.session_string,
        default_server=request.server,
        engine=cast(Engine, request.transport),
        timeouts=Timeouts(give_up=request.give_up),
        on_service=_say_service,
        on_state=lambda state, reason: _say_link(display, state, reason),
    ) as (worker, presence):
        display.connected(presence.name, gpu_text(presence))
        display.upload(0, package.manifest.total_size, 0)
        job = await _unless(interrupted, worker.submit(package, new=request.new, on_bytes=display.upload))
        display.accepted(job.summary)
        return await _Following(request, worker, job, display, interrupted).run()


class _Following:
    """A job from its acceptance to the models in their folder."""

    def __init__(
        self,
        request: TrainRequest,
        worker: RemoteWorker,
        job: RemoteJob,
        display: JobDisplay,
        interrupted: Interrupts,
    ) -> None:
        self._request = request
        self._job = job
        self._display = display
        self._interrupted = interrupted
        self._error: SleapRTCError | None = None
        self._has_models = False
        self._cancelled_here = False
        self._stopped_here = False

    async def run(self) -> int:
        try:
            state = await self._watch()
            if state is None:
                note(f"Detached; the job {self._job.id} goes on. Type the same command again to watch it.")
                return INTERRUPTED
            if self._has_models and state is not JobState.CANCELLED:
                folders = await _unless(
                    self._interrupted, self._job.fetch(self._request.output, self._display.download)
                )
                self._display.finished(folders)
        except UnreachableError as error:
            raise UnreachableError(
                f"{error.sentence} The job {self._job.id} goes on if its worker does: type the same command again to "
                "watch it."
            ) from error
        except _Interrupted:
            note(f"Interrupted; the models of {self._job.id} stay on the worker. The same command fetches them.")
            return INTERRUPTED
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
            raise JobFailedError("The job was stopped before it had a model, so there is nothing to bring home.")
        raise JobFailedError(f"The job {self._job.id} ended as {state}. Train again with --logs to see more.")

    async def _watch(self) -> JobState | None:
        on_log = self._display.log if self._request.logs else None
        watching = asyncio.ensure_future(self._job.watch(self._take, on_log=on_log))
        try:
            while True:
                pressed = asyncio.ensure_future(self._interrupted.get())
                await asyncio.wait({watching, pressed}, return_when=asyncio.FIRST_COMPLETED)
                if not pressed.done():
                    pressed.cancel()
                    return watching.result()
                if not await self._asked(watching):
                    return None
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _asked(self, watching: "asyncio.Future[JobState]") -> bool:
        """Ask what Ctrl-C meant; tell whether to watch on."""
        with self._display.paused():
            choice = await ask("Ctrl-C: what about the job?", CHOICES, default="d", interrupted=self._interrupted)
        if choice == "d":
            return False
        if watching.done():
            return True
        if choice == "s":
            self._stopped_here = True
            await self._job.stop()
            note("Stopping after this step; the best model so far is validated and comes home.")
        elif choice == "c":
            self._cancelled_here = True
            await self._job.cancel()
        return True

    def _take(self, event: Event) -> None:
        body = event.body
        if isinstance(body, RunEnded):
            self._has_models = self._has_models or body.folder is not None
            # the run's own error quotes the end of its log; the job's says only that it failed
            self._error = body.error.as_exception() if body.error else self._error
        if isinstance(body, StateChanged) and body.error and not self._error:
            self._error = body.error.as_exception()
        self._display.event(event)


async def _unless(interrupted: Interrupts, work: Awaitable[T]) -> T:
    """Await `work`, but give it up when Ctrl-C is pressed."""
    working = asyncio.ensure_future(work)
    pressed = asyncio.ensure_future(interrupted.get())
    try:
        await asyncio.wait({working, pressed}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise _Interrupted
    finally:
        for task in (working, pressed):
            task.cancel()
        await asyncio.wait({working, pressed})


def gpu_text(presence: WorkerPresence) -> str:
    """Say in a few words what a worker computes on."""
    gpus = presence.info.gpus
    return ", ".join(f"{gpu.name} ({gpu.memory_mb / 1024:.0f} GiB)" for gpu in gpus) if gpus else "CPU only"


def _say_link(display: JobDisplay, state: LinkState, reason: str) -> None:
    say: dict[LinkState, Callable[[], None]] = {
        LinkState.CONNECTED: lambda: None,
        LinkState.LOST: lambda: display.link_lost(reason),
        LinkState.RESTORED: display.link_restored,
    }
    say[state]()


def _say_service(state: ServiceState) -> None:
    if not state.connected and state.error and not state.final:
        warn(f"{state.error.sentence} The link to the worker does not need it.")
