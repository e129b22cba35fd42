"""The hub of a service that is several processes: presences in Redis, sockets in the process they came to."""

import logging
import secrets
from collections.abc import Mapping
from contextlib import suppress

from signaling_server.backplane.envelopes import (
    Delivery,
    Ended,
    EndedAll,
    Envelope,
    Owners,
    Replaced,
    seal,
)
from signaling_server.backplane.hearing import Hearing, gone
from signaling_server.backplane.keys import Keys, process_id, process_of
from signaling_server.backplane.late import Latecomers
from signaling_server.backplane.lease import Lease
from signaling_server.backplane.line import AWAY, Line
from signaling_server.backplane.listener import Listener
from signaling_server.backplane.presences import Presences
from signaling_server.backplane.sockets import Sockets
from signaling_server.limit_settings import Limits
from signaling_server.signaling.hub import RANDOM_BYTES, MemoryHub, Receiver, Totals
from signaling_server.signaling.members import Holder, Member
from sleap_rtc.errors import BusyError, UnreachableError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.signaling import (
    SIGNALING,
    WorkerInfo,
    WorkerPresence,
)

logger = logging.getLogger(__name__)

_AT_ONCE = 200
"""How many reasons go into one envelope."""


class RedisHub:
    """Everybody who is connected to any process of the service.

    What concerns members of this process alone works while Redis is away, too. What does not, says so.

    Args:
        here: the members of this process.
        tag: the process, in the bytes that its presence ids begin with.
        receiver: what to do with a message delivered to a member.
        line: to Redis.
        keys: where what lies.
        limits: the bounds.
        lease: this process's, and what it knows of the others'.
        latecomers: looks again at those whose offers cross a revocation.

    Attributes:
        hearing: takes what the other processes tell.
    """

    def __init__(
        self,
        here: MemoryHub,
        tag: bytes,
        receiver: Receiver,
        line: Line,
        keys: Keys,
        limits: Limits,
        lease: Lease,
        latecomers: Latecomers,
    ) -> None:
        self.here = here
        self._tag = tag
        self._process = process_id(tag)
        self._receiver = receiver
        self._line = line
        self._keys = keys
        self._lease = lease
        self._latecomers = latecomers
        self.hearing = Hearing(here, self._process, receiver, line, keys, latecomers, lease.heard)
        self._presences = Presences(line, keys)
        self._sockets = Sockets(line, keys, self._process, here, limits)
        self.listener: Listener | None = None

    def new_presence(self) -> str:
        """See `Hub.new_presence`."""
        return new_id("presence", self._tag + secrets.token_bytes(RANDOM_BYTES))

    def problem(self) -> str | None:
        """See `Hub.problem`."""
        hears = self.listener is not None and self.listener.listening.is_set()
        return AWAY if self._line.away or not hears else None

    def gaps(self) -> int:
        """See `Hub.gaps`."""
        return 0 if self.listener is None else self.listener.gaps

    async def join(self, member: Member) -> None:
        """See `Hub.join`. While Redis is away each process counts for itself."""
        await self.here.join(member)
        try:
            full = await self._sockets.count(member)
        except UnreachableError:
            return
        except BaseException:  # whoever left during the handshake has nobody else to take it back
            await self.leave(member)
            raise
        if full is not None:
            # told once more: others that came meanwhile and are refused, too, were counted with it
            await self.leave(member)
            raise BusyError(full)

    async def leave(self, member: Member) -> None:
        """See `Hub.leave`."""
        await self.here.leave(member)
        if member.worker is not None:
            self._presences.leave(member.principal.room, member.worker.worker_id, member.presence)
        self._sockets.tell(member)

    async def claim(self, member: Member, presence: WorkerPresence) -> None:
        """See `Hub.claim`. While Redis is away this process alone knows of it."""
        member.worker = presence  # if this is cancelled, whoever leaves takes back what Redis has heard of it
        try:
            _, other = await self._presences.claim(member, presence, new=True)
        except UnreachableError:
            other = ""
        # answers come in the order of Redis, so the last one here is the last one there
        await self.here.claim(member, presence)
        self._replaced(other)

    async def update(self, member: Member, info: WorkerInfo) -> None:
        """See `Hub.update`."""
        await self.here.update(member, info)
        if member.worker is not None:
            with suppress(UnreachableError):  # told when Redis is back
                await self._presences.update(member, member.worker)

    async def workers(self, room: str) -> list[WorkerPresence]:
        """See `Hub.workers`.

        Raises:
            UnreachableError: while Redis is away.
        """
        found = [
            worker
            for presence, worker in (await self._presences.of_room(room)).items()
            if (member := self.here.member(presence)) is None or not member.outbox.ended.is_set()
        ]
        return sorted(found, key=lambda worker: worker.worker_id)

    async def locate(self, room: str, worker_id: str) -> str | None:
        """See `Hub.locate`.

        Raises:
            UnreachableError: if the worker is not here, while Redis is away.
        """
        near = await self.here.locate(room, worker_id)
        member = None if near is None else self.here.member(near)
        if member is not None and not member.outbox.ended.is_set():
            return near
        return await self._presences.locate(room, worker_id)

    async def deliver(self, to: str, message: Message, sender: str) -> bool:
        """See `Hub.deliver`; True as soon as the other process has it. If it is not there, the sender hears `Gone`.

        Raises:
            UnreachableError: if it is not here, while Redis is away.
        """
        process = process_of(to)
        if process == self._process:
            return await self.here.deliver(to, message, sender)
        envelope = Delivery(to=to, sender=sender or None, text=SIGNALING.encode(message))
        return bool(await self._line.ask("PUBLISH", self._keys.inbox(process), seal(envelope)))

    async def end(self, reasons: Mapping[Holder, str], code: int) -> None:
        """See `Hub.end`."""
        if reasons:
            self._latecomers.watch()
        await self.here.end(reasons, code)
        pairs = list(reasons.items())
        for start in range(0, len(pairs), _AT_ONCE):
            self._publish(Ended(by=self._process, reasons=pairs[start : start + _AT_ONCE], code=code))

    async def end_all(
        self, reason: str, code: int, *, token_id: str | None = None, room: str | None = None, user: str | None = None
    ) -> None:
        """See `Hub.end_all`."""
        self._latecomers.watch()
        await self.here.end_all(reason, code, token_id=token_id, room=room, user=user)
        self._publish(EndedAll(by=self._process, reason=reason, code=code, token_id=token_id, room=room, user=user))

    async def set_owners(self, owners: Mapping[str, str]) -> None:
        """See `Hub.set_owners`."""
        await self.here.set_owners(owners)
        if owners:
            self._publish(Owners(by=self._process, owners=dict(owners)))

    async def totals(self) -> Totals:
        """See `Hub.totals`; what the others had when they last told."""
        living = [self._lease.told(), *self._lease.living.values()]
        return Totals(
            clients=sum(each.clients for each in living),
            workers=sum(each.workers for each in living),
            present=sum(each.present for each in living),
            processes=len(living),
        )

    async def restore(self) -> None:
        """Bring into Redis who is here, after it may have forgotten or missed it.

        Raises:
            UnreachableError: if it is away again.
        """
        await self._forget_strangers()
        self._sockets.tell_all()
        for member in self.here.members():
            if member.worker is None or member.outbox.ended.is_set():
                continue
            stays, other = await self._presences.claim(member, member.worker, new=False)
            if stays:
                self._replaced(other)
            else:
                self.hearing.end_replaced(member.presence)

    def bury(self, process: str) -> None:
        """Tell whoever was dialing a connection of a process that died, or was dialled by one."""
        for member in self.here.members():
            for link, route in list(member.routes.items()):
                if not route.standing and process_of(route.other) == process:
                    self._receiver(member, gone(link, None), route.other)

    def _replaced(self, presence: str) -> None:
        """End a connection, wherever it is, whose worker has a newer one."""
        if not presence:
            return
        if process_of(presence) == self._process:
            self.hearing.end_replaced(presence)
        else:
            self._line.tell("PUBLISH", self._keys.inbox(process_of(presence)), seal(Replaced(presence=presence)))

    def _publish(self, envelope: Envelope) -> None:
        self._line.tell("PUBLISH", self._keys.everybody, seal(envelope))

    async def _forget_strangers(self) -> None:
        """Remove what Redis holds in this process's name of connections that are not here any more."""

        def is_here(presence: str) -> bool:
            return self.here.member(presence) is not None

        names, counted = self._sockets.names(), (self._keys.address(""), self._keys.user(""))
        cursor, first = 0, True
        while cursor or first:
            first = False
            cursor, found = await self._line.ask("SCAN", cursor, "MATCH", f"{self._keys.prefix}*", "COUNT", 1000)
            for key in (name.decode(errors="replace") for name in found):
                if key.startswith(counted) and key not in names:
                    self._sockets.forget(key)
                elif key.startswith(self._keys.room("")):
                    await self._presences.forget_strangers(key, self._process, is_here)
