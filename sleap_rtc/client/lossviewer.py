"""SLEAP's own training monitor, its LossViewer, fed from a job that is watched.

The monitor binds its ports and expects a trainer on this machine to connect; this bridge connects in its place. It
lives in a thread with sockets of its own, so that a monitor that hangs, or was never started, costs the watch nothing.
"""

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from sleap_rtc.client.trainer_messages import History, TrainerMessages
from sleap_rtc.errors import SleapRTCError, UsageError
from sleap_rtc.protocol.jobs import Event

if TYPE_CHECKING:
    import zmq

PATIENCE = 3.0
"""Seconds that a monitor is waited for: then the user is told, and a watch that is over by then waits no longer."""

_POLL_MS = 50
_FLUSH_MS = 1000
_RECONNECT_MS, _RECONNECT_MOST_MS = 100, 1000
_MAX_COMMAND = 4096
# ZMQ never speaks again with whoever sends more: no monitor does, and memory is bounded
_MAX_MESSAGE = 1024 * 1024
_MAX_WAITING = 16
# more than a whole history: a monitor that draws slowly misses none of it
_QUEUE = 300_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MonitorPorts:
    """The ports that SLEAP's monitor has bound; None for one that is not used.

    Attributes:
        publish: where it listens for progress.
        controller: where it says that the training shall stop.

    Raises:
        UsageError: if both are the same.
    """

    publish: int | None = None
    controller: int | None = None

    def __post_init__(self) -> None:
        if self.publish is not None and self.publish == self.controller:
            raise UsageError(
                f"The publish port and the controller port are both {self.publish}. SLEAP's monitor has two: give each "
                "its own."
            )

    def __bool__(self) -> bool:
        return self.publish is not None or self.controller is not None


@asynccontextmanager
async def monitored(
    ports: MonitorPorts,
    stop: Callable[[], Awaitable[None]],
    say: Callable[[str], None],
    *,
    patience: float = PATIENCE,
) -> AsyncIterator[Callable[[Event], None]]:
    """Show a job in SLEAP's monitor while the body runs.

    A monitor that begins to listen in the middle is told what has been so far; see `History`.

    Args:
        ports: the monitor's; without any, nothing happens.
        stop: called once, when the monitor asks for it.
        say: told, in a sentence, what the user should know.
        patience: seconds after which it is said that nothing listens; a body that ends earlier is waited with, for a
            monitor that is there takes a moment to answer.

    Yields:
        What has to be told every event of the job, in order. It returns at once.
    """
    if not ports:
        yield lambda event: None
        return
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    bridge = _Bridge(
        ports,
        on_stop=lambda: loop.call_soon_threadsafe(asked.set),
        say=lambda text: loop.call_soon_threadsafe(say, text),
        patience=patience,
    )
    # owned by this block, which ends it
    obeying = asyncio.ensure_future(_obey(asked, stop, say))
    bridge.start()
    try:
        yield bridge.events.put
    finally:
        obeying.cancel()
        bridge.closing.set()
        await asyncio.to_thread(bridge.join)
        await asyncio.gather(obeying, return_exceptions=True)


async def _obey(asked: asyncio.Event, stop: Callable[[], Awaitable[None]], say: Callable[[str], None]) -> None:
    await asked.wait()
    try:
        await stop()
    except SleapRTCError as error:
        # whoever watches the job hears of what ends the watch
        say(f"SLEAP's monitor asked to stop the training, but: {error.sentence}")


