"""What a worker hands out, listed and hashed once for all who ask, and known for as long as somebody may go on."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from sleap_rtc.transfer.offering import Offering

K = TypeVar("K", bound=Hashable)


class Offerings(Generic[K]):
    """Keeps the newest of them; others are hashed again when somebody asks."""

    KEPT = 16
    """How many stay listed and hashed."""
    IN_USE = 15 * 60.0
    """Seconds after a request for a part of one in which it is not removed, however old."""

    def __init__(self) -> None:
        self._known: OrderedDict[K, Offering] = OrderedDict()
        self._hashing: dict[K, asyncio.Task[Offering]] = {}
        self._asked: dict[K, float] = {}

    def known(self, key: K) -> Offering | None:
        """One that somebody has asked for of late."""
        return self._known.get(key)

    async def get(self, key: K, make: Callable[[], Awaitable[Offering]]) -> Offering:
        """One of them; made where nobody has asked for it of late.

        Args:
            key: which.
            make: lists and hashes it; whatever it raises, whoever asks is told.
        """
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        hashing = self._hashing.get(key)
        if hashing is None:
            # owned here and not by the link that asks: it may outlast that, and whoever asks again finds it done
            hashing = self._hashing[key] = asyncio.create_task(self._make(key, make))
            hashing.add_done_callback(lambda _: self._hashing.pop(key, None))
        return await asyncio.shield(hashing)

    async def _make(self, key: K, make: Callable[[], Awaitable[Offering]]) -> Offering:
        offering = self._known[key] = await make()
        if len(self._known) > self.KEPT:
            _, oldest = self._known.popitem(last=False)
            # whoever is fetching it still goes on: what is read again is opened again
            oldest.source.close()
        return offering

    def note_asked(self, key: K) -> None:
        """Note that somebody fetches one now."""
        self._asked[key] = time.monotonic()

    def in_use(self, key: K) -> bool:
        """Whether somebody fetches one, or did a moment ago and may go on."""
        now = time.monotonic()
        self._asked = {each: then for each, then in self._asked.items() if now - then < self.IN_USE}
        return key in self._asked or key in self._hashing

    async def drop(self, key: K) -> None:
        """Hand one out no longer."""
        if hashing := self._hashing.get(key):
            hashing.cancel()
            await asyncio.wait([hashing])
        offering = self._known.pop(key, None)
        if offering is not None:
            offering.source.close()

    async def close(self) -> None:
        """End what is being hashed, and give all files back."""
        for task in self._hashing.values():
            task.cancel()
        await asyncio.gather(*self._hashing.values(), return_exceptions=True)
        for offering in self._known.values():
            offering.source.close()
        self._known.clear()
