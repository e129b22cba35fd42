"""A peer's WebSocket to the service: registers, passes messages, and comes back by itself after a loss.

Links live elsewhere and outlive this: nothing here ever ends one.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ForbiddenError, ProtocolError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.ids import check_id, worker_id_from_key
from sleap_rtc.protocol.reports import ModelRegistered, RegisterModel, Reported, ReportJobs, ReportModels
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.protocol.signaling import (
    CLOSE_REVOKED,
    MAX_UNPROVEN,
    MAX_VISITORS,
    SIGNALING,
    Departed,
    HolderList,
    Holders,
    IceServers,
    Lease,
    Leased,
    Principal,
    Register,
    Registered,
    Update,
    Visitor,
    Welcome,
    WorkerInfo,
    WorkerList,
    WorkerPresence,
    Workers,
    registration_text,
)
from sleap_rtc.signaling.address import service_address
from sleap_rtc.signaling.backoff import backoff
from sleap_rtc.signaling.policy import classify
from sleap_rtc.signaling.socket import Socket, open_socket
from sleap_rtc.signaling.token_source import TokenSource, as_source

logger = logging.getLogger(__name__)

UNAUTHORIZED = 401
INBOX = 1024
"""Messages kept for a reader that is busy; beyond it new ones are dropped, and their peers dial again."""


@dataclass(frozen=True)
class Registration:
    """How a worker makes itself known.

    Attributes:
        public_key: its raw Ed25519 key.
        sign: signs bytes with that key.
        name: what it is called; empty for the name of its token.
        info: what it says about itself.
    """

    public_key: bytes
    sign: Callable[[bytes], bytes]
    name: str
    info: WorkerInfo


@dataclass(frozen=True)
class ServiceState:
    """Whether the service can be heard just now.

    Attributes:
        connected: true once welcomed (a worker: registered).
        error: why not, when the connection was lost or could not be made.
        final: whether it will not be tried again.
    """

    connected: bool
    error: SleapRTCError | None = None
    final: bool = False


class SignalingClient:
    """The connection to a signaling service, used as ``async with SignalingClient(…) as client``.

    Args:
        server: the service's address.
        token: the credential, or where it comes from at each connection.
        timeouts: waiting times.
        room: the id of the room to enter: a user's login needs it, another credential is only checked against it.
        registration: a worker's; None for a client.
        patient: whether a first attempt that fails is tried again for ever (a worker) or reported (a client).
        on_state: called at every change between connected and lost.

    Attributes:
        deletions: how often a worker was told that its room has deleted a model that it has.
    """

    def __init__(
        self,
        server: str,
        token: str | TokenSource,
        *,
        timeouts: Timeouts,
        room: str | None = None,
        registration: Registration | None = None,
        patient: bool = False,
        on_state: Callable[[ServiceState], None] | None = None,
    ) -> None:
        self._address = service_address(server)
        self._address.check_private()
        self._source = as_source(token)
        self._room = None if room is None else check_id("room", room)
        self._timeouts = timeouts
        self._registration = registration
        self._patient = patient
        self._on_state = on_state
        self._tasks = asyncio.TaskGroup()
        self._inbox: asyncio.Queue[Message] = asyncio.Queue(INBOX)
        self._pending: dict[int, asyncio.Future[Message]] = {}
        self._ids = itertools.count(1)
        self.deletions = 0
        self._socket: Socket | None = None
        self._welcome: Welcome | None = None
        self._failure: SleapRTCError | None = None
        self._state = ServiceState(connected=False)
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._runner = self._tasks.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.cancel()
        # the group only needs to know of a cancellation; it would wrap any other error of the block in a group
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:
            await self._tasks.__aexit__(None, None, None)

    async def welcome(self) -> Welcome:
        """Wait until the service can be heard, and return what it said first.

        Raises:
            SleapRTCError: if that will never be: a refused credential, or a first attempt that failed.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._state.connected or self._failure is not None)
        if self._failure is not None:
            raise self._failure
        assert self._welcome is not None  # noqa: S101 - connected says so
        return self._welcome

    @property
    def principal(self) -> Principal:
        """Who the service says we are (after `welcome`)."""
        return self._latest().principal

    @property
    def is_local(self) -> bool:
        """Whether the service is on this machine: then its other peers may be as well, and loopback leads to them."""
        return self._address.local

    @property
    def ice_servers(self) -> list[IceServer]:
        """The STUN and TURN servers to use (after `welcome`): the newest ones, as their credentials end."""
        return self._latest().ice_servers

    async def send(self, message: Message) -> None:
        """Send a message now. Nothing is kept for later: an offer belongs to the connection it was made on.

        Raises:
            ConnectionLost: if the service cannot be heard just now.
            SleapRTCError: if it will not be heard again.
        """
        await self._connected_socket().send(SIGNALING.encode(message))

    async def receive(self) -> Message:
        """The next offer, answer, candidate, reject or gone. Goes on across reconnects.

        Raises:
            SleapRTCError: once the service will not be heard again and nothing is left to read.
        """
        if self._failure is not None and self._inbox.empty():
            raise self._failure
        message = await self._inbox.get()
        if isinstance(message, _Final):
            self._inbox.put_nowait(message)  # for whoever reads next
            raise self._failure or ConnectionLost("The connection to the signaling service was closed.")
        return message

    async def workers(self) -> list[WorkerPresence]:
        """The workers of our room, ordered by id.

        Raises:
            ConnectionLost: if the service was lost before it answered.
            UnreachableError: if it did not answer in time.
        """
        await self.welcome()
        found: list[WorkerPresence] = []
        while True:
            after = found[-1].worker_id if found else None
            answer = await self._ask(Workers(id=next(self._ids), after=after))
            if not isinstance(answer, WorkerList):
                raise ProtocolError("The signaling service gave an answer to another question.")
            found += answer.workers
            if not answer.more or not answer.workers:
                return found

    async def holders(self, digest: str) -> list[WorkerPresence]:
        """Other workers of a worker's room that are online and hold the bundle of this digest, or some of them.

        Raises:
            ConnectionLost: if the service cannot be heard just now.
            UnreachableError: if it did not answer in time.
        """
        return (await self._held(digest)).workers

    async def is_named(self, digest: str) -> bool:
        """Whether a worker's room has a name for the bundle of this digest.

        Raises:
            ConnectionLost, UnreachableError: as `holders` does.
        """
        return (await self._held(digest)).named

    async def _held(self, digest: str) -> HolderList:
        await self.welcome()
        answer = await self._ask(Holders(id=next(self._ids), digest=digest))
        if not isinstance(answer, HolderList):
            raise ProtocolError("The signaling service gave an answer to another question.")
        return answer

    async def departed(self, visitors: Sequence[Visitor]) -> list[Departed]:
        """Ask which of the people behind a worker's links may not be there any more.

        Raises:
            ConnectionLost: if the service cannot be heard just now.
            UnreachableError: if it did not answer in time.
        """
        found: list[Departed] = []
        for start in range(0, len(visitors), MAX_VISITORS):
            page = list(visitors[start : start + MAX_VISITORS])
            answer = await self._ask(Lease(id=next(self._ids), visitors=page))
            if not isinstance(answer, Leased):
                raise ProtocolError("The signaling service gave an answer to another question.")
            found += answer.departed
        return found

    async def update(self, info: WorkerInfo) -> None:
        """Say something new about this worker, now or at the next connection."""
        if self._registration is None:
            raise RuntimeError("a client says nothing about itself")
        self._registration = replace(self._registration, info=info)
        if self._state.connected:
            await self.send(Update(info=info))

    async def report(self, report: ReportJobs | ReportModels) -> Reported:
        """Tell the service of this worker's jobs or models, and return what it stored.

        Raises:
            ConnectionLost: if the service cannot be heard just now, or was lost before it answered.
            UnreachableError: if it did not answer in time.
            SleapRTCError: if it refused.
        """
        answer = await self._ask(report.model_copy(update={"id": next(self._ids)}))
        if not isinstance(answer, Reported):
            raise ProtocolError("The signaling service gave an answer to another question.")
        return answer

    async def register_model(self, name: str, digest: str) -> int:
        """Give a model that this worker has told of a name of the room, and return which version of it that is.

        Raises:
            ConnectionLost: if the service cannot be heard just now, or was lost before it answered.
            UnreachableError: if it did not answer in time.
            SleapRTCError: if it refused.
        """
        answer = await self._ask(RegisterModel(id=next(self._ids), name=name, digest=digest))
        if not isinstance(answer, ModelRegistered) or answer.name != name:
            raise ProtocolError("The signaling service gave an answer to another question.")
        return answer.version

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        pauses = self._pauses()
        welcomed = False
        while True:
            began = loop.time()
            try:
                await self._one_connection()
            except (OSError, WebSocketException, SleapRTCError) as error:
                verdict = classify(error, self._address.url)
            welcomed = welcomed or self._welcome is not None
            final = verdict.final or not (welcomed or self._patient)
            await self._lost(ServiceState(connected=False, error=verdict.error, final=final))
            if final:
                return
            # only a connection that held for a while starts the pauses afresh: one that is made and
            # dropped again and again must not become a storm
            if loop.time() - began > self._timeouts.reconnect_most:
                pauses = self._pauses()
            await asyncio.sleep(next(pauses))

    async def _one_connection(self) -> None:
        token = await self._source.token()
        try:
            await self._converse(token)
        except InvalidStatus as error:
            another = await self._another(error.response.status_code == UNAUTHORIZED, token, connected=False)
            if another is None:
                raise
            await self._converse(another)
        except ConnectionClosed as error:
            ended = error.rcvd is not None and error.rcvd.code == CLOSE_REVOKED
            if await self._another(ended, token, connected=True) is None:
                raise
            raise ConnectionLost("The credential of this connection has ended; it goes on with a new one.") from error

    async def _another(self, refused: bool, token: str, *, connected: bool) -> str | None:
        return await self._source.renewed(token, connected=connected) if refused else None

    async def _converse(self, token: str) -> None:
        async with open_socket(self._address, token, self._timeouts, self._room) as socket:
            async with asyncio.timeout(self._timeouts.connect):
                welcome = await socket.receive()
                if not isinstance(welcome, Welcome):
                    raise ProtocolError("The signaling service did not say welcome.")
                self._check_room(welcome)
                if self._registration is not None:
                    await self._register(socket, welcome, self._registration)
            self._socket, self._welcome = socket, welcome
            await self._enter(ServiceState(connected=True))
            while True:
                self._take(await socket.receive())

    def _check_room(self, welcome: Welcome) -> None:
        # what is known of a room, such as its secret, must not be left aside because the service leads to another one
        if self._room is not None and welcome.principal.room != self._room:
            raise ForbiddenError(
                f"The signaling service led to the room {welcome.principal.room} instead of {self._room}, so this ends "
                "here. Ask its operator."
            )

    async def _register(self, socket: Socket, welcome: Welcome, registration: Registration) -> None:
        worker_id = worker_id_from_key(registration.public_key)
        text = registration_text(bytes.fromhex(welcome.nonce), welcome.principal.room, worker_id)
        message = Register(
            id=next(self._ids),
            public_key=registration.public_key.hex(),
            signature=registration.sign(text).hex(),
            name=registration.name,
            info=registration.info,
        )
        whole = len(SIGNALING.encode(message).encode()) <= MAX_UNPROVEN
        if not whole:  # of a machine with dozens of GPUs; what does not fit yet follows
            message = message.model_copy(update={"info": registration.info.model_copy(update={"gpus": []})})
        await socket.send(SIGNALING.encode(message))
        answer = await socket.receive()
        if answer is not None and answer.error is not None:
            raise answer.error.as_exception()
        if not isinstance(answer, Registered) or answer.worker_id != worker_id:
            raise ProtocolError("The signaling service did not answer the registration.")
        if not whole:
            await socket.send(SIGNALING.encode(Update(info=registration.info)))

    def _take(self, message: Message | None) -> None:
        if message is None:
            return
        pending = self._pending.pop(message.re, None) if message.re is not None else None
        if pending is not None:
            if not pending.done():
                pending.set_result(message)
            return
        if isinstance(message, IceServers):
            self._welcome = self._latest().model_copy(update={"ice_servers": message.ice_servers})
            return
        if isinstance(message, Reported):
            self.deletions += message.re is None  # an answer for which nobody waits any more says nothing new
            return
        try:
            self._inbox.put_nowait(message)
        except asyncio.QueueFull:
            logger.warning("a %s message was dropped: nobody reads the %d before it", message.TYPE, INBOX)

    async def _ask(self, message: Message) -> Message:
        assert message.id is not None  # noqa: S101 - ours
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._pending[message.id] = answer
        try:
            async with asyncio.timeout(self._timeouts.request):
                await self.send(message)
                received = await answer
        except TimeoutError as error:
            raise UnreachableError(
                f"The signaling service at {self._address.url} did not answer in time. Try again."
            ) from error
        finally:
            self._pending.pop(message.id, None)
        if received.error is not None:
            raise received.error.as_exception()
        return received

    async def _lost(self, state: ServiceState) -> None:
        self._socket = None
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(ConnectionLost("The signaling service was lost before it answered."))
        self._pending.clear()
        if state.final:
            self._failure = state.error
            if not self._inbox.full():  # a full one has readers that look at _failure once it is empty
                self._inbox.put_nowait(_Final())
        await self._enter(state)

    async def _enter(self, state: ServiceState) -> None:
        before, self._state = self._state, state
        # repeated failures are one loss: whoever is told says it once
        news = state.connected != before.connected or state.final or before.error is None
        if news and self._on_state is not None:
            self._on_state(state)
        async with self._changed:
            self._changed.notify_all()

    def _connected_socket(self) -> Socket:
        if self._failure is not None:
            raise self._failure
        if self._socket is None:
            raise ConnectionLost("The signaling service cannot be heard just now; it is being called again.")
        return self._socket

    def _latest(self) -> Welcome:
        if self._welcome is None:
            raise RuntimeError("welcome() comes first")
        return self._welcome

    def _pauses(self) -> Iterator[float]:
        return backoff(self._timeouts.reconnect_first, self._timeouts.reconnect_most, random.random)


class _Final(Message):
    """Wakes a reader when nothing more will come; never sent."""
