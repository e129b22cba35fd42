"""What waits to be sent to one peer: bounded in bytes, drained by one writer."""

import asyncio
from dataclasses import dataclass

SLOW_CONSUMER = 1013
MAX_REASON = 123
"""Bytes a close frame has for its reason (RFC 6455, 5.5)."""


@dataclass(frozen=True)
class Close:
    """How a WebSocket is to be closed."""

    code: int
    reason: str


class Outbox:
    """Texts on their way to one peer.

    Args:
        limit: bytes that may wait; more and the peer is a slow consumer, whose socket is ended with 1013.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # of thousands of peers nearly all wait for nothing: no deque and no second event, which take 600 bytes each
        self._texts: list[str] = []
        self._size = 0
        self._waiting: asyncio.Future[None] | None = None
        self.ended = asyncio.Event()
        self.close: Close | None = None

    def put(self, text: str) -> None:
        """Queue `text`; after the end it is dropped, as the peer is as good as gone."""
        if self.ended.is_set():
            return
        size = len(text.encode())
        if self._size + size > self._limit:
            self._texts.clear()
            self.end(SLOW_CONSUMER, "you read too slowly; connect again")
            return
        self._size += size
        self._texts.append(text)
        self._wake()

    def end(self, code: int, reason: str) -> None:
        """Close the socket once what waits is sent. The first call decides code and reason."""
        if not self.ended.is_set():
            self.close = Close(code, _fitting(reason))
            self._finish()

    def abandon(self) -> None:
        """The peer has left: nothing more can be sent."""
        self._texts.clear()
        self._finish()

    async def next(self) -> str | None:
        """The next text to send; None once ended and empty."""
        while not self._texts:
            if self.ended.is_set():
                return None
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        text = self._texts.pop(0)
        self._size -= len(text.encode())
        return text

    def _finish(self) -> None:
        self.ended.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _fitting(reason: str) -> str:
    # whole sentences if one fits, else whole words: what is cut within a word looks broken
    if len(reason.encode()) <= MAX_REASON:
        return reason
    cut = reason.encode()[:MAX_REASON].decode(errors="ignore")
    end = cut.rfind(". ")
    return cut[: end + 1] if end > 0 else cut.rpartition(" ")[0] or cut
