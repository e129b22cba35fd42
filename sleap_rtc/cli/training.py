"""What ``sleap-rtc train`` does once its options are read: connect, submit, watch, bring home."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from sleap_rtc.cli.asking import ask
from sleap_rtc.cli.choosing import RoomChoice, choose_worker
from sleap_rtc.cli.output import note
from sleap_rtc.cli.progress import JobDisplay, make_display
from sleap_rtc.cli.running import beside, interrupts
from sleap_rtc.cli.telling import say_detached, say_link, say_met_beside, say_service
from sleap_rtc.cli.video_asking import explained, see_to_videos
from sleap_rtc.client.assembling import Wanted, assemble
from sleap_rtc.client.choice import gpu_text
from sleap_rtc.client.client import Client, join_session
from sleap_rtc.client.lossviewer import MonitorPorts, monitored
from sleap_rtc.client.package import Package, UnreadPackage
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.client.video_choice import PreparedVideos, VideoChoice
from sleap_rtc.client.videos import remember
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import JobFailedError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.jobs import Event, JobState, RunEnded, StateChanged
from sleap_rtc.protocol.signaling import WorkerPresence
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
    """What the user asks for.

    Attributes:
        wanted: what to train.
        where: a session string, or a room with the way to choose its worker.
        detach: end when the worker has the job.
        secrets: finds the secrets of rooms.
        monitor: where SLEAP's own monitor shows the training.
        videos: where the images of labels come from that do not hold them.
        wandb_key: the user's key for Weights & Biases, where it is told; it is kept nowhere.
    """

    wanted: Wanted
    where: str | RoomChoice
    output: Path
    logs: bool
    as_json: bool
    new: bool
    detach: bool
    give_up: float
    server: str
    transport: str
    limits: TransferLimits
    secrets: SecretLookup
    monitor: MonitorPorts
    videos: VideoChoice = field(default_factory=VideoChoice)
    wandb_key: str | None = field(default=None, repr=False)


class _Interrupted(Exception):  # noqa: N818 - not an error: the user pressed Ctrl-C
    """The user wants out of what is being waited for."""


class Asks:
    """Where Ctrl-C goes: until there is a job it ends the command, from then on it is a question about the job."""

    def __init__(self) -> None:
        self.has_job = False
        self.queue: asyncio.Queue[int] = asyncio.Queue()


async def train_remotely(request: TrainRequest) -> int:
    """Train a package on the worker of a session string, or on one of a room.

    Returns:
        The exit code.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    with make_display(json=request.as_json, logs=request.logs) as display:
        return await until_interrupted(lambda asks: _train(request, display, asks))


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


async def _train(request: TrainRequest, display: JobDisplay, asks: Asks) -> int:
    def say_reading(done: int, total: int) -> None:
        display.reading(unread.name, done, total)

    async with (
        _found(request, display) as (unread, videos),
        # reading takes as long as its disk needs: meanwhile the worker is reached
        beside(unread.read(say_reading)) as reading,
        _reach(request, reading, display) as (worker, presence),
    ):
        display.connected(presence.name, gpu_text(presence))
        package = await reading
        display.upload(0, package.manifest.total_size, 0)
        with explained(request.videos, videos):
            job = await worker.submit(
                package,
                new=request.new,
                on_bytes=display.upload,
                on_pause=display.upload_paused,
                wandb_key=request.wandb_key,
            )
        await remember(videos.maps)
        package.close()
        asks.has_job = True
        display.accepted(job.summary)
        if request.detach:
            with display.paused():
                say_detached(job, presence, as_json=request.as_json)
            return 0
        return await Following(
            job, display, asks.queue, output=request.output, logs=request.logs, monitor=request.monitor
        ).run()


@asynccontextmanager
async def _found(request: TrainRequest, display: JobDisplay) -> AsyncIterator[tuple[UnreadPackage, PreparedVideos]]:
    """All that is sent, the images of the labels among it."""
    with closing(await assemble(request.wanted)) as unread:
        _say_unasked(unread)
        whole, videos = await see_to_videos(unread, request.videos, request.wanted.package, display)
        with closing(whole):
            yield whole, videos


