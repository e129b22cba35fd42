"""How far a transfer is, told to the side that sends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.files import TransferProgress
from sleap_rtc.protocol.link import Done
from sleap_rtc.session.session import Session

PAUSE = 0.1
"""Least seconds between two reports."""


class Progress:
    """Counts what is here and what arrives.

    Args:
        on_bytes: told both numbers after each change: bytes that did not have to be sent, and bytes that were.

    Attributes:
        here: bytes that were here already.
        arrived: bytes that were sent, checked and written.
        paused: why nothing is asked for just now, as a sentence.
    """

    def __init__(self, on_bytes: Callable[[int, int], None] = lambda here, arrived: None) -> None:
        self._on_bytes = on_bytes
        self._news = asyncio.Event()
        self.here = 0
        self.arrived = 0
        self.paused: str | None = None

    def add(self, *, here: int = 0, arrived: int = 0) -> None:
        """Count bytes."""
        self.here += here
        self.arrived += arrived
        self._on_bytes(self.here, self.arrived)
        self._news.set()

    def pause(self, sentence: str | None) -> None:
        """Note that nothing is asked for, and why; or that it goes on."""
        if sentence != self.paused:
            self.paused = sentence
            self._news.set()

    @asynccontextmanager
    async def told(self, session: Session, transfer: str) -> AsyncIterator[None]:
        """Tell the sender how far it is while the body runs, and once more when that has ended well."""
        task = session.start(self._tell, session, transfer)
        try:
            yield
        finally:
            task.cancel()
        await self._tell_once(session, transfer)

    async def _tell(self, session: Session, transfer: str) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await self._tell_once(session, transfer)
            await asyncio.sleep(PAUSE)

    async def _tell_once(self, session: Session, transfer: str) -> None:
        message = TransferProgress(transfer=transfer, here=self.here, arrived=self.arrived, paused=self.paused)
        # it is for show: whoever does not answer it is sent the files all the same
        with suppress(SleapRTCError):
            await session.request(message, Done)
