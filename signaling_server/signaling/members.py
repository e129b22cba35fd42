"""One connected peer, as its process knows it: who it is, its links, and what waits to be sent to it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from signaling_server.signaling.outbox import Outbox
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.signaling import SIGNALING, Departed, Principal, Revoked, WorkerPresence

MAX_REASON = 300
"""Characters of a reason that a worker passes on."""


@dataclass
class Route:
    """Where the other side of a link is, seen from one of its two connections.

    Attributes:
        other: the other connection's presence id.
        standing: whether the offer was answered; from then on nobody here may end the link.
        candidates: how many this side has sent.
        dialled: whether this side has made the offer; only the other one may answer it.
    """

    other: str
    standing: bool = False
    candidates: int = 0
    dialled: bool = False


class Holder(NamedTuple):
    """By what right somebody is connected: a credential, in a room, as a user."""

    token_id: str
    room: str
    user: str


@dataclass(eq=False)
class Member:
    """One connected peer; everything known about it is bound to this object, never looked up by a label.

    Attributes:
        presence: the id of this connection.
        principal: who it is, from its credential.
        token_id: the credential's row, to end the connection when that ends.
        address: where it came from.
        nonce: what a worker has to sign.
        outbox: what waits to be sent to it.
        routes: its links, by link id; at the bound the oldest are forgotten.
        worker: what is known about it once its key is proven.
        visitors: who may be behind a worker's links; at the bound those heard of longest ago are forgotten.
    """

    presence: str
    principal: Principal
    token_id: str
    address: str
    nonce: bytes
    outbox: Outbox
    routes: dict[str, Route] = field(default_factory=dict)
    worker: WorkerPresence | None = None
    visitors: dict[Holder, None] = field(default_factory=dict)

    @property
    def holder(self) -> Holder:
        """By what right this peer is here."""
        return Holder(self.token_id, self.principal.room, self.principal.user)

    def send(self, message: Message) -> None:
        """Queue a message for this peer."""
        self.outbox.put(SIGNALING.encode(message))

    def note_visitor(self, visitor: Holder, most: int) -> None:
        """Remember that `visitor` may be behind a link of this worker, one of the `most` heard of last."""
        self.visitors.pop(visitor, None)
        while len(self.visitors) >= most:
            del self.visitors[next(iter(self.visitors))]
        self.visitors[visitor] = None

    def send_away(self, visitor: Holder, reason: str) -> None:
        """Tell this worker to end the links of `visitor`."""
        del self.visitors[visitor]
        self.send(Revoked(visitor=departed(visitor, reason)))


def departed(visitor: Holder, reason: str) -> Departed:
    """What a worker is told of a visitor who may not be there any more."""
    return Departed(user=visitor.user, credential=visitor.token_id, reason=reason[:MAX_REASON])
