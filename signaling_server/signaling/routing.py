"""Which message of whom goes where. Roles, rooms and senders come from the connection, never from the message."""

from collections.abc import Awaitable, Callable, Collection, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from signaling_server.counts import OFFERS, RELAYED, Counts
from signaling_server.signaling.hub import Hub
from signaling_server.signaling.members import Holder, Member, Route, departed
from signaling_server.signaling.reporting import Reports
from sleap_rtc.errors import (
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    SleapRTCError,
    UnreachableError,
)
from sleap_rtc.protocol.codec import ErrorInfo, Failure, Message
from sleap_rtc.protocol.ids import worker_id_from_key
from sleap_rtc.protocol.reports import RegisterModel, ReportJobs, ReportModels
from sleap_rtc.protocol.sdp import MAX_CANDIDATES
from sleap_rtc.protocol.signaling import (
    CLOSE_UNPROVEN,
    MAX_HOLDERS,
    Answer,
    Gone,
    HolderList,
    Holders,
    IceCandidate,
    Lease,
    Leased,
    Offer,
    Register,
    Registered,
    Reject,
    Role,
    Update,
    WorkerInfo,
    WorkerList,
    WorkerPresence,
    Workers,
    registration_text,
)

PAGE_BYTES = 48 * 1024
"""How much of a message the workers of one page may fill."""
NOT_THERE = "That worker is not connected to this room. Check that `sleap-rtc worker` runs there, then try again."
NO_SUCH_LINK = "That link is not being made here any more. Dial again."

Handler = Callable[[Member, Any], Awaitable[None]]
Ended = Callable[[Collection[Holder]], Awaitable[dict[Holder, str]]]
"""Tells which of these may no longer be where they are, each with the sentence for it."""

FindHolders = Callable[[str, str], Awaitable[tuple[Set[str], bool]]]
"""The ids of the workers of a room that told of a bundle of this digest, and whether the room has a name for it."""


@dataclass(frozen=True)
class _Rule:
    roles: tuple[Role, ...]
    handler: Handler


