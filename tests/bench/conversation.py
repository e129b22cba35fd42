"""What a client and a worker say to each other through the service while they make links, one link after the other.

What is passed on has the size of what peers on libwebrtc say: an offer, its answer, and of each side three candidates
and the end of them.
"""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection

from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.protocol.signaling import SIGNALING, Answer, IceCandidate, Offer

CANDIDATES = 3
_SDP = "".join(
    f"{line}\r\n"
    for line in (
        "v=0",
        "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=group:BUNDLE 0",
        "a=extmap-allow-mixed",
        "a=msid-semantic: WMS",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
        "c=IN IP4 0.0.0.0",
        "a=ice-ufrag:k5Qx",
        "a=ice-pwd:5h0s1Yk3mE8bqv0tWcJr2uNd",
        "a=ice-options:trickle",
        "a=fingerprint:sha-256 " + ":".join(f"{number:02X}" for number in range(32)),
        "a=setup:actpass",
        "a=mid:0",
        "a=sctp-port:5000",
        "a=max-message-size:262144",
    )
)


@dataclass(frozen=True)
class Peer:
    """One of the crowd.

    Attributes:
        worker_id: a worker's; empty for a client.
    """

    socket: ClientConnection
    worker_id: str = ""


@dataclass
class Pair:
    """A client and a worker of its room. At most one message of theirs is under way: it is known which one arrives."""

    client: Peer
    worker: Peer
    _saying: Iterator[tuple[Peer, Peer, Message]] = field(init=False)
    _to: Peer | None = None
    _kind: str = ""
    _due: float = 0.0

    def __post_init__(self) -> None:
        self._saying = self._conversations()

    async def say(self, due: float) -> None:
        """Say the next thing, which was due at this time."""
        sender, self._to, message = next(self._saying)
        self._kind, self._due = message.TYPE, due
        await sender.socket.send(SIGNALING.encode(message))

    async def listen(self, arrived: Callable[["Pair", float], None]) -> None:
        """Tell of each message that arrives where it should, with the time at which it was due.

        Raises:
            RuntimeError: if something else arrives.
        """
        async with asyncio.TaskGroup() as tasks:
            for peer in (self.client, self.worker):
                tasks.create_task(self._hear(peer, arrived))

    async def _hear(self, peer: Peer, arrived: Callable[["Pair", float], None]) -> None:
        async for text in peer.socket:
            # not decoded: that is the service's business, and would take this process's time
            if peer is not self._to or f'"type":"{self._kind}"' not in str(text):
                raise RuntimeError(f"something else than a message passed on has arrived: {text!r}")
            arrived(self, self._due)

    def _conversations(self) -> Iterator[tuple[Peer, Peer, Message]]:
        client, worker = self.client, self.worker
        while True:
            link = new_id("link", secrets.token_bytes(15))
            yield client, worker, Offer(link=link, worker_id=worker.worker_id, sdp=_SDP)
            yield worker, client, Answer(link=link, sdp=_SDP)
            for number in range(CANDIDATES + 1):
                for sender, receiver in ((client, worker), (worker, client)):
                    found = None if number == CANDIDATES else _candidate(number)
                    yield sender, receiver, IceCandidate(link=link, candidate=found)


def _candidate(number: int) -> Candidate:
    place = f"{2122260223 - number} 192.168.1.{number + 17} 5{number}213"
    text = f"candidate:{number + 1} 1 udp {place} typ host generation 0"
    return Candidate(candidate=text, mid="0", mline=0)
