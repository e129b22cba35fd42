"""Who is connected, and how a message gets from one connection to another.

`Hub` is all the rest of the service knows; `MemoryHub` serves one process. A hub over Redis keeps presences there and
publishes deliveries; members stay local to their process either way, because they hold a socket.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from signaling_server.limits import limit_key
from signaling_server.signaling.outbox import Outbox
from sleap_rtc.errors import BusyError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.signaling import (
    CLOSE_REPLACED,
    SIGNALING,
    Departed,
    Principal,
    Revoked,
    WorkerInfo,
    WorkerPresence,
)

logger = logging.getLogger(__name__)

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


class Totals(NamedTuple):
    """How many sockets clients and workers have, and how many workers have proven their key."""

    clients: int
    workers: int
    present: int


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


Receiver = Callable[[Member, Message, str], None]
"""Takes (member, message, presence of the sender) where the member's socket is."""


class Hub(Protocol):
    """The members of all rooms."""

    async def join(self, member: Member) -> None:
        """Add a connection; raises `BusyError` if its user or address has too many."""

    async def leave(self, member: Member) -> None:
        """Remove a connection, and with it its presence as a worker."""

    async def claim(self, member: Member, presence: WorkerPresence) -> None:
        """Make a proven worker present; an older connection of the same worker is ended."""

    async def update(self, member: Member, info: WorkerInfo) -> None:
        """Replace what a present worker says about itself."""

    async def workers(self, room: str) -> list[WorkerPresence]:
        """The workers present in a room, ordered by id."""

    async def locate(self, room: str, worker_id: str) -> str | None:
        """The presence id of a worker of this very room."""

    async def deliver(self, to: str, message: Message, sender: str) -> bool:
        """Hand a message to the connection `to`; False if it is not there."""

    async def connected(self) -> Collection[Holder]:
        """By what right everybody is connected."""

    async def holders(self) -> Collection[Holder]:
        """By what right everybody is there who is connected, or may be behind a link of a worker that is."""

    async def end(self, reasons: Mapping[Holder, str], code: int) -> None:
        """End every connection and every link that is there by one of these rights, each with its reason.

        Links are the workers' to end: those that such a visitor has dialled are told.
        """

    async def end_all(
        self, reason: str, code: int, *, token_id: str | None = None, room: str | None = None, user: str | None = None
    ) -> None:
        """End every connection and link to which all that is given applies: its credential, its room, its user."""

    async def close(self, reason: str, code: int) -> None:
        """End every connection of this process, and return when they have left; links are not touched."""

    async def set_owners(self, owners: Mapping[str, str]) -> None:
        """Stamp what everybody sends from now on by who owns which room; rooms that are not named stay as they are."""

    async def totals(self) -> Totals:
        """How many are connected."""


