"""Channels and peers without an engine: for tests, and for `doctor` to check everything above the transport.

They keep an engine's contract at its strictest: closing drops what is queued, and descriptions are checked.
"""

import asyncio
import secrets
from collections import deque
from typing import ClassVar
from weakref import WeakValueDictionary

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.sdp import Candidate, fingerprint_of
from sleap_rtc.transport.base import ENDED_HERE, ENDED_THERE, FAILED, BasePeer
from sleap_rtc.transport.buffered import LOW_WATER, BufferedChannel
from sleap_rtc.transport.paths import NetworkPath


class MemoryLink:
    """The wire between two memory channels, with knobs for what networks do.

    Args:
        delay: seconds every message is under way.
        drop_after: messages delivered, of both sides together, after which the link is cut.
    """

    def __init__(self, *, delay: float = 0.0, drop_after: int | None = None) -> None:
        self.delay = delay
        self._left = drop_after
        self.silent = False
        self._ends: list[MemoryChannel] = []

    def join(self, one: "MemoryChannel", other: "MemoryChannel") -> None:
        """Make the two channels the ends of this link, and open them."""
        self._ends = [one, other]
        for end in self._ends:
            end.join(self)

    def other(self, end: "MemoryChannel") -> "MemoryChannel":
        """Find the far end, as seen from `end`."""
        return self._ends[1] if self._ends[0] is end else self._ends[0]

    def cut(self, sentence: str = FAILED) -> None:
        """Let the link fail: both ends are told, what is under way is lost."""
        for end in self._ends:
            end.lost(sentence)

    def mute(self) -> None:
        """Fall silent, as when a peer dies: sending goes on to succeed, nothing arrives, nobody is told."""
        self.silent = True

    def count(self) -> None:
        """Note that one message was delivered."""
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self.cut()


class MemoryChannel(BufferedChannel):
    """One end of a `MemoryLink`.

    Args:
        peer: the peer whose only channel this is; a bare channel has none.
    """

    link: MemoryLink

    def __init__(self, peer: "MemoryPeer | None" = None) -> None:
        super().__init__(self._end if peer is None else peer.close, self.hang_up)
        self._under_way: deque[str | bytes] = deque()
        self._amount = 0
        self._joined = False

    @property
    def buffered_amount(self) -> int:
        """See `BufferedChannel.buffered_amount`."""
        return self._amount

    def join(self, link: MemoryLink) -> None:
        """Become an end of `link`."""
        self.link = link
        self._joined = True
        self.opened()

    async def _end(self) -> None:
        self.lost(ENDED_HERE, forget=True)
        self.hang_up()

    def hang_up(self) -> None:
        """Tell the far end, after what has already arrived there; what is under way is lost."""
        self._under_way.clear()
        self._amount = 0
        if self._joined and not self.link.silent:
            asyncio.get_running_loop().call_soon(self.link.other(self).lost, ENDED_THERE)

    def _queue(self, data: str | bytes) -> None:
        self._under_way.append(data)
        self._amount += len(data)
        # timers that are due together may run in any order, so each of them delivers the oldest message
        asyncio.get_running_loop().call_later(self.link.delay, self._deliver)

    def _deliver(self) -> None:
        if self.loss is not None or not self._under_way:
            return
        data = self._under_way.popleft()
        self._amount -= len(data)
        if self._amount <= LOW_WATER:
            self.drained()
        if not self.link.silent:
            self.link.other(self).arrived(data)
            self.link.count()


def memory_pair(*, delay: float = 0.0, drop_after: int | None = None) -> tuple[MemoryChannel, MemoryChannel]:
    """Two channels, open and connected; `MemoryChannel.link` is the wire between them.

    Args:
        delay: see `MemoryLink`.
        drop_after: see `MemoryLink`.
    """
    one, other = MemoryChannel(), MemoryChannel()
    MemoryLink(delay=delay, drop_after=drop_after).join(one, other)
    return one, other


DEFAULT = Timeouts()
_peers: "WeakValueDictionary[str, MemoryPeer]" = WeakValueDictionary()


class MemoryPeer(BasePeer):
    """A peer that meets another one of this process, by the same offer and answer as real ones.

    Like DTLS, it refuses a peer whose certificate is not the one announced, so a service that swaps fingerprints is
    noticed here, too.

    Args:
        timeouts: see `BasePeer`.
        allow_loopback: see `BasePeer`.
        link: the wire to use when this peer is the one that offers; a plain one by default.
    """

    engine: ClassVar[str] = "memory"

    def __init__(
        self, *, timeouts: Timeouts = DEFAULT, allow_loopback: bool = True, link: MemoryLink | None = None
    ) -> None:
        super().__init__(timeouts=timeouts, allow_loopback=allow_loopback)
        self.channel: MemoryChannel = MemoryChannel(self)
        self._link = link or MemoryLink()
        self._name = secrets.token_hex(8)
        self.certificate = secrets.token_bytes(32)
        self._remote_sdp = ""
        _peers[self._name] = self
        self._trickle(None)

    async def _describe(self, kind: str) -> str:
        digits = self.certificate.hex(":").upper()
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
            "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
            f"c=IN IP4 0.0.0.0\r\na=ice-ufrag:{self._name}\r\na=fingerprint:sha-256 {digits}\r\na=mid:0\r\n"
        )

    async def _take_description(self, kind: str, sdp: str) -> None:
        self._remote_sdp = sdp
        if kind == "answer":
            other = self._other()
            # what DTLS would find out: a certificate that is not the one announced, on either side
            if other is None or not (self.trusts(other) and other.trusts(self)):
                self.channel.lost(FAILED)
                if other is not None:
                    other.channel.lost(FAILED)
                return
            self._link.join(self.channel, other.channel)
        elif self._other() is None:
            raise ProtocolError("The offer is of no peer in this process.")

    def _other(self) -> "MemoryPeer | None":
        _, _, rest = self._remote_sdp.partition("a=ice-ufrag:")
        return _peers.get(rest.partition("\r\n")[0])

    def trusts(self, other: "MemoryPeer") -> bool:
        """Whether `other` has the certificate that the description we were given announces."""
        return fingerprint_of(self._remote_sdp) == other.certificate

    async def _take_candidate(self, candidate: Candidate) -> None:
        """There is nothing to find."""

    async def _path(self) -> NetworkPath:
        return NetworkPath("host", "host")

    async def _close_engine(self) -> None:
        self.channel.hang_up()