class Router:
    """Applies the table of who may send what.

    Args:
        hub: who is connected.
        clock: UTC milliseconds.
        max_links: links, and people behind links, remembered for one connection.
        ended: looks at the rights of those behind a worker's links.
        reports: takes what workers tell of their jobs and models.
        holders: looks up who told of a model.
        counts: where it counts what it has passed on.
    """

    def __init__(
        self,
        hub: Hub,
        clock: Callable[[], int],
        max_links: int,
        ended: Ended,
        reports: Reports,
        holders: FindHolders,
        counts: Counts,
    ) -> None:
        self._hub = hub
        self._holders = holders
        self._reports = reports
        self._clock = clock
        self._max_links = max_links
        self._ended = ended
        self._counts = counts
        self.rules: dict[type[Message], _Rule] = {
            Register: _Rule(("worker",), self._register),
            Update: _Rule(("worker",), self._update),
            Workers: _Rule(("client",), self._list_workers),
            Holders: _Rule(("worker",), self._list_holders),
            Offer: _Rule(("client", "worker"), self._offer),
            Answer: _Rule(("worker",), self._reply),
            Reject: _Rule(("worker",), self._reply),
            IceCandidate: _Rule(("client", "worker"), self._candidate),
            Lease: _Rule(("worker",), self._lease),
            ReportJobs: _Rule(("worker",), self._report),
            ReportModels: _Rule(("worker",), self._report),
            RegisterModel: _Rule(("worker",), self._report),
        }

    async def handle(self, member: Member, message: Message) -> None:
        """Do what `message` asks, or tell its sender why not; who was sent away is not heard any more."""
        if member.outbox.ended.is_set():
            return
        try:
            await self._rule(member, message).handler(member, message)
        except SleapRTCError as error:
            member.send(_refusal(message, error))

    async def leave(self, member: Member) -> None:
        """Remove a connection and tell those who were just dialing it, or whom it was just dialing."""
        self._reports.leave(member)
        await self._hub.leave(member)
        for link, route in member.routes.items():
            if not route.standing:
                error = ErrorInfo.of(NotFoundError(NOT_THERE))
                with suppress(UnreachableError):  # whoever cannot be told gives up by themselves
                    await self._hub.deliver(route.other, Gone(link=link, error=error), member.presence)

    def _rule(self, member: Member, message: Message) -> _Rule:
        rule = self.rules.get(type(message))
        if rule is None:
            raise ProtocolError(f"A peer does not send '{message.TYPE}'.")
        role = member.principal.role
        if role not in rule.roles:
            raise ForbiddenError(f"This credential is a {role}'s: it does not allow '{message.TYPE}'.")
        if role == "worker" and member.worker is None and not isinstance(message, Register):
            raise ConflictError(f"A worker must register before it sends '{message.TYPE}'.")
        return rule

    async def _register(self, member: Member, message: Register) -> None:
        if member.worker is not None:
            raise ConflictError("This connection has registered a worker already.")
        key = bytes.fromhex(message.public_key)
        worker_id = worker_id_from_key(key)
        text = registration_text(member.nonce, member.principal.room, worker_id)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(message.signature), text)
        except (InvalidSignature, ValueError):
            member.send(_refusal(message, AuthenticationError("The worker did not prove its key.")))
            member.outbox.end(CLOSE_UNPROVEN, "the worker's key was not proven")
            return
        presence = WorkerPresence(
            worker_id=worker_id,
            public_key=message.public_key,
            name=message.name or member.principal.name,
            info=_named(message.info, member),
            since=self._clock(),
        )
        await self._hub.claim(member, presence)
        member.send(Registered(re=message.id, presence=member.presence, worker_id=worker_id))

    async def _update(self, member: Member, message: Update) -> None:
        await self._hub.update(member, _named(message.info, member))

    async def _list_workers(self, member: Member, message: Workers) -> None:
        present = await self._hub.workers(member.principal.room)
        if message.after is not None:
            present = [presence for presence in present if presence.worker_id > message.after]
        page = _page(present)
        member.send(WorkerList(re=message.id, workers=page, more=len(page) < len(present)))

    async def _list_holders(self, member: Member, message: Holders) -> None:
        room = member.principal.room
        told, named = await self._holders(room, message.digest)
        others = told - {member.worker.worker_id if member.worker else ""}
        found = [presence for presence in await self._hub.workers(room) if presence.worker_id in others]
        member.send(HolderList(re=message.id, workers=_page(found)[:MAX_HOLDERS], named=named))

    async def _offer(self, member: Member, message: Offer) -> None:
        if message.link in member.routes:
            raise ConflictError("That link id was used before. Every offer needs a new one.")
        principal = member.principal
        dialling = member.worker.worker_id if member.worker else None
        target = await self._hub.locate(principal.room, message.worker_id)
        if target is None or message.worker_id == dialling:
            raise NotFoundError(NOT_THERE)
        # the stamp is bound to this link: a worker can tell a copy of it on another one
        stamp = principal.model_copy(update={"session": message.link, "worker": dialling})
        stamped = _passed_on(message).model_copy(update={"sender": stamp, "error": None})
        self._remember(member, message.link, target, dialled=True)
        try:
            delivered = await self._pass_on(target, stamped, member)
        except UnreachableError:
            del member.routes[message.link]
            raise
        if not delivered:
            del member.routes[message.link]
            raise NotFoundError(NOT_THERE)
        self._counts.add(OFFERS)

    async def _reply(self, member: Member, message: Answer | Reject) -> None:
        route = self._route(member, message.link)
        if route.dialled:
            raise NotFoundError(NO_SUCH_LINK)  # nobody answers themselves
        route.standing = True
        if isinstance(message, Reject):
            del member.routes[message.link]
        if not await self._pass_on(route.other, _passed_on(message), member):
            raise NotFoundError(NO_SUCH_LINK)

    async def _candidate(self, member: Member, message: IceCandidate) -> None:
        route = self._route(member, message.link)
        if message.candidate is not None:
            route.candidates += 1
            if route.candidates > MAX_CANDIDATES:
                return  # no honest peer has so many; the end of the list still passes
        if not await self._pass_on(route.other, _passed_on(message), member):
            raise NotFoundError(NO_SUCH_LINK)

    async def _pass_on(self, to: str, message: Message, member: Member) -> bool:
        delivered = await self._hub.deliver(to, message, member.presence)
        if delivered:
            self._counts.add(RELAYED)
        return delivered

    async def _lease(self, member: Member, message: Lease) -> None:
        room = member.principal.room
        asked = [Holder(visitor.credential, room, visitor.user) for visitor in message.visitors]
        # noted first: of whoever is ended while we look, the worker is told
        for visitor in asked:
            member.note_visitor(visitor, self._max_links)
        reasons = await self._ended(asked)
        for visitor in reasons:
            member.visitors.pop(visitor, None)
        found = [departed(visitor, reason) for visitor, reason in reasons.items()]
        member.send(Leased(re=message.id, departed=found))

    async def _report(self, member: Member, message: ReportJobs | ReportModels | RegisterModel) -> None:
        self._reports.take(member, message)

    def receive(self, member: Member, message: Message, sender: str) -> None:
        """Take a message delivered to `member`: the hub calls this where the member's socket is."""
        if isinstance(message, Offer):
            if message.link in member.routes:
                return  # another client used this link id first, and keeps it
            self._remember(member, message.link, sender)
            if message.sender is not None and message.sender.credential is not None:
                visitor = Holder(message.sender.credential, member.principal.room, message.sender.user)
                member.note_visitor(visitor, self._max_links)
        elif isinstance(message, Answer | Reject | IceCandidate | Gone):
            route = member.routes.get(message.link)
            if route is None or route.other != sender:
                return
            if isinstance(message, Answer):
                route.standing = True
            elif isinstance(message, Reject | Gone):
                del member.routes[message.link]
        member.send(message)

    def _remember(self, member: Member, link: str, other: str, *, dialled: bool = False) -> None:
        while len(member.routes) >= self._max_links:
            del member.routes[next(iter(member.routes))]
        member.routes[link] = Route(other, dialled=dialled)

    def _route(self, member: Member, link: str) -> Route:
        route = member.routes.get(link)
        if route is None:
            raise NotFoundError(NO_SUCH_LINK)
        return route


def _page(present: Collection[WorkerPresence]) -> list[WorkerPresence]:
    """As many of them as fit into a message, from the first on."""
    page: list[WorkerPresence] = []
    room = PAGE_BYTES
    for presence in present:
        room -= len(presence.model_dump_json().encode())
        if room < 0:
            break
        page.append(presence)
    return page


def _named(info: WorkerInfo, member: Member) -> WorkerInfo:
    # a worker without a name of its own is called as its token is
    return info if info.name else info.model_copy(update={"name": member.principal.name})


def _passed_on(message: Message) -> Message:
    # ids and answers to them are between one peer and the service: passed on, they could pose as its answer
    return message.model_copy(update={"id": None, "re": None})


def _refusal(message: Message, error: SleapRTCError) -> Message:
    if isinstance(message, Offer):
        return Gone(link=message.link, worker_id=message.worker_id, re=message.id, error=ErrorInfo.of(error))
    if isinstance(message, Answer | Reject | IceCandidate):
        return Gone(link=message.link, re=message.id, error=ErrorInfo.of(error))
    return Failure(re=message.id, error=ErrorInfo.of(error))
