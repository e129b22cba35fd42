"""uvicorn's protocols, with bounds that it has no setting for: whoever connects speaks to these first."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from signaling_server.limit_settings import Limits

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent as Event

TOO_LARGE = 1009
SLOW_CONSUMER = 1013
PARTS = 1024
"""Most frames one message may come in: empty ones count nothing towards its size, and would come for ever."""


def http_protocol(limits: Limits) -> type[H11Protocol]:
    """HTTP whose requests have to arrive in time, handshakes of WebSockets among them."""

    class TimedHTTP(H11Protocol):
        _waiting: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._wait()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            # idle until the whole head of a request is there: of one that trickles in the first byte counts
            if self.conn.their_state is h11.IDLE:
                self._wait()
            else:
                self._wait_no_more()

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait_no_more()
            super().connection_lost(exc)

        def _wait(self) -> None:
            if self._waiting is None:
                self._waiting = self.loop.call_later(limits.request_within, self.transport.close)

        def _wait_no_more(self) -> None:
            if self._waiting is not None:
                self._waiting.cancel()
                self._waiting = None

    return TimedHTTP


class Inbox:
    """What a WebSocket has received and its application has not taken; all that uvicorn uses of asyncio's queue.

    That one takes 3,000 bytes, and a service holds thousands of peers who say nothing.
    """

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._waiting: asyncio.Future[None] | None = None

    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._events

    def put_nowait(self, event: "Event") -> None:
        """Add an event. How many there may be is bounded by the protocol, which stops reading after each message."""
        self._events.append(event)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def get(self) -> "Event":
        """Take the next event, waited for if there is none; for one taker at a time."""
        while not self._events:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._events.pop(0)


def websocket_protocol(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """WebSockets whose messages end, and whose pings are not answered into a void."""

    class BoundedWebSocket(WebSocketsSansIOProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.queue = Inbox()  # type: ignore[assignment] # all of a queue that is used

        def start_keepalive(self) -> None:
            super().start_keepalive()
            # the handshake is over: its headers would be kept for as long as the peer stays, and thousands stay
            self.request.headers.clear()
            self.response.headers.clear()
            cast(list[Any], self.scope["headers"]).clear()

        def handle_cont(self, event: Frame) -> None:
            if len(self.frames) >= PARTS:
                self._refuse(TOO_LARGE, f"a message comes in at most {PARTS} parts")
            else:
                super().handle_cont(event)

        def handle_ping(self) -> None:
            super().handle_ping()
            if self.transport.get_write_buffer_size() > limits.queue:
                self._refuse(SLOW_CONSUMER, "you read too slowly; connect again")

        def _refuse(self, code: int, reason: str) -> None:
            if not self.close_sent:
                self.frames = []
                self.conn.fail(code, reason)
                self.handle_parser_exception()

    return BoundedWebSocket
