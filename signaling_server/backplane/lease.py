"""That a process lives: it says so every few seconds, and whoever stops is dead to the others."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signaling_server.backplane.envelopes import Beat, seal
from signaling_server.backplane.keys import Keys
from signaling_server.backplane.line import Line
from signaling_server.backplane.scripts import RENEW
from signaling_server.counts import Counts, memory
from signaling_server.signaling.hub import Totals
from sleap_rtc.errors import UnreachableError

logger = logging.getLogger(__name__)

RENEW_SECONDS = 3.0
"""How often a process says that it lives."""
AWAY_SECONDS = 1.0
"""How often it tries while Redis is away."""
LEASE_MS = 10_000
"""How long the others believe it after the last time: what was connected to it is gone then."""
MOST_UNHEARD = 2
"""How many beats of a process may be under way to itself; more, and a network has swallowed what it listens to."""


class Told(BaseModel):
    """What a process tells of itself when it renews its lease."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    clients: int = Field(ge=0)
    workers: int = Field(ge=0)
    present: int = Field(ge=0)
    memory: int = Field(ge=0)
    started_at: float


class Lease:
    """Renews one process's lease, and knows whose else is good.

    Args:
        line: to Redis.
        keys: where what lies.
        process: whose lease it is.
        counts: what the process counts; what is new is added to what all have counted.
        totals: how many are connected to it.

    Attributes:
        living: what the others told last, by process.
    """

    def __init__(self, line: Line, keys: Keys, process: str, counts: Counts, totals: Callable[[], Totals]) -> None:
        self._line = line
        self._keys = keys
        self._process = process
        self._counts = counts
        self._added: Counter[str] = Counter()
        self._totals = totals
        self._unheard = 0
        self.living: dict[str, Told] = {}

    async def keep(
        self, restore: Callable[[], Awaitable[None]], bury: Callable[[str], None], deaf: Callable[[], None]
    ) -> NoReturn:
        """Renew for ever.

        Args:
            restore: brings into Redis what should be there, after it may have forgotten.
            bury: takes the process that has died.
            deaf: called if nothing of what is published arrives here.
        """
        self._unheard = 0
        while True:
            try:
                await self._renew(restore, bury, deaf)
            except UnreachableError:
                self._line.missed = True
            await asyncio.sleep(AWAY_SECONDS if self._line.away else RENEW_SECONDS)

    def heard(self) -> None:
        """What this process told itself has arrived: it is not deaf."""
        self._unheard = 0

    async def release(self) -> None:
        """Be dead to the others at once: for a process that ends in order."""
        new = Counter(self._counts) - self._added
        for name, number in new.items():
            self._line.tell("HINCRBY", self._keys.counters, name, number)
        self._added += new
        self._line.tell("DEL", self._keys.lease(self._process))
        await self._line.flush()

    def told(self) -> Told:
        """What this process tells of itself."""
        totals = self._totals()
        return Told(
            clients=totals.clients,
            workers=totals.workers,
            present=totals.present,
            memory=memory(),
            started_at=self._counts.started_at,
        )

    async def counted(self) -> Counter[str]:
        """What all processes have counted, those too that are gone.

        Raises:
            UnreachableError: if Redis is away.
        """
        stored: dict[bytes, bytes] = await self._line.ask("HGETALL", self._keys.counters)
        found = Counter({name.decode(): int(number) for name, number in stored.items()})
        return found + (Counter(self._counts) - self._added)

    async def _renew(
        self, restore: Callable[[], Awaitable[None]], bury: Callable[[str], None], deaf: Callable[[], None]
    ) -> None:
        new = Counter(self._counts) - self._added
        pairs = [part for pair in new.items() for part in pair]
        told, beat = self.told().model_dump_json(), seal(Beat())
        was, ears, living = await self._line.probe(
            "EVAL", RENEW, 0, self._keys.prefix, self._process, LEASE_MS, told, beat, *pairs
        )
        self._added += new
        if was:  # else Redis may have forgotten the others, too, who live: they tell it within seconds
            self._look_at(living, bury)
        self._unheard += 1
        # Redis counts an ear as long as it takes TCP to give a connection up: a quarter of an hour
        if not ears or self._unheard > MOST_UNHEARD:
            self._unheard = 0
            deaf()
        if self._line.missed or not was:
            self._line.missed = False
            await restore()

    def _look_at(self, living: list[bytes], bury: Callable[[str], None]) -> None:
        before = self.living.keys()
        found: dict[str, Told] = {}
        for process, told in zip(living[::2], living[1::2], strict=True):
            try:
                found[process.decode()] = Told.model_validate_json(told)
            except (ValidationError, UnicodeDecodeError):
                logger.warning("a process told of itself in a form that is not known here")
        found.pop(self._process, None)
        self.living = found
        for gone in before - found.keys():
            logger.info("the process %s of this service is gone", gone)
            bury(gone)