class _Bridge(threading.Thread):
    """The thread: takes events up, and is told nothing else but its end.

    Attributes:
        events: what is to be shown.
        closing: set when nothing more comes.
    """

    def __init__(
        self,
        ports: MonitorPorts,
        on_stop: Callable[[], object],
        say: Callable[[str], object],
        patience: float,
    ) -> None:
        # a daemon: a monitor that hangs must never keep the command from ending
        super().__init__(name="lossviewer", daemon=True)
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.closing = threading.Event()
        self._ports = ports
        self._on_stop = on_stop
        self._say = say
        self._patience = patience

    def run(self) -> None:
        import zmq

        try:
            with zmq.Context() as context, ExitStack() as stack:
                progress, control = None, None
                if self._ports.publish is not None:
                    progress = stack.enter_context(closing(_Progress(context, self._ports.publish)))
                if self._ports.controller is not None:
                    control = stack.enter_context(closing(_Control(context, self._ports.controller)))
                self._relay(progress, control)
        except zmq.ZMQError as error:
            self._say(f"SLEAP's monitor cannot be reached: {error}. The training goes on without it.")

    def _relay(self, progress: "_Progress | None", control: "_Control | None") -> None:
        import zmq

        sides = [side for side in (progress, control) if side is not None]
        poller = zmq.Poller()
        for side in sides:
            poller.register(side.socket, zmq.POLLIN)
        start, patient, stopped = time.monotonic(), True, False
        while True:
            # looked at before the events are: all that came before the end is shown
            over, waited = self.closing.is_set(), time.monotonic() - start
            for side in sides:
                side.listen()
            self._take_events(progress)
            if control is not None and control.stop_asked and not stopped:
                stopped = True
                self._on_stop()
            if over and (progress is None or progress.heard or waited > self._patience):
                return
            if patient and waited > self._patience:
                patient = False
                self._complain([side.port for side in sides if not side.heard])
            poller.poll(_POLL_MS)

    def _take_events(self, progress: "_Progress | None") -> None:
        with suppress(Empty):
            while True:
                event = self.events.get_nowait()
                if progress is not None:
                    progress.show(event)

    def _complain(self, ports: list[int]) -> None:
        if ports:
            named = "port " + str(ports[0]) if len(ports) == 1 else f"ports {ports[0]} and {ports[1]}"
            self._say(
                f"Nothing listens on {named} yet. The training goes on; SLEAP's monitor shows it from its beginning "
                "as soon as it is there."
            )


class _Progress:
    """The side that tells how far the training is.

    Attributes:
        heard: whether a monitor listens.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", port: int) -> None:
        import zmq

        self.port = port
        self.heard = False
        self._messages = TrainerMessages()
        self._history = History()
        # to a subscriber it is the PUB that a trainer has; it tells us in addition when one listens, for what is sent
        # before that is lost
        self.socket = context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, _QUEUE)
        # what is sent between two monitors is not for the second: it gets the history
        self.socket.setsockopt(zmq.IMMEDIATE, 1)
        _connect(self.socket, port)

    def show(self, event: Event) -> None:
        """Pass an event on, and keep it for those who come later."""
        # one that has just come gets the history without this event first
        self.listen()
        for message in self._messages.of(event):
            self._history.add(message)
            if self.heard:
                self.socket.send_string(message.text)

    def close(self) -> None:
        """End; what was sent last still goes out, as it does at the end of sleap-nn's own training."""
        self.socket.close(linger=_FLUSH_MS)

    def listen(self) -> None:
        """Take up whether a monitor came or went; tell a new one what has been."""
        while note := _received(self.socket):
            came = note[0][:1] == b"\1"
            if came and not self.heard:
                for message in self._history:
                    self.socket.send_string(message.text)
            self.heard = came


class _Control:
    """The side that hears what the monitor wants.

    Attributes:
        heard: whether a monitor was ever there.
        stop_asked: whether it said that the training shall stop.
    """

    def __init__(self, context: "zmq.Context[zmq.Socket[bytes]]", port: int) -> None:
        import zmq

        self.port = port
        self.heard = False
        self.stop_asked = False
        self.socket = context.socket(zmq.SUB)
        self.socket.subscribe(b"")
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        _connect(self.socket, port)

    def close(self) -> None:
        """End."""
        self.socket.disable_monitor()
        self._monitor.close(linger=0)
        self.socket.close(linger=0)

    def listen(self) -> None:
        """Take up what the monitor said. Everything but a stop is ignored."""
        while _received(self._monitor):
            self.heard = True
        while parts := _received(self.socket):
            if _is_stop(parts):
                self.stop_asked = True
            else:
                _log.debug("ignored %d bytes on the controller port %d", sum(map(len, parts)), self.port)


def _connect(socket: "zmq.Socket[bytes]", port: int) -> None:
    import zmq

    socket.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE)
    socket.setsockopt(zmq.RCVHWM, _MAX_WAITING)
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MOST_MS)
    socket.connect(f"tcp://127.0.0.1:{port}")


def _received(socket: "zmq.Socket[bytes]") -> list[bytes]:
    import zmq

    try:
        return socket.recv_multipart(zmq.NOBLOCK)
    except zmq.Again:
        return []


def _is_stop(parts: list[bytes]) -> bool:
    if len(parts) != 1 or len(parts[0]) > _MAX_COMMAND:
        return False
    try:
        # plain json: jsonpickle would run what a stranger's text tells it to
        message = json.loads(parts[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(message, dict) and message.get("command") == "stop"
