"""Relays for aiortc, which by itself tries one address of one TURN server: all are tried, and the best one is used."""

import asyncio
import logging
from collections.abc import Sequence

import aioice
from aioice.ice import StunProtocol, relayed_candidate

from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.transport.paths import Carrier, relay_urls
from sleap_rtc.transport.turn_urls import TurnServer, turn_server

log = logging.getLogger(__name__)

MOST = 8
"""Addresses that are tried at once."""
PREFERENCE: tuple[Carrier, ...] = ("udp", "tcp", "tls")
"""UDP is the fastest; over the others a lost packet holds up all behind it."""
GRACE = 0.25
"""Share of the time for gathering in which a better one may still answer after the first."""

_Relayed = tuple[aioice.Candidate, StunProtocol]


def usable(servers: Sequence[IceServer]) -> list[TurnServer]:
    """The addresses to try, the best first."""
    found = [turn_server(server, url) for server, url in relay_urls(servers)]
    known = [each for each in found if each is not None]
    return sorted(known, key=lambda each: PREFERENCE.index(each.carrier))[:MOST]


class Relays:
    """Gets a connection its relayed address.

    Args:
        connection: aiortc's own, which knows of no TURN server.
        servers: those that the service named.
        seconds: how long one may take.
        hidden: whether the other side must not learn the address that the relay sees.
    """

    def __init__(
        self, connection: aioice.Connection, servers: Sequence[IceServer], seconds: float, *, hidden: bool
    ) -> None:
        self._connection = connection
        self._servers = usable(servers)
        self._seconds = seconds
        self._hidden = hidden
        self.carrier: Carrier | None = None

    async def gather(self, component: int) -> list[aioice.Candidate]:
        """Allocate an address at the best relay that answers, and give it to the connection; none if nobody does."""
        # owned by this method, which awaits their end
        tasks = {asyncio.create_task(self._allocate(component, each)): each.carrier for each in self._servers}
        try:
            best = await self._best(tasks)
        finally:
            for task in tasks:
                task.cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
        for (_, carrier), result in zip(tasks.items(), done, strict=True):
            if isinstance(result, BaseException):
                log.debug("A relay was not used over %s: %s", carrier, result)
        if best is None:
            return []
        for task in tasks:
            if task is not best and not task.cancelled() and task.exception() is None:
                await task.result()[1].close()
        candidate, protocol = best.result()
        self.carrier = tasks[best]
        self._connection._protocols.append(protocol)  # noqa: SLF001
        return [candidate]

    async def _best(self, tasks: dict[asyncio.Task[_Relayed], Carrier]) -> asyncio.Task[_Relayed] | None:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        waiting, best = set(tasks), None
        while waiting and loop.time() < until:
            done, waiting = await asyncio.wait(
                waiting, timeout=until - loop.time(), return_when=asyncio.FIRST_COMPLETED
            )
            good = [task for task in done if task.exception() is None]
            if good and best is None:
                until = min(until, loop.time() + self._seconds * GRACE)
            best = min([*good, *([best] if best else [])], key=lambda task: self._rank(tasks[task]), default=None)
            better = [task for task in waiting if best is None or self._rank(tasks[task]) < self._rank(tasks[best])]
            waiting = set(better)
        return best

    @staticmethod
    def _rank(carrier: Carrier) -> int:
        return PREFERENCE.index(carrier)

    async def _allocate(self, component: int, server: TurnServer) -> _Relayed:
        return await relayed_candidate(
            component=component,
            hide_related_address=self._hidden,
            protocol_factory=lambda: StunProtocol(self._connection),
            turn_server=(server.host, server.port),
            turn_username=server.username,
            turn_password=server.credential,
            turn_ssl=server.carrier == "tls",
            turn_transport="udp" if server.carrier == "udp" else "tcp",
        )
