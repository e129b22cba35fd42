"""What the channels of all engines share: a bounded inbox, watermarks for sending, and one loss."""

import asyncio
import sys
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable

from sleap_rtc.errors import ConnectionLost, ProtocolError
from sleap_rtc.transport.channel import Channel

HIGH_WATER = 4 * 1024 * 1024
"""Most bytes queued in an engine; libwebrtc fails a send past 16 MiB."""
LOW_WATER = 2 * 1024 * 1024
"""Bytes queued at which a waiting `send` goes on: enough for the time that a busy machine takes to refill."""
INBOX_LIMIT = 24 * 1024 * 1024
"""Most memory for messages that arrived and were not read; the layer above never grants more than 16 MiB."""


class BufferedChannel(Channel):
    """A channel whose engine reports by plain callbacks on the loop's own thread.

    An adapter calls `opened`, `arrived`, `drained` and `lost`; its subclass knows how to queue a message.

    Args:
        close: closes the connection this channel is the only one of.
        refuse: ends the connection at once, called when the other side sends more than it may.
    """

    def __init__(self, close: Callable[[], Awaitable[None]], refuse: Callable[[], None]) -> None:
        self._close = close
        self._refuse = refuse
        self._loss: str | None = None
        self._inbox: deque[str | bytes] = deque()
        self._inbox_size = 0
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()
        self.settled = asyncio.Event()

    @property
    def loss(self) -> str | None:
        """Why the channel ended, or None while it has not."""
        return self._loss

    @property
    @abstractmethod
    def buffered_amount(self) -> int:
        """Bytes sent here that the engine has not put on the network yet."""

    @abstractmethod
    def _queue(self, data: str | bytes) -> None:
        """Hand a message to the engine, which must not block; `ConnectionLost` if it no longer takes any."""

    async def send(self, data: str | bytes) -> None:
        """See `Channel.send`. Messages of several senders go out in the order of their calls."""
        size = _size_on_wire(data)
        if size > self.max_message_size:
            raise ProtocolError(f"A message of {size} bytes is larger than the {self.max_message_size} allowed.")
        await self.settled.wait()
        async with self._turn:
            while self._loss is None and self.buffered_amount + size > HIGH_WATER:
                # HIGH_WATER minus the largest message is above LOW_WATER, so the event is still to come
                self._room.clear()
                await self._room.wait()
            if self._loss is not None:
                raise ConnectionLost(self._loss)
            self._queue(data)

    async def receive(self) -> str | bytes:
        """See `Channel.receive`. What arrived before the other side ended is still delivered."""
        while not self._inbox:
            if self._loss is not None:
                raise ConnectionLost(self._loss)
            self._news.clear()
            await self._news.wait()
        data = self._inbox.popleft()
        self._inbox_size -= sys.getsizeof(data)
        return data

    async def close(self) -> None:
        """See `Channel.close`."""
        await self._close()

    def opened(self) -> None:
        """Note that messages can pass, as the engine says."""
        self.settled.set()

    def drained(self) -> None:
        """Note that the engine's queue fell to `LOW_WATER`."""
        self._room.set()

    def arrived(self, data: str | bytes) -> None:
        """Keep a message that the engine delivers; one beyond the limits ends the connection."""
        if self._loss is not None:
            return
        # what it takes in memory, so that one figure bounds a million empty messages and a few large ones
        size = sys.getsizeof(data)
        if _size_on_wire(data) > self.max_message_size:
            self.violated(f"The other side sent a message larger than the {self.max_message_size} bytes allowed.")
        elif self._inbox_size + size > INBOX_LIMIT:
            self.violated("The other side sent more than it was allowed to before we had read it.")
        else:
            self._inbox_size += size
            self._inbox.append(data)
            self._news.set()

    def violated(self, sentence: str) -> None:
        """End the connection, and forget what arrived: the other side broke a limit."""
        if self._loss is None:
            self.lost(sentence, forget=True)
            self._refuse()

    def lost(self, sentence: str, *, forget: bool = False) -> None:
        """Note that the channel ended; the first reason stays.

        Args:
            sentence: what every later `send` and `receive` says.
            forget: drop what arrived and was not read.
        """
        if forget:
            self._inbox.clear()
            self._inbox_size = 0
        if self._loss is None:
            self._loss = sentence
        for event in (self.settled, self._news, self._room):
            event.set()


def _size_on_wire(data: str | bytes) -> int:
    if isinstance(data, bytes) or data.isascii():
        return len(data)
    try:
        return len(data.encode())
    except UnicodeEncodeError as error:
        raise ProtocolError("Text with lone surrogates cannot be sent.") from error
