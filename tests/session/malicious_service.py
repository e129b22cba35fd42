"""A service that lies: real peers meet over it, and it makes of their messages what it likes.

`Service` passes everything on as JSON, edited by a `Lie`. `ManInTheMiddle` ends both sides' DTLS itself and plays a
`Part` between the two. `meet` has a client and a worker meet over either, and tells in an `Outcome` what came of it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.identity import Identity
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, SleapRTCError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.jobs import JobShow
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.proof import LinkContext
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.protocol.signaling import SIGNALING
from sleap_rtc.session.link import LinkSettings, accept, dial
from sleap_rtc.session.session import Session
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.transport.base import BasePeer
from sleap_rtc.transport.channel import Channel, Peer
from tests.session.linked import CLIENT
from tests.transport.meeting import make_peer

WORKER = Identity(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = Identity(Ed25519PrivateKey.from_private_bytes(bytes(32)))
TIMES = Timeouts(gathering=0.2, connect=20, proof=10, keepalive=1, dead=20, bye=0.5, close=5)
JOB = JobShow(job="j_12345678")

Body = dict[str, Any]
Lie = Callable[[Body], list[Body]]
"""What arrives in the place of a message between a peer and the service."""
Data = str | bytes
Part = Callable[[Channel, Channel], Awaitable[None]]
"""What a man in the middle does with his two open channels, to the client and to the worker."""
Disguise = Callable[[str, str], str]
"""What fingerprint lines he writes into his own description, given the line of whom he poses as, and his own."""


def honest(body: Body) -> list[Body]:
    return [body]


class End:
    """What a peer has of the service."""

    def __init__(self, tell: Callable[[Body], Awaitable[None]]) -> None:
        self._tell = tell
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()

    async def send(self, message: Message) -> None:
        await self._tell(json.loads(SIGNALING.encode(message)))

    async def receive(self) -> Message:
        return await self.inbox.get()

    def hear(self, body: Body) -> None:
        message = SIGNALING.decode(json.dumps(body))
        assert message is not None
        self.inbox.put_nowait(message)


class Service:
    """Passes messages between one client and one worker, stamps offers, and remembers what was said."""

    def __init__(self, lie: Lie = honest) -> None:
        self.client, self.worker = End(self.from_client), End(self.from_worker)
        self.offers: list[Body] = []
        self._lie = lie

    async def from_client(self, body: Body) -> None:
        if body["type"] == "offer":
            body = stamped(body)
            self.offers.append(body)
        for each in self._lie(body):
            self.worker.hear(each)

    async def from_worker(self, body: Body) -> None:
        for each in self._lie(body):
            self.client.hear(each)

    def one_left(self) -> None:
        """Note that one of the two peers has gone."""

    async def close(self) -> None:
        """End what the service has running."""


def stamped(offer: Body, **stamp: str) -> Body:
    """The offer as the service passes it on: with its sender."""
    sender = CLIENT.model_copy(update={"session": offer["link"]} | stamp)
    return offer | {"from": sender.model_dump(mode="json", exclude_none=True)}


def fingerprint_line(sdp: str) -> str:
    return next(line for line in sdp.splitlines() if line.startswith("a=fingerprint:"))


class ManInTheMiddle(Service):
    """Answers the client itself, dials the worker itself, and plays a part between the two.

    Args:
        engines: of its peer towards the client, and of the one towards the worker.
        part: what it does once both connections are open.
        disguise: what it writes into the offer that it makes to the worker; its own line alone by default.
    """

    def __init__(self, engines: tuple[str, str], part: Part, disguise: Disguise = lambda theirs, own: own) -> None:
        super().__init__()
        self._disguise = disguise
        self._engines = engines
        self._part = part
        self._tasks: list[asyncio.Task[None]] = []
        self._playing = False
        self._stopped = False

    async def from_client(self, body: Body) -> None:
        if body["type"] == "offer":
            self.near, self.far = (make_peer(engine, TIMES) for engine in self._engines)
            self.offer = stamped(body)
            self._tasks.append(asyncio.create_task(self._stand_between(body["link"])))
        elif body.get("candidate"):
            await self.near.add_candidate(Candidate.model_validate(body["candidate"]))

    async def from_worker(self, body: Body) -> None:
        if body["type"] == "answer":
            await self.far.accept_answer(body["sdp"])
        elif body.get("candidate"):
            await self.far.add_candidate(Candidate.model_validate(body["candidate"]))

    async def _stand_between(self, link: str) -> None:
        async with self.near, self.far:
            answer = await self.near.accept_offer(self.offer["sdp"])
            self.client.hear({"type": "answer", "link": link, "sdp": answer})
            self.worker.hear(self.offer | {"sdp": self._disguised(await self.far.create_offer())})
            for peer, end in ((self.near, self.client), (self.far, self.worker)):
                self._tasks.append(asyncio.create_task(_trickle(peer, end, link)))
            client, worker = await asyncio.gather(self.near.wait_open(), self.far.wait_open())
            self._playing = True
            await self._part(client, worker)

    def _disguised(self, sdp: str) -> str:
        theirs, own = fingerprint_line(self.offer["sdp"]), fingerprint_line(sdp)
        return sdp.replace(own, self._disguise(theirs, own))

    def as_client(self) -> LinkContext:
        """What the worker and it agree on, where it is taken for the client."""
        return self._context(self.far.local_fingerprint, self.far.remote_fingerprint)

    def as_worker(self) -> LinkContext:
        """What the client and it agree on, where it is taken for the worker."""
        return self._context(self.near.remote_fingerprint, self.near.local_fingerprint)

    def _context(self, client: bytes, worker: bytes) -> LinkContext:
        return LinkContext(CLIENT.room, CLIENT.user, self.offer["link"], fp_client=client, fp_worker=worker)

    def one_left(self) -> None:
        if not self._playing:
            self._stop()

    def _stop(self) -> None:
        if not self._stopped:  # a second time would cut the closing of its peers short
            self._stopped = True
            for task in self._tasks:
                task.cancel()

    async def close(self) -> None:
        self._stop()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError | SleapRTCError), outcome


async def _trickle(peer: Peer, end: End, link: str) -> None:
    async for candidate in peer.candidates():
        end.hear({"type": "candidate", "link": link, "candidate": candidate.model_dump(exclude_none=True)})


async def relay(client: Channel, worker: Channel, *, read: list[Data] | None = None) -> None:
    """The part of who passes on everything as it is, and reads it."""

    async def pump(source: Channel, target: Channel) -> None:
        try:
            while True:
                data = await source.receive()
                if read is not None:
                    read.append(data)
                await target.send(data)
        except ConnectionLost:
            await asyncio.gather(source.close(), target.close())

    await asyncio.gather(pump(client, worker), pump(worker, client))


async def reflect(client: Channel, worker: Channel) -> None:
    """The part of who sends everything back to where it came from."""

    async def mirror(channel: Channel) -> None:
        try:
            while True:
                await channel.send(await channel.receive())
        except ConnectionLost:
            await asyncio.gather(client.close(), worker.close())

    # the client speaks second: it is given the worker's hello, and then hears itself
    await client.send(await worker.receive())
    await worker.send(json.dumps({"type": "hello.client", "v": 1, "epoch": 0, "nonce": "00" * 32}))
    await asyncio.gather(mirror(client), mirror(worker))


@dataclass
class Outcome:
    """What came of a meeting.

    Attributes:
        client: what `dial` raised, if anything; None also where its connection never opened.
        worker: the same of `accept`.
        sessions: how many sessions were handed to anybody.
        sent: what the client put on any channel of its own.
        connections: how many the client made.
        served: what the worker's handlers were asked.
    """

    client: BaseException | None = None
    worker: BaseException | None = None
    sessions: int = 0
    sent: list[Data] = field(default_factory=list)
    connections: int = 0
    served: list[Message] = field(default_factory=list)

    def assert_refused(self) -> None:
        """Nobody has a session, and of the client's job not a byte was sent."""
        assert self.sessions == 0
        assert self.served == []
        raised = [error for error in (self.client, self.worker) if error is not None]
        assert raised
        assert all(isinstance(error, SleapRTCError) for error in raised)
        assert {json.loads(data)["type"] for data in self.sent} <= {"proof.client", "error"}
        assert self.connections == 1

    def assert_refused_by_both(self) -> None:
        """The same, where the connection itself did open."""
        self.assert_refused()
        assert self.client is not None
        assert self.worker is not None


