"""Tickets in Redis: made by one process, taken by any, once."""

from signaling_server.backplane.keys import Keys
from signaling_server.backplane.line import Line
from signaling_server.backplane.scripts import KEEP_TICKET, TAKE_TICKET
from signaling_server.signaling.tickets import LIFE_MS, TOO_MANY, Ticket
from sleap_rtc.errors import BusyError


class RedisTickets:
    """The tickets of a service that is several processes. Each method is one command.

    Args:
        line: to Redis.
        keys: where what lies.
        most: tickets of one login at once.
    """

    def __init__(self, line: Line, keys: Keys, most: int) -> None:
        self._line = line
        self._keys = keys
        self._most = most

    async def keep(self, key: bytes, ticket: Ticket, *, now: int) -> None:
        """See `Tickets.keep`.

        Raises:
            BusyError: if its login has too many.
            UnreachableError: if Redis is away.
        """
        text = f"{ticket.login_id} {ticket.room_id} {ticket.expires_at}"
        kept = await self._line.ask(
            *("EVAL", KEEP_TICKET, 2, self._keys.ticket(key), self._keys.tickets(ticket.login_id)),
            *(self._keys.prefix, now, self._most, ticket.expires_at, LIFE_MS, text),
        )
        if not kept:
            raise BusyError(TOO_MANY)

    async def take(self, key: bytes, *, now: int) -> Ticket | None:
        """See `Tickets.take`.

        Raises:
            UnreachableError: if Redis is away.
        """
        found = await self._line.ask("EVAL", TAKE_TICKET, 1, self._keys.ticket(key), self._keys.prefix)
        if found is None:
            return None
        login_id, room_id, expires_at = found.decode().split(" ")
        ticket = Ticket(login_id, room_id, int(expires_at))
        return None if ticket.expires_at <= now else ticket
