"""Tickets: with one a browser, which can set no header, opens one WebSocket within a minute of asking.

Like presences they are kept for the moment: `MemoryTickets` serves one process, those of several lie in Redis, which
sets and takes each in one command. What was forgotten the browser asks for again.
"""

from collections import Counter
from typing import NamedTuple, Protocol

from sleap_rtc.errors import BusyError

LIFE_MS = 60_000
"""How long a ticket waits to be used."""
TOO_MANY = "Too many tickets of this login wait to be used. Use them, or try again in a minute."


class Ticket(NamedTuple):
    """What a ticket opens: one WebSocket of this login, in this room."""

    login_id: str
    room_id: str
    expires_at: int


class Tickets(Protocol):
    """The tickets that wait to be used, by the keyed hash of each."""

    async def keep(self, key: bytes, ticket: Ticket, *, now: int) -> None:
        """Keep a new ticket; raises `BusyError` if its login has too many already."""

    async def take(self, key: bytes, *, now: int) -> Ticket | None:
        """Hand a ticket out, once; None for one that is unknown, used or too old."""


class MemoryTickets:
    """The tickets of a service that is one process.

    Args:
        most: tickets of one login at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tickets: dict[bytes, Ticket] = {}
        self._by_login: Counter[str] = Counter()

    async def keep(self, key: bytes, ticket: Ticket, *, now: int) -> None:
        """See `Tickets.keep`."""
        self._forget_old(now)
        if self._by_login[ticket.login_id] >= self._most:
            raise BusyError(TOO_MANY)
        self._tickets[key] = ticket
        self._by_login[ticket.login_id] += 1

    async def take(self, key: bytes, *, now: int) -> Ticket | None:
        """See `Tickets.take`."""
        self._forget_old(now)
        return self._remove(key)

    def _forget_old(self, now: int) -> None:
        # all live equally long, so the oldest come first; a clock that was set back only lets some live on a little
        while self._tickets and self._tickets[oldest := next(iter(self._tickets))].expires_at <= now:
            self._remove(oldest)

    def _remove(self, key: bytes) -> Ticket | None:
        ticket = self._tickets.pop(key, None)
        if ticket is not None:
            self._by_login[ticket.login_id] -= 1
            if not self._by_login[ticket.login_id]:
                del self._by_login[ticket.login_id]
        return ticket
