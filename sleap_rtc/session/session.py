"""One authenticated link between two peers: requests, notifications, byte streams, lanes, one close reason."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, LaneLost, ProtocolError, SleapRTCError
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.link import (
    LINK,
    Bye,
    Done,
    LaneCandidate,
    LaneClosed,
    LaneOpen,
    LaneWanted,
    Ping,
    StreamCredit,
    StreamReset,
)
from sleap_rtc.protocol.streams import MAX_LANES, StreamRequest
from sleap_rtc.session.lanes import Lanes
from sleap_rtc.session.requests import Handlers, Requests
from sleap_rtc.session.streams import ReceiveStream, SendStream, Streams
from sleap_rtc.session.window import Slot, Window
from sleap_rtc.transport.channel import Channel, Peer
from sleap_rtc.transport.paths import NetworkPath

logger = logging.getLogger(__name__)

Producer = Callable[["Session", Any, SendStream], Awaitable[None]]
Producers = Mapping[type[StreamRequest], Producer]
A = TypeVar("A", bound=Message)
T = TypeVar("T")


class Session:
    """A proven link. Made by `dial` and `accept`; it lives inside their ``async with``.

    Args:
        channel: the proven control channel.
        dialled: whether this end dialled; it then opens the lanes and gives out odd stream ids.
        new_peer: makes a connection for a lane.
        handlers: what answers each kind of request the peer may send.
        producers: what writes the bytes that answer each kind of stream request.
        max_lanes: how many lanes this side may want for what it receives.
        timeouts: how long to wait for what.
        abilities: what the peer said it can do.
        remote: who the peer is, as proven or stamped: a worker's id or a client's user id.
        binding: names this very connection at both of its ends; see `Proven`.
        path: tells which way the control connection goes.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        dialled: bool,
        new_peer: Callable[[], Peer],
        handlers: Handlers,
        timeouts: Timeouts,
        producers: Producers | None = None,
        max_lanes: int = MAX_LANES,
        abilities: frozenset[str] = frozenset(),
        remote: str = "",
        binding: bytes = b"",
        path: Callable[[], Awaitable[NetworkPath | None]],
    ) -> None:
        self.binding = binding
        self.path = path
        self.abilities = abilities
        self.remote = remote
        self.timeouts = timeouts
        self._channel = channel
        self.dialled = dialled
        self._producers = producers or {}
        self._started: set[asyncio.Task[None]] = set()
        self._closed: asyncio.Future[SleapRTCError] = asyncio.get_running_loop().create_future()
        self._dismissed = False
        self._lanes = Lanes(
            self,
            new_peer,
            on_change=self._serve_window,
            on_lost=self._lose_lane,
            is_sending=self._is_sending,
        )
        self._streams = Streams(1 if dialled else 2, self.notify, self._lanes.send)
        self._window = Window(self, self._lanes, most_lanes=max_lanes)
        self._requests = Requests(self, {**handlers, Bye: _acknowledge, LaneOpen: self._accept_lane}, self._send)
        self._takers: dict[type[Message], Callable[[Any], None]] = {
            Ping: lambda message: None,
            StreamCredit: self._streams.take_credit,
            StreamReset: self._take_reset,
            LaneCandidate: self._lanes.take_candidate,
            LaneWanted: self._lanes.take_wish,
            LaneClosed: self._lanes.take_closed,
        }

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Session"]:
        """Serve the link while the body runs, then close it with an acknowledged ``bye``."""
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            serving = [tasks.create_task(self._read()), tasks.create_task(self._keep_alive())]
            if self.dialled:
                serving.append(tasks.create_task(self._lanes.keep_open()))
            try:
                yield self
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised below, outside the group
                failure = error
            reason = failure.sentence if isinstance(failure, SleapRTCError) else "it was finished."
            try:
                await self._say(Bye(reason=reason[:500]))
            finally:
                self.end(ConnectionLost("The link was closed on this side."))
                for task in serving:
                    task.cancel()
                await self._lanes.close()
        await self._channel.close()
        if failure:
            raise failure

    # what a user of the link calls

    async def request(self, message: Message, answer: type[A], *, timeout: float | None = None) -> A:
        """Ask the peer something and return its answer.

        Args:
            message: what to ask.
            answer: the class the answer must have.
            timeout: seconds to wait; `Timeouts.request` by default, ``float("inf")`` for as long as the link lives.

        Raises:
            SleapRTCError: what the peer reported.
            ConnectionLost: if the link ended first.
            UnreachableError: if no answer came in time.
        """
        self._raise_if_closed()
        return await self._requests.ask(message, answer, self.timeouts.request if timeout is None else timeout)

    async def notify(self, message: Message) -> None:
        """Tell the peer something that needs no answer.

        Raises:
            ConnectionLost: if the link ended.
        """
        self._raise_if_closed()
        await self._send(message)

    @property
    def span(self) -> int:
        """Bytes that are best asked for at once, as things stand."""
        return self._window.span

    async def slot(self, size: int, *, due: bool = True) -> Slot:
        """Wait until `size` more bytes may be asked for: what is under way on a link is bounded; see `Window.slot`."""
        return await self._window.slot(size, due=due)

    @asynccontextmanager
    async def ask(self, slot: Slot, kind: type[StreamRequest], **fields: object) -> AsyncIterator[ReceiveStream]:
        """Ask the peer for bytes.

        Args:
            slot: from `slot`, held until the bytes have been dealt with; its size is the stream's window.
            kind: the request's class.
            fields: what it says, beside the stream.

        Raises:
            ConnectionLost: if the link ended.
            LaneLost: if the lane did, before or while it is read.
        """
        async with self._streams.open(slot.lane.number, slot.size, slot.arrived) as stream:
            if not slot.lane.is_open:
                raise LaneLost("The lane ended.")
            frame = min(self._window.frame, slot.lane.largest_frame)
            request = {"stream": stream.number, "lane": stream.lane, "window": stream.window, "frame": frame}
            await self.notify(kind.model_validate(request | fields))
            yield stream

    async def until(self, awaited: asyncio.Future[T]) -> T:
        """Wait for something that the peer brings about.

        Raises:
            ConnectionLost: if the link ends first.
        """
        either: set[asyncio.Future[Any]] = {awaited, self._closed}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if awaited.done():
            return awaited.result()
        raise self._closed.result()

    async def wait_closed(self) -> SleapRTCError:
        """Wait until the link has ended and return the one reason."""
        return await asyncio.shield(self._closed)

    @property
    def close_reason(self) -> SleapRTCError | None:
        """Why the link ended, or None while it lives."""
        return self._closed.result() if self._closed.done() else None

    def end(self, reason: SleapRTCError) -> None:
        """End the link; the first reason given is the one that stays."""
        if self._closed.done():
            return
        self._closed.set_result(reason)
        self._requests.end(reason)
        self._streams.end(reason)
        self._window.end(reason)
        for task in self._started:
            task.cancel()

    def dismiss(self, reason: SleapRTCError) -> None:
        """Send the other side away for good: from here on it is served nothing; it is told why, and the link ends."""
        if self._dismissed or self._closed.done():
            return
        self._dismissed = True
        for task in self._started:
            task.cancel()
        self._tasks.create_task(self._see_off(reason))

    # serving the channel

    def start(self, work: Callable[..., Awaitable[None]], *arguments: object) -> asyncio.Task[None]:
        """Run ``work(*arguments)`` as long as the link lives; what it raises ends the link."""

        async def guarded() -> None:
            try:
                # called in here: a task that is cancelled before it begins must leave no coroutine behind
                await work(*arguments)
            except SleapRTCError as error:
                self.end(error)
            except Exception:
                # a bug of ours costs this link, and no other
                logger.exception("A task of the link failed.")
                self.end(SleapRTCError("This side of the link failed inside; its log says more."))

        task = self._tasks.create_task(guarded())
        if self._closed.done():
            task.cancel()  # whoever started it has not heard yet
        self._started.add(task)
        task.add_done_callback(self._started.discard)
        return task

    def take_frame(self, lane: int, data: str | bytes) -> None:
        """Hand a lane's message to its stream."""
        if isinstance(data, str):
            raise ProtocolError("Text arrived on a lane, which carries binary frames.")
        self._streams.take_frame(lane, data)

    def _serve_window(self) -> None:
        self._window.serve()

    def _take_reset(self, message: StreamReset) -> None:
        if message.reason.code == LaneLost.code and (lane := self._streams.lane_of(message.stream)) is not None:
            self._lanes.drop_number(lane)  # the other side has it no more: nothing else must be asked for over it
        self._streams.take_reset(message)

    def _is_sending(self, lane: int) -> bool:
        return self._streams.is_sending(lane)

    def _lose_lane(self, number: int) -> None:
        self._streams.lane_lost(number)

    async def _read(self) -> None:
        try:
            while not self._closed.done():
                async with asyncio.timeout(self.timeouts.dead):
                    text = await self._channel.receive()
                if not isinstance(text, str):
                    raise ProtocolError("Binary data arrived on the control channel, which carries text.")
                message = LINK.decode(text)
                if message is not None:
                    self._dispatch(message)
        except TimeoutError:
            self.end(ConnectionLost(f"Nothing was heard from the other side for {self.timeouts.dead:g} s."))
        except SleapRTCError as error:
            self.end(error)

    def _dispatch(self, message: Message) -> None:
        if self._closed.done():
            return
        if self._dismissed and message.re is None and not isinstance(message, Bye):
            return
        if message.re is not None:
            self._requests.take_answer(message, message.re)
        elif isinstance(message, StreamRequest):
            self.start(self._produce, message, self._streams.send_on(message, self._largest_frame(message)))
        elif taker := self._takers.get(type(message)):
            taker(message)
        elif message.id is not None:
            self._requests.take_request(message)

    def _largest_frame(self, request: StreamRequest) -> int:
        lane = self._lanes.get(request.lane)
        return min(request.frame, lane.largest_frame) if lane else request.frame

    def answered(self, message: Message) -> None:
        """Note that a request of the peer's has its answer."""
        if isinstance(message, Bye):
            lost = ConnectionLost(f"The other side closed the link: {message.reason}")
            self.end(message.error.as_exception() if message.error else lost)

    async def _accept_lane(self, _: "Session", message: LaneOpen) -> Message:
        if self.dialled:
            raise ProtocolError("Lanes are opened by the side that dialled.")
        return await self._lanes.accept(message)

    async def _produce(self, request: StreamRequest, stream: SendStream) -> None:
        await stream.send(lambda stream: self._write(request, stream))
        self._lanes.noticed()

    async def _write(self, request: StreamRequest, stream: SendStream) -> None:
        producer = self._producers.get(type(request))
        if producer is None:
            raise ProtocolError(f"This side does not answer {request.TYPE}.")
        async with self._lanes.find(request.lane).producers:
            await producer(self, request, stream)

    async def _keep_alive(self) -> None:
        try:
            while True:
                await asyncio.sleep(self.timeouts.keepalive)
                await self.notify(Ping())
        except SleapRTCError as error:
            self.end(error)

    async def _see_off(self, reason: SleapRTCError) -> None:
        try:
            await self._say(Bye(reason=reason.sentence[:500], error=ErrorInfo.of(reason)))
        finally:
            self.end(reason)

    async def _say(self, bye: Bye) -> None:
        if self._closed.done():
            return
        try:
            await self.request(bye, Done, timeout=self.timeouts.bye)
        except SleapRTCError as error:
            logger.debug("The bye was not acknowledged: %s", error)

    async def _send(self, message: Message) -> None:
        text = LINK.encode(message)
        try:
            await self._channel.send(text)
        except ConnectionLost as error:
            # the sender may notice before the reader does: from here on the link is down for everybody
            self.end(error)
            raise

    def _raise_if_closed(self) -> None:
        if self._closed.done():
            raise self._closed.result()


async def _acknowledge(_: Session, message: Bye) -> Message:
    return Done()
