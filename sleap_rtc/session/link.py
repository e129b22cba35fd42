"""Dialling a worker and accepting a client: offer, answer, candidates, connection, proof, session."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from secrets import token_bytes

from sleap_rtc.config.identity import Identity
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ProtocolError, SleapRTCError, UnreachableError, ungrouped
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.proof import ClientExchange, LinkContext, Proven, WorkerExchange
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.signaling import Answer, Gone, IceCandidate, Offer, Principal, Reject
from sleap_rtc.protocol.streams import MAX_LANES
from sleap_rtc.session.handshake import prove
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.switchboard import LinkMessage, Switchboard
from sleap_rtc.transport.channel import Channel, Peer


@dataclass(frozen=True)
class LinkSettings:
    """What all links of a peer have in common.

    Attributes:
        new_peer: makes a connection of the chosen engine.
        timeouts: how long to wait for what.
        handlers: what answers the other side's requests.
        producers: what answers its stream requests.
        max_lanes: how many lanes this side may want for what it receives.
        abilities: what this end can do, by name.
    """

    new_peer: Callable[[], Peer]
    timeouts: Timeouts = field(default_factory=Timeouts)
    handlers: Handlers = field(default_factory=dict)
    producers: Producers = field(default_factory=dict)
    max_lanes: int = MAX_LANES
    abilities: tuple[str, ...] = ()


@asynccontextmanager
async def dial(
    board: Switchboard,
    principal: Principal,
    worker_id: str,
    settings: LinkSettings,
    *,
    secrets: tuple[RoomSecret, ...] = (),
    pinned_key: bytes | None = None,
    on_proven: Callable[[Proven], None] | None = None,
) -> AsyncIterator[Session]:
    """Open a link to a worker and serve it while the body runs.

    Args:
        board: the signaling connection.
        principal: who the service says we are.
        worker_id: whom to dial.
        settings: what our links have in common.
        secrets: the room's secrets, the newest first; with any, a worker that knows none of them is refused.
        pinned_key: the worker's key, where it is known.
        on_proven: told the proof's outcome, before anything else is sent.

    Raises:
        UnreachableError: if the worker is not there or no connection comes about.
        AuthenticationError: if it does not prove itself.
    """
    link = new_id("link", token_bytes(15))
    async with settings.new_peer() as peer:
        with board.mailbox(link) as box:
            offer = await peer.create_offer()
            await board.send(Offer(link=link, worker_id=worker_id, sdp=offer))
            channel = await _connect(board, link, box, peer, settings.timeouts)
        context = LinkContext(
            room=principal.room,
            user=principal.user,
            session=link,
            fp_client=peer.local_fingerprint,
            fp_worker=peer.remote_fingerprint,
            secrets=secrets,
        )
        exchange = ClientExchange(
            context,
            worker_id=worker_id,
            nonce=token_bytes(32),
            pinned_key=pinned_key,
            abilities=settings.abilities,
        )
        proven = await prove(channel, exchange, timeout=settings.timeouts.proof)
        if on_proven:
            on_proven(proven)
        session = _session(channel, peer, settings, proven, dialled=True, remote=worker_id)
        async with session.running():
            yield session


@asynccontextmanager
async def accept(
    board: Switchboard,
    offer: Offer,
    identity: Identity,
    settings: LinkSettings,
    *,
    secrets: tuple[RoomSecret, ...] = (),
) -> AsyncIterator[Session]:
    """Take up a client's offer and serve the link while the body runs.

    Args:
        board: the signaling connection the offer came by.
        offer: the offer, its sender stamped by the service.
        identity: the worker's key.
        settings: what our links have in common.
        secrets: the room's secrets, the newest first; with any, a client that knows none of them is refused.

    Raises:
        UnreachableError: if no connection comes about.
        AuthenticationError: if the client does not prove itself.
    """
    sender = offer.sender
    if sender is None:
        raise ProtocolError("An offer arrived that the service did not stamp.")
    try:
        made = settings.new_peer()
    except SleapRTCError as error:  # whoever dialled would wait for nothing
        await board.reject(offer.link, error)
        raise
    async with made as peer:
        with board.mailbox(offer.link) as box:
            answer = await peer.accept_offer(offer.sdp)
            await board.send(Answer(link=offer.link, sdp=answer))
            channel = await _connect(board, offer.link, box, peer, settings.timeouts)
        context = LinkContext(
            room=sender.room,
            user=sender.user,
            session=offer.link,
            fp_client=peer.remote_fingerprint,
            fp_worker=peer.local_fingerprint,
            secrets=secrets,
        )
        exchange = WorkerExchange(
            context,
            public_key=identity.public_key,
            sign=identity.sign,
            nonce=token_bytes(32),
            abilities=settings.abilities,
        )
        proven = await prove(channel, exchange, timeout=settings.timeouts.proof)
        session = _session(channel, peer, settings, proven, dialled=False, remote=sender.user)
        async with session.running():
            yield session


def _session(
    channel: Channel, peer: Peer, settings: LinkSettings, proven: Proven, *, dialled: bool, remote: str
) -> Session:
    return Session(
        channel,
        dialled=dialled,
        new_peer=settings.new_peer,
        handlers=settings.handlers,
        producers=settings.producers,
        max_lanes=settings.max_lanes,
        timeouts=settings.timeouts,
        abilities=proven.abilities,
        remote=remote,
        binding=proven.binding,
        path=peer.path,
    )


async def _connect(
    board: Switchboard, link: str, box: asyncio.Queue[LinkMessage], peer: Peer, timeouts: Timeouts
) -> Channel:
    """Exchange what is left of offer, answer and candidates until the channel is open."""
    try:
        with ungrouped():
            async with asyncio.timeout(timeouts.connect), asyncio.TaskGroup() as tasks:
                helpers = (tasks.create_task(_read_box(box, peer)), tasks.create_task(_trickle(board, link, peer)))
                channel = await peer.wait_open()
                for task in helpers:
                    task.cancel()
                return channel
    except TimeoutError:
        raise UnreachableError(peer.no_way(timeouts.connect)) from None


async def _read_box(box: asyncio.Queue[LinkMessage], peer: Peer) -> None:
    while True:
        message = await box.get()
        match message:
            case Answer():
                await peer.accept_answer(message.sdp)
            case IceCandidate() if message.candidate:
                await peer.add_candidate(message.candidate)
            case Reject() if message.error:
                raise message.error.as_exception()
            case Reject() | Gone():
                sentence = message.error.as_exception().sentence if message.error else "The other side is not there."
                # whatever the service calls it: for whoever dials, a peer that is not there may be there again
                raise UnreachableError(sentence)


async def _trickle(board: Switchboard, link: str, peer: Peer) -> None:
    async for candidate in peer.candidates():
        await board.send(IceCandidate(link=link, candidate=candidate))
    await board.send(IceCandidate(link=link))
