"""One authenticated link between two peers: requests, notifications, byte streams, lanes, one close reason."""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import BusyError, ConnectionLost, ProtocolError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.codec import ErrorInfo, Failure, Message
from sleap_rtc.protocol.link import LINK, Bye, Done, LaneCandidate, LaneOpen, Ping, StreamCredit, StreamReset
from sleap_rtc.session.lanes import Lanes
from sleap_rtc.session.streams import ReceiveStream, SendStream, Streams
from sleap_rtc.transport.channel import Channel, Peer

logger = logging.getLogger(__name__)

Handler = Callable[["Session", Any], Awaitable[Message]]
Handlers = Mapping[type[Message], Handler]
A = TypeVar("A", bound=Message)
T = TypeVar("T")

MAX_REQUESTS = 64
"""Requests of the peer being answered at once; one more is told to come back later."""


class Session:
    """A proven link. Made by `dial` and `accept`; it lives inside their ``async with``.

    Args:
        channel: the proven control channel.
        dialled: whether this end dialled; it then opens the lanes and gives out odd stream ids.
        new_peer: makes a connection for a lane.
        handlers: what answers each kind of request the peer may send.
        timeouts: how long to wait for what.
        abilities: what the peer said it can do.
        remote: who the peer is, as proven or stamped: a worker's id or a client's user id.
    """

    def __init__(
        self,
        channel: Channel,
        *,
        dialled: bool,
        new_peer: Callable[[], Peer],
        handlers: Handlers,
        timeouts: Timeouts,
        abilities: frozenset[str] = frozenset(),
        remote: str = "",
    ) -> None:
        self.abilities = abilities
        self.remote = remote
        self.timeouts = timeouts
        self._channel = channel
        self._dialled = dialled
        self._handlers = handlers
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Message]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._closed: asyncio.Future[SleapRTCError] = asyncio.get_running_loop().create_future()
        self._lanes = Lanes(self, new_peer)
        self._streams = Streams(1 if dialled else 2, self.notify, self._lanes.send)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Session"]:
        """Serve the link while the body runs, then close it with an acknowledged ``bye``."""
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            serving = [tasks.create_task(self._read()), tasks.create_task(self._keep_alive())]
            if self._dialled:
                serving.append(tasks.create_task(self._open_first_lane()))
            try:
                yield self
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised below, outside the group
                failure = error
            try:
                await self._say_bye(failure)
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
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._raise_if_closed()
        self._pending[number] = future
        limit = self.timeouts.request if timeout is None else timeout
        try:
            async with asyncio.timeout(None if limit == float("inf") else limit):
                await self._send(message.model_copy(update={"id": number}))
                reply = await future
        except TimeoutError:
            raise UnreachableError(f"The peer did not answer {message.TYPE} within {limit:g} s.") from None
        finally:
            self._pending.pop(number, None)
        if not isinstance(reply, answer):
            raise ProtocolError(f"The peer answered {message.TYPE} with {reply.TYPE}.")
        return reply

    async def notify(self, message: Message) -> None:
        """Tell the peer something that needs no answer.

        Raises:
            ConnectionLost: if the link ended.
        """
        self._raise_if_closed()
        await self._send(message)

    def open_stream(self) -> ReceiveStream:
        """Open a byte stream to receive on; send its `number` to the peer in a request."""
        return self._streams.open()

    def send_stream(self, number: int, produce: Callable[[SendStream], Awaitable[None]]) -> None:
        """Send on a byte stream that the peer opened, in the background.

        Args:
            number: the stream's number, from the peer's request.
            produce: writes the bytes; an error it raises reaches the reader and ends the stream, not the link.

        Raises:
            ProtocolError: if the number cannot be used.
        """
        self.start(self._streams.send_on(number).send, produce)

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
        for future in self._pending.values():
            if not future.done():
                future.set_exception(reason)
        self._streams.end(reason)
        self._lanes.end(reason)
        for task in self._answering:
            task.cancel()

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
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)
        return task

    def take_frame(self, data: str | bytes) -> None:
        """Hand a lane's message to its stream."""
        if isinstance(data, str):
            raise ProtocolError("Text arrived on a lane, which carries binary frames.")
        self._streams.take_frame(data)

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
        if message.re is not None:
            future = self._pending.get(message.re)
            if future and not future.done():
                if message.error:
                    future.set_exception(message.error.as_exception())
                else:
                    future.set_result(message)
            return
        match message:
            case Ping():
                pass
            case StreamCredit():
                self._streams.take_credit(message)
            case StreamReset():
                self._streams.take_reset(message)
            case LaneCandidate():
                self._lanes.take_candidate(message)
            case _ if message.id is not None:
                self._begin_to_answer(message)

    def _begin_to_answer(self, message: Message) -> None:
        if len(self._answering) >= 2 * MAX_REQUESTS:
            # each of them waits to be sent: whoever asks without reading would fill our memory
            raise ProtocolError("The other side keeps asking without reading the answers.")
        self.start(self._answer, message)

    async def _answer(self, message: Message) -> None:
        try:
            if len(self._answering) > MAX_REQUESTS:
                raise BusyError("Too many requests are waiting on this link; ask again in a moment.")
            reply = await self._reply_to(message)
        except SleapRTCError as error:
            reply = Failure(error=ErrorInfo.of(error))
        except Exception:
            # a bug of ours must cost the peer an answer, not everybody else the link
            logger.exception("The handler of %s failed.", message.TYPE)
            reply = Failure(error=ErrorInfo.of(SleapRTCError("The peer failed inside; its log says more.")))
        if not self._closed.done():
            await self._send(reply.model_copy(update={"re": message.id}))
        if isinstance(message, Bye):
            self.end(ConnectionLost(f"The other side closed the link: {message.reason}"))

    async def _reply_to(self, message: Message) -> Message:
        if isinstance(message, Bye):
            return Done()
        if isinstance(message, LaneOpen) and not self._dialled:
            return await self._lanes.accept(message)
        handler = self._handlers.get(type(message))
        if handler is None:
            raise ProtocolError(f"This side does not answer {message.TYPE}.")
        return await handler(self, message)

    async def _keep_alive(self) -> None:
        try:
            while True:
                await asyncio.sleep(self.timeouts.keepalive)
                await self.notify(Ping())
        except SleapRTCError as error:
            self.end(error)

    async def _open_first_lane(self) -> None:
        try:
            await self._lanes.open(0)
        except SleapRTCError as error:
            self.end(error)

    async def _say_bye(self, failure: BaseException | None) -> None:
        if self._closed.done():
            return
        reason = failure.sentence if isinstance(failure, SleapRTCError) else "it was finished."
        try:
            await self.request(Bye(reason=reason[:500]), Done, timeout=self.timeouts.bye)
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
