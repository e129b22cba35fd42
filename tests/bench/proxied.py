"""Peers whose connection runs through `udp_proxy`, which the code above them does not notice.

All is done by the end that offers, so the other one is an ordinary peer: the offer names no address, and of the
answerer's addresses only one is used, with the proxy in front of it. Each side then knows the other by the proxy alone.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import ClassVar

from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.transport.channel import Channel, Peer
from sleap_rtc.transport.paths import NetworkPath
from tests.bench.proxy_control import ProxyControl

_HOST = re.compile(r"candidate:\S+ 1 udp \d+ (\d+\.\d+\.\d+\.\d+) (\d+) typ host.*", re.IGNORECASE)
_ADDRESS_LINES = ("a=candidate:", "a=end-of-candidates")


def nameless(sdp: str) -> str:
    """Leave the candidates out of a description, and leave it open that some may follow."""
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith(_ADDRESS_LINES))


def chosen_address(candidates: list[str]) -> tuple[str, int] | None:
    """The address to put the proxy in front of: the loopback one if there is one, else the first of IPv4."""
    found = [(match[1], int(match[2])) for text in candidates if (match := _HOST.fullmatch(text))]
    return next((address for address in found if address[0].startswith("127.")), found[0] if found else None)


def through(proxy: ProxyControl, address: tuple[str, int]) -> str:
    """Open the proxy in front of an address; the candidate to use instead of it."""
    return f"candidate:1 1 udp 2130706431 127.0.0.1 {proxy.open(*address)} typ host"


def candidates_of(sdp: str) -> list[str]:
    """The candidates in a description, each from ``candidate:`` on."""
    return [line[2:] for line in sdp.splitlines() if line.startswith("a=candidate:")]


class ProxiedPeer(Peer):
    """A peer that reaches the one it offers to through the proxy; one that answers does nothing of its own.

    Args:
        peer: the real one, of either engine.
        proxy: the proxy.
    """

    engine: ClassVar[str] = "proxied"

    def __init__(self, peer: Peer, proxy: ProxyControl) -> None:
        self.channel = peer.channel
        self._peer = peer
        self._proxy = proxy
        self._offers = False
        self._routed = False

    @property
    def local_fingerprint(self) -> bytes:
        return self._peer.local_fingerprint

    @property
    def remote_fingerprint(self) -> bytes:
        return self._peer.remote_fingerprint

    async def create_offer(self) -> str:
        self._offers = True
        return nameless(await self._peer.create_offer())

    async def accept_offer(self, sdp: str) -> str:
        return await self._peer.accept_offer(sdp)

    async def accept_answer(self, sdp: str) -> None:
        candidate = await self._route(candidates_of(sdp))
        sdp = nameless(sdp)
        await self._peer.accept_answer(f"{sdp}a={candidate}\r\na=end-of-candidates\r\n" if candidate else sdp)

    async def add_candidate(self, candidate: Candidate) -> None:
        if not self._offers:
            await self._peer.add_candidate(candidate)
        elif text := await self._route([candidate.candidate]):
            await self._peer.add_candidate(candidate.model_copy(update={"candidate": text}))

    async def candidates(self) -> AsyncIterator[Candidate]:
        if not self._offers:
            async for candidate in self._peer.candidates():
                yield candidate

    async def wait_open(self) -> Channel:
        return await self._peer.wait_open()

    async def path(self) -> NetworkPath | None:
        return await self._peer.path()

    def no_way(self, seconds: float | None = None) -> str:
        return self._peer.no_way(seconds)

    async def close(self) -> None:
        await self._peer.close()

    async def _route(self, candidates: list[str]) -> str | None:
        """The one candidate to use, if it is among these."""
        address = chosen_address(candidates)
        if address is None or self._routed:
            return None
        self._routed = True
        return await asyncio.to_thread(through, self._proxy, address)


def proxied(new_peer: Callable[[], Peer], proxy: ProxyControl) -> Callable[[], Peer]:
    """What makes peers through the proxy, from what makes peers."""
    return lambda: ProxiedPeer(new_peer(), proxy)