class MemoryHub:
    """The hub of a service that is one process.

    Args:
        receiver: what to do with a message delivered to a member.
        clients_per_user: connections at once of one client identity.
        sockets_per_address: connections at once from one address.
    """

    def __init__(self, receiver: Receiver, *, clients_per_user: int, sockets_per_address: int) -> None:
        self._receiver = receiver
        self._clients_per_user = clients_per_user
        self._sockets_per_address = sockets_per_address
        self._members: dict[str, Member] = {}
        self._workers: dict[str, dict[str, Member]] = {}
        self._by_user: Counter[str] = Counter()
        self._by_address: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    async def join(self, member: Member) -> None:
        """See `Hub.join`."""
        principal = member.principal
        address = limit_key(member.address)
        if self._by_address[address] >= self._sockets_per_address:
            raise BusyError("Too many connections are open from this address. Close some, or try again later.")
        # a worker token may serve any number of machines
        if principal.role == "client" and self._by_user[principal.user] >= self._clients_per_user:
            raise BusyError("Too many connections are open with this credential. Close some, or try again later.")
        self._members[member.presence] = member
        self._empty.clear()
        self._by_user[principal.user] += 1
        self._by_address[address] += 1

    async def leave(self, member: Member) -> None:
        """See `Hub.leave`."""
        if self._members.pop(member.presence, None) is None:
            return
        if not self._members:
            self._empty.set()
        for counter, key in ((self._by_user, member.principal.user), (self._by_address, limit_key(member.address))):
            counter[key] -= 1
            if not counter[key]:
                del counter[key]
        room = member.principal.room
        present = self._workers.get(room, {})
        # a newer connection may have taken the place: that one stays
        if member.worker is not None and present.get(member.worker.worker_id) is member:
            del present[member.worker.worker_id]
            if not present:
                del self._workers[room]

    async def claim(self, member: Member, presence: WorkerPresence) -> None:
        """See `Hub.claim`."""
        present = self._workers.setdefault(member.principal.room, {})
        older = present.get(presence.worker_id)
        member.worker = presence
        present[presence.worker_id] = member
        if older is not None:
            logger.info("worker %s was taken over by a newer connection", presence.worker_id)
            older.outbox.end(CLOSE_REPLACED, "a newer connection of this worker took over")

    async def update(self, member: Member, info: WorkerInfo) -> None:
        """See `Hub.update`."""
        if member.worker is not None:
            member.worker = member.worker.model_copy(update={"info": info})

    async def workers(self, room: str) -> list[WorkerPresence]:
        """See `Hub.workers`."""
        members = [member for member in self._workers.get(room, {}).values() if not member.outbox.ended.is_set()]
        found = [member.worker for member in members if member.worker is not None]
        return sorted(found, key=lambda presence: presence.worker_id)

    async def locate(self, room: str, worker_id: str) -> str | None:
        """See `Hub.locate`."""
        member = self._workers.get(room, {}).get(worker_id)
        return None if member is None else member.presence

    async def deliver(self, to: str, message: Message, sender: str) -> bool:
        """See `Hub.deliver`."""
        member = self._members.get(to)
        if member is None or member.outbox.ended.is_set():
            return False
        self._receiver(member, message, sender)
        return True

    async def connected(self) -> Collection[Holder]:
        """See `Hub.connected`."""
        return {member.holder for member in self._members.values()}

    async def holders(self) -> Collection[Holder]:
        """See `Hub.holders`."""
        return set(await self.connected()).union(*(member.visitors for member in self._members.values()))

    async def end(self, reasons: Mapping[Holder, str], code: int) -> None:
        """See `Hub.end`."""
        for member in list(self._members.values()):
            reason = reasons.get(member.holder)
            if reason is not None:
                member.outbox.end(code, reason)
            for visitor in member.visitors.keys() & reasons.keys():
                member.send_away(visitor, reasons[visitor])

    async def end_all(
        self, reason: str, code: int, *, token_id: str | None = None, room: str | None = None, user: str | None = None
    ) -> None:
        """See `Hub.end_all`."""
        meant = (token_id, room, user)
        ending = [
            holder
            for holder in await self.holders()
            if all(given in (None, has) for given, has in zip(meant, holder, strict=True))
        ]
        await self.end(dict.fromkeys(ending, reason), code)

    async def close(self, reason: str, code: int) -> None:
        """See `Hub.close`."""
        for member in self._members.values():
            member.outbox.end(code, reason)
        await self._empty.wait()

    async def set_owners(self, owners: Mapping[str, str]) -> None:
        """See `Hub.set_owners`."""
        for member in self._members.values():
            principal = member.principal
            owner = principal.owner if principal.room not in owners else principal.user == owners[principal.room]
            if owner != principal.owner:
                member.principal = principal.model_copy(update={"owner": owner})

    async def totals(self) -> Totals:
        """See `Hub.totals`."""
        roles = Counter(member.principal.role for member in self._members.values())
        workers = sum(len(present) for present in self._workers.values())
        return Totals(clients=roles["client"], workers=roles["worker"], present=workers)
