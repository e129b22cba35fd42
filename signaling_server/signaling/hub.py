"""Who is connected, and how a message gets from one connection to another.

`Hub` is all the rest of the service knows; `MemoryHub` serves one process. The hub of several keeps presences in Redis
and publishes deliveries; members stay local to their process either way, because they hold a socket.
"""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple, Protocol, Self

from signaling_server.limits import limit_key
from signaling_server.signaling.members import Holder, Member
from sleap_rtc.errors import BusyError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.signaling import CLOSE_REPLACED, WorkerInfo, WorkerPresence

logger = logging.getLogger(__name__)

RANDOM_BYTES = 15
"""How many bytes of a presence id nobody can guess."""
FROM_ADDRESS = "Too many connections are open from this address. Close some, or try again later."
OF_USER = "Too many connections are open with this credential. Close some, or try again later."


class Totals(NamedTuple):
    """How many sockets clients and workers have, how many workers have proven their key, in how many processes."""

    clients: int
    workers: int
    present: int
    processes: int = 1


Receiver = Callable[[Member, Message, str], None]
"""Takes (member, message, presence of the sender) where the member's socket is."""


class Hub(Protocol):
    """The members of all rooms, in all processes of the service."""

    @property
    def here(self) -> "MemoryHub":
        """The members whose sockets are in this process."""

    def new_presence(self) -> str:
        """An id for a new connection of this process."""

    def problem(self) -> str | None:
        """Why this process cannot reach the others of its service, as a sentence; None if it can, or is alone."""

    def gaps(self) -> int:
        """How often something may have been missed that other processes told; it only grows."""

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

    async def end(self, reasons: Mapping[Holder, str], code: int) -> None:
        """End every connection and every link that is there by one of these rights, each with its reason.

        Links are the workers' to end: those that such a visitor has dialled are told.
        """

    async def end_all(
        self, reason: str, code: int, *, token_id: str | None = None, room: str | None = None, user: str | None = None
    ) -> None:
        """End every connection and link to which all that is given applies: its credential, its room, its user."""

    async def set_owners(self, owners: Mapping[str, str]) -> None:
        """Stamp what everybody sends from now on by who owns which room; rooms that are not named stay as they are."""

    async def totals(self) -> Totals:
        """How many are connected."""


class MemoryHub:
    """The hub of a service that is one process, and the local half of one that is several.

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

    @property
    def here(self) -> Self:
        """See `Hub.here`."""
        return self

    def new_presence(self) -> str:
        """See `Hub.new_presence`."""
        return new_id("presence", secrets.token_bytes(RANDOM_BYTES))

    def problem(self) -> str | None:
        """See `Hub.problem`."""
        return None

    def gaps(self) -> int:
        """See `Hub.gaps`."""
        return 0

    def member(self, presence: str) -> Member | None:
        """The connection with this id."""
        return self._members.get(presence)

    def members(self) -> Iterator[Member]:
        """Every connection, those too that are about to end."""
        return iter(list(self._members.values()))

    def counted(self, address: str, user: str) -> tuple[int, int]:
        """How many connections there are from an address's `limit_key`, and of a user."""
        return self._by_address.get(address, 0), self._by_user.get(user, 0)

    async def join(self, member: Member) -> None:
        """See `Hub.join`."""
        principal = member.principal
        address = limit_key(member.address)
        if self._by_address[address] >= self._sockets_per_address:
            raise BusyError(FROM_ADDRESS)
        # a worker token may serve any number of machines
        if principal.role == "client" and self._by_user[principal.user] >= self._clients_per_user:
            raise BusyError(OF_USER)
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
        """By what right everybody is connected."""
        return {member.holder for member in self._members.values()}

    async def holders(self) -> Collection[Holder]:
        """By what right everybody is there who is connected, or may be behind a link of a worker that is."""
        return set(await self.connected()).union(*(member.visitors for member in self._members.values()))

    async def end(self, reasons: Mapping[Holder, str], code: int) -> None:
        """See `Hub.end`."""
        if not reasons:
            return  # asked at each join, for nobody nearly always: thousands of members need not be looked at for that
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
        """End every connection, and return when they have left; links are not touched."""
        for member in self._members.values():
            member.outbox.end(code, reason)
        await self._empty.wait()

    async def set_owners(self, owners: Mapping[str, str]) -> None:
        """See `Hub.set_owners`."""
        for member in self._members.values():
            principal = member.principal
            if principal.room in owners and (owner := principal.user == owners[principal.room]) != principal.owner:
                member.principal = principal.model_copy(update={"owner": owner})

    async def totals(self) -> Totals:
        """See `Hub.totals`."""
        return self.totals_now()

    def totals_now(self) -> Totals:
        """How many are connected to this process."""
        roles = Counter(member.principal.role for member in self._members.values())
        workers = sum(len(present) for present in self._workers.values())
        return Totals(clients=roles["client"], workers=roles["worker"], present=workers)
