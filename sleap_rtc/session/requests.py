"""Requests of a link and their answers, in both directions."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sleap_rtc.errors import BusyError, ProtocolError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.codec import ErrorInfo, Failure, Message

if TYPE_CHECKING:
    from sleap_rtc.session.session import Session

logger = logging.getLogger(__name__)

Handler = Callable[["Session", Any], Awaitable[Message]]
Handlers = Mapping[type[Message], Handler]
A = TypeVar("A", bound=Message)

MAX_REQUESTS = 64
"""Requests of the peer being answered at once; one more is told to come back later."""


class Requests:
    """What this end asked and what it is asked.

    Args:
        session: the link.
        handlers: what answers each kind of request.
        send: sends a message on the control channel.
    """

    def __init__(self, session: "Session", handlers: Handlers, send: Callable[[Message], Awaitable[None]]) -> None:
        self._session = session
        self._handlers = handlers
        self._send = send
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Message]] = {}
        self._answering = 0

    async def ask(self, message: Message, answer: type[A], limit: float) -> A:
        """Ask the peer something; see `Session.request`."""
        number = next(self._numbers)
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            async with asyncio.timeout(None if limit == float("inf") else limit):
                await self._send(message.model_copy(update={"id": number}))
                reply = await future
        except TimeoutError:
            raise UnreachableError(f"The peer did not answer {message.TYPE} within {limit:g} s.") from None
        finally:
            self._pending.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # where sending failed nobody looks, and that is no reason for asyncio to complain
        if not isinstance(reply, answer):
            raise ProtocolError(f"The peer answered {message.TYPE} with {reply.TYPE}.")
        return reply

    def take_answer(self, message: Message, number: int) -> None:
        """Hand an answer to whoever waits for it; a late one changes nothing."""
        future = self._pending.get(number)
        if future is None or future.done():
            return
        if message.error:
            future.set_exception(message.error.as_exception())
        else:
            future.set_result(message)

    def take_request(self, message: Message) -> None:
        """Begin to answer.

        Raises:
            ProtocolError: if the peer asks without reading the answers: each would wait in our memory to be sent.
        """
        if self._answering >= 2 * MAX_REQUESTS:
            raise ProtocolError("The other side keeps asking without reading the answers.")
        self._answering += 1
        self._session.start(self._answer, message)

    async def _answer(self, message: Message) -> None:
        try:
            try:
                reply = await self._reply_to(message)
            except SleapRTCError as error:
                reply = Failure(error=ErrorInfo.of(error))
            except Exception:
                # a bug of ours must cost the peer an answer, not everybody else the link
                logger.exception("The handler of %s failed.", message.TYPE)
                reply = Failure(error=ErrorInfo.of(SleapRTCError("The peer failed inside; its log says more.")))
            if self._session.close_reason is None:
                await self._send(reply.model_copy(update={"re": message.id}))
        finally:
            self._answering -= 1
        self._session.answered(message)

    async def _reply_to(self, message: Message) -> Message:
        if self._answering > MAX_REQUESTS:
            raise BusyError("Too many requests are waiting on this link; ask again in a moment.")
        handler = self._handlers.get(type(message))
        if handler is None:
            raise ProtocolError(f"This side does not answer {message.TYPE}.")
        return await handler(self._session, message)

    def end(self, reason: SleapRTCError) -> None:
        """The link is gone: whoever waits for an answer learns it."""
        for future in self._pending.values():
            if not future.done():
                future.set_exception(reason)