@dataclass
class Meeting:
    """Who meets: the engines of client and worker, what both know, and the worker's key."""

    engines: tuple[str, str] = ("libwebrtc", "aiortc")
    client_secrets: tuple[RoomSecret, ...] = ()
    worker_secrets: tuple[RoomSecret, ...] = ()
    identity: Identity = WORKER
    times: Timeouts = TIMES

    async def over(self, service: Service) -> Outcome:
        """Have the client ask the worker about a job."""
        outcome = Outcome()
        clients: list[Peer] = []
        workers: list[Peer] = []

        def new_client() -> Peer:
            clients.append(_noting(make_peer(self.engines[0], self.times), outcome.sent))
            return clients[-1]

        def new_worker() -> Peer:
            workers.append(make_peer(self.engines[1], self.times))
            return workers[-1]

        async def show(session: Session, message: Message) -> Message:
            outcome.served.append(message)
            return Done()

        at_client = LinkSettings(new_client, self.times)
        at_worker = LinkSettings(new_worker, self.times, handlers={JobShow: show})
        async with boards(service) as (client, worker):
            dialling = asyncio.create_task(self._dial(client, at_client, outcome))
            accepting = asyncio.create_task(self._accept(worker, at_worker, outcome))
            try:
                await asyncio.wait([dialling, accepting], return_when=asyncio.FIRST_COMPLETED)
                service.one_left()
                for side, peers in ((dialling, clients), (accepting, workers)):
                    if not side.done() and not _opened(peers):
                        side.cancel()  # the other end was refused: what is not open now never will be
                await asyncio.wait([dialling, accepting])
            finally:
                dialling.cancel()
                accepting.cancel()
                found = await asyncio.gather(dialling, accepting, return_exceptions=True)
                await service.close()
        outcome.client, outcome.worker = (
            None if isinstance(error, asyncio.CancelledError) else error for error in found
        )
        outcome.connections = len(clients)
        return outcome

    async def _dial(self, board: Switchboard, settings: LinkSettings, outcome: Outcome) -> None:
        async with dial(board, CLIENT, WORKER.worker_id, settings, secrets=self.client_secrets) as session:
            outcome.sessions += 1
            await session.request(JOB, Done)

    async def _accept(self, board: Switchboard, settings: LinkSettings, outcome: Outcome) -> None:
        offer = await board.offers.get()
        async with accept(board, offer, self.identity, settings, secrets=self.worker_secrets) as session:
            outcome.sessions += 1
            await session.wait_closed()


@asynccontextmanager
async def boards(service: Service) -> AsyncIterator[tuple[Switchboard, Switchboard]]:
    """The switchboards of client and worker, running."""
    client, worker = Switchboard(service.client), Switchboard(service.worker)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(client.run()), tasks.create_task(worker.run())]
        yield client, worker
        for task in running:
            task.cancel()


def _opened(peers: list[Peer]) -> bool:
    return bool(peers) and isinstance(peers[0], BasePeer) and peers[0].channel.settled.is_set()


def _noting(peer: Peer, sent: list[Data]) -> Peer:
    send = peer.channel.send

    async def note_and_send(data: Data) -> None:
        sent.append(data)
        await send(data)

    peer.channel.send = note_and_send  # type: ignore[method-assign]
    return peer