def _say_unasked(unread: UnreadPackage) -> None:
    """A config may be somebody else's: nothing leaves this machine on its word alone without being said."""
    if unread.unasked:
        note(f"The config names these files, and they are sent: {', '.join(map(str, unread.unasked))}")


@asynccontextmanager
async def _reach(
    request: TrainRequest, reading: Awaitable[Package], display: JobDisplay
) -> AsyncIterator[tuple[RemoteWorker, WorkerPresence]]:
    engine, timeouts = cast(Engine, request.transport), Timeouts(give_up=request.give_up)

    on_state = partial(say_link, display)
    if isinstance(request.where, str):
        display.connecting("the worker")
        await asyncio.to_thread(preload, engine)
        async with join_session(
            request.where,
            default_server=request.server,
            engine=engine,
            timeouts=timeouts,
            limits=request.limits,
            secrets=request.secrets.secrets,
            on_service=say_service,
            on_state=on_state,
        ) as found:
            yield found
        return
    display.connecting(f"the room {request.where.room}")
    # a package that was sent before goes to the same worker
    chosen = await choose_worker(request.server, request.where, await reading, display, new=request.new)
    await asyncio.to_thread(request.secrets.check_name, request.server, request.where.room, chosen.room)
    display.connecting(chosen.presence.name)
    await asyncio.to_thread(preload, engine)
    async with (
        Client.join(
            request.server,
            chosen.account,
            room=chosen.room,
            engine=engine,
            timeouts=timeouts,
            limits=request.limits,
            secrets=request.secrets.secrets,
            on_service=say_service,
            on_met=partial(say_met_beside, display),
        ) as client,
        client.dial(chosen.presence.worker_id, name=chosen.presence.name, on_state=on_state) as worker,
    ):
        yield worker, chosen.presence


class Following:
    """A job from its acceptance to the models in their folder.

    Args:
        job: which job.
        display: what shows it.
        interrupted: where Ctrl-C arrives.
        output: the folder for its models; None leaves them where they are.
        logs: show the training log too.
        monitor: where SLEAP's own monitor shows the training.
    """

    def __init__(
        self,
        job: RemoteJob,
        display: JobDisplay,
        interrupted: Interrupts,
        *,
        output: Path | None,
        logs: bool,
        monitor: MonitorPorts,
    ) -> None:
        self._job = job
        self._display = display
        self._interrupted = interrupted
        self._output = output
        self._logs = logs
        self._monitor = monitor
        self._error: SleapRTCError | None = None
        self._has_models = False
        self._cancelled_here = False
        self._stopped_here = False

    async def run(self) -> int:
        """Watch the job to its end and bring its models home; return the exit code.

        Raises:
            JobFailedError: if it did not end well.
            UnreachableError: if its worker is gone for good.
        """
        try:
            state = await self._watch()
            has_models = self._has_models and state is not JobState.CANCELLED
            if has_models and self._output is not None:
                fetching = self._job.fetch(self._output, self._display.download)
                self._display.finished(await _unless(self._interrupted, fetching))
        except UnreachableError as error:
            raise UnreachableError(
                f"{error.sentence} The job {self._job.id} goes on if its worker does: type the same command again to "
                "watch it."
            ) from error
        except _Interrupted:
            note(f"Detached; the job {self._job.id} stays on its worker. Type the same command again to go on.")
            return INTERRUPTED
        if has_models and self._output is None:
            note(f"Its models are on the worker. Bring them home: sleap-rtc jobs fetch {self._job.id}")
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
            raise JobFailedError("The job was stopped before it had a model, so there is nothing to bring home.")
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
            choice = await ask("Ctrl-C: what about the job?", CHOICES, default="d", interrupted=self._interrupted)
        if choice == "d":
            return False
        if watching.done():
            return True
        if choice == "s":
            self._stopped_here = True
            await _unless(self._interrupted, self._job.stop())
            note("Stopping after this step; the best model so far is validated and comes home.")
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
            self._has_models = self._has_models or body.folder is not None
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
