"""Two peers that meet over an in-memory service: what session, transfer and role tests stand on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.identity import Identity
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.signaling import Offer, Principal
from sleap_rtc.session.link import LinkSettings, accept, dial
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.transport.channel import Peer
from sleap_rtc.transport.memory import MemoryPeer

SHORT = Timeouts(
    gathering=0.5,
    connect=5,
    proof=1,
    keepalive=0.05,
    dead=0.4,
    bye=0.3,
    close=0.5,
    request=5,
    reconnect_first=0.01,
    disk=0.1,
)
STEADY = replace(SHORT, keepalive=1.0, dead=20.0)
"""For tests that move many bytes: a machine that is busy with them must not be taken for a dead peer."""
CLIENT = Principal(user="u_client00", name="ada", role="client", room="r_room0000", session="p_client00")


class MemorySignaler:
    """One end of a service that passes messages on and stamps offers."""

    def __init__(self, rewrite: Callable[[Message], Message | None] = lambda message: message) -> None:
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.other: MemorySignaler | None = None
        self.rewrite = rewrite

    async def send(self, message: Message) -> None:
        assert self.other
        if isinstance(message, Offer):
            message = message.model_copy(update={"sender": CLIENT.model_copy(update={"session": message.link})})
        changed = self.rewrite(message)
        if changed is not None:
            await self.other.inbox.put(changed)

    async def receive(self) -> Message:
        return await self.inbox.get()


@dataclass
class Meeting:
    """Both switchboards, the worker's key, and the peers made so far."""

    client: Switchboard
    worker: Switchboard
    identity: Identity
    peers: list[Peer]
    client_settings: LinkSettings
    worker_settings: LinkSettings


@asynccontextmanager
async def meeting(
    *,
    timeouts: Timeouts = SHORT,
    client_handlers: Handlers | None = None,
    worker_handlers: Handlers | None = None,
    client_producers: Producers | None = None,
    worker_producers: Producers | None = None,
    new_peer: Callable[[], Peer] | None = None,
    rewrite: Callable[[Message], Message | None] = lambda message: message,
) -> AsyncIterator[Meeting]:
    """Run two switchboards joined by a service; `rewrite` is what a malicious one does to each message."""
    peers: list[Peer] = []

    def make() -> Peer:
        peers.append(new_peer() if new_peer else MemoryPeer(timeouts=timeouts))
        return peers[-1]

    one, two = MemorySignaler(rewrite), MemorySignaler(rewrite)
    one.other, two.other = two, one
    settings = LinkSettings(new_peer=make, timeouts=timeouts)
    found = Meeting(
        Switchboard(one),
        Switchboard(two),
        Identity(Ed25519PrivateKey.generate()),
        peers,
        replace(settings, handlers=client_handlers or {}, producers=client_producers or {}),
        replace(settings, handlers=worker_handlers or {}, producers=worker_producers or {}),
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(found.client.run()), tasks.create_task(found.worker.run())]
        yield found
        for task in running:
            task.cancel()


@asynccontextmanager
async def linked(found: Meeting, *, pinned_key: bytes | None = None) -> AsyncIterator[tuple[Session, Session]]:
    """Dial and accept; yield the client's and the worker's session."""
    sessions: asyncio.Queue[Session] = asyncio.Queue()

    async def serve() -> None:
        offer = await found.worker.offers.get()
        async with accept(found.worker, offer, found.identity, found.worker_settings) as session:
            await sessions.put(session)
            await session.wait_closed()

    serving = asyncio.get_running_loop().create_task(serve())
    try:
        async with dial(
            found.client, CLIENT, found.identity.worker_id, found.client_settings, pinned_key=pinned_key
        ) as session:
            yield session, await sessions.get()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@asynccontextmanager
async def accepting(found: Meeting, *, hang_up: bool = False) -> AsyncIterator[None]:
    """Be a worker that accepts every offer while the body runs; with `hang_up` it leaves each link at once."""

    async def serve(offer: Offer) -> None:
        async with accept(found.worker, offer, found.identity, found.worker_settings) as session:
            if not hang_up:
                await session.wait_closed()

    async def accept_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(serve(await found.worker.offers.get()))

    running = asyncio.get_running_loop().create_task(accept_all())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
