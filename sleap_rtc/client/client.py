"""The client: joins a room through the service and reaches its workers."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from sleap_rtc.client.acquaintance import Acquaintance, Encounter, OnMet
from sleap_rtc.client.link import OnState, WorkerLink
from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.client.remote import Place, RemoteWorker
from sleap_rtc.config.known_workers import KnownWorkers
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.servers import normal_server
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.inference import ABILITY as TRACK
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.session_string import SessionString
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.session.link import LinkSettings
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.signaling.client import ServiceState, SignalingClient
from sleap_rtc.signaling.token_source import TokenSource
from sleap_rtc.transport.channel import Peer
from sleap_rtc.transport.engines import Engine, new_peer

ABILITIES = ("train", TRACK)

FindSecrets = Callable[[str, str], tuple[RoomSecret, ...]]
"""The secrets of a service's room, the newest first: its address, the room's id. Called in a thread at each dial."""


class Client:
    """A connection to a room; made by `join`.

    Args:
        server: the service's address, as `normal_server` writes it.
        signaling: the connection to the service.
        board: sorts what it delivers.
        tasks: owns what runs as long as the client.
        engine: which WebRTC engine to use.
        timeouts: how long to wait for what.
        limits: what transfers may use.
        by_string: whether a session string led here.
        on_met: told of each worker that is remembered.
        secrets: finds the secrets of a room.
    """

    def __init__(
        self,
        server: str,
        signaling: SignalingClient,
        board: Switchboard,
        tasks: asyncio.TaskGroup,
        *,
        engine: Engine,
        timeouts: Timeouts,
        limits: TransferLimits,
        secrets: FindSecrets,
        by_string: bool = False,
        on_met: OnMet = lambda met: None,
    ) -> None:
        self._server = server
        self._signaling = signaling
        self._board = board
        self._tasks = tasks
        self._engine = engine
        self._timeouts = timeouts
        self._limits = limits
        self._by_string = by_string
        self._on_met = on_met
        self._secrets = secrets

    @classmethod
    @asynccontextmanager
    async def join(
        cls,
        server: str,
        token: str | TokenSource,
        *,
        room: str | None = None,
        engine: Engine = "auto",
        timeouts: Timeouts | None = None,
        limits: TransferLimits | None = None,
        secrets: FindSecrets | None = None,
        on_service: Callable[[ServiceState], None] | None = None,
        on_met: OnMet = lambda met: None,
        by_string: bool = False,
    ) -> AsyncIterator["Client"]:
        """Join a room.

        Args:
            server: the service's address.
            token: the credential, for example of a session string, which belongs to one room; or where it comes from,
                for example the user's `Account`.
            room: the id of the room; a login needs it, as its user may belong to several.
            engine: which WebRTC engine to use.
            timeouts: how long to wait for what.
            limits: what transfers may use.
            secrets: finds the secrets of a room; what the environment, the files and this machine say by default.
            on_service: told when the service is lost and found again; links stay up meanwhile.
            on_met: told of each worker that is met for the first time, or under a new name, once it has proven itself.
            by_string: whether the token is a session string's, which says itself which worker is meant.

        Raises:
            AuthenticationError: if the service refuses the token.
            NotFoundError: if there is no such room for this user.
            UnreachableError: if the service cannot be reached.
        """
        timeouts = timeouts or Timeouts()
        limits = limits or TransferLimits()
        secrets = secrets or SecretLookup.of_this_machine().secrets
        failure: BaseException | None = None
        async with (
            SignalingClient(server, token, timeouts=timeouts, room=room, on_state=on_service) as signaling,
            asyncio.TaskGroup() as tasks,
        ):
            running = []
            try:
                await signaling.welcome()
                board = Switchboard(signaling)
                running.append(tasks.create_task(_read(board)))
                yield cls(
                    normal_server(server), signaling, board, tasks, engine=engine, timeouts=timeouts, limits=limits,
                    secrets=secrets, by_string=by_string, on_met=on_met,
                )  # fmt: skip
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised below, outside the groups
                failure = error
            for task in running:
                task.cancel()
        if failure:
            raise failure

    async def workers(self) -> list[WorkerPresence]:
        """The workers of the room that are online."""
        return await self._signaling.workers()

    @asynccontextmanager
    async def dial(
        self,
        worker_id: str,
        *,
        name: str = "",
        session: str = "",
        on_state: OnState = lambda state, reason: None,
    ) -> AsyncIterator[RemoteWorker]:
        """Open a link to a worker, kept up as long as the body runs.

        Args:
            worker_id: whom to dial.
            name: what the room calls the worker: the id must be the one that this machine knows under that name.
                Without a name the id alone says who is meant.
            session: the session string that led here, for the journal: with it the worker is found again.
            on_state: told when the link is made, lost and restored.

        Raises:
            UnreachableError: if the worker is not online or no connection comes about.
            AuthenticationError: if it does not prove itself, another worker is known under that name, or the room has a
                secret that is not known here.
        """
        place = Place(self._server, self._signaling.principal.room, name, session)
        worker = RemoteWorker(PendingJobs(), place, max_store=self._limits.max_store)
        settings = LinkSettings(
            new_peer=self._new_peer,
            timeouts=self._timeouts,
            handlers=worker.handlers,
            producers=worker.producers,
            max_lanes=self._limits.max_lanes,
            abilities=ABILITIES,
        )
        worker.link = WorkerLink(
            self._board,
            lambda: self._signaling.principal,
            worker_id,
            settings,
            acquaintance=self._acquaintance(worker_id, name),
            secrets=lambda: self._secrets(self._server, place.room),
            on_state=on_state,
        )
        keeping_up = self._tasks.create_task(worker.link.run())
        try:
            await worker.link.session()
            yield worker
        finally:
            keeping_up.cancel()
            # the link says its bye while it is being cancelled
            await asyncio.wait({keeping_up})

    def _acquaintance(self, worker_id: str, name: str) -> Acquaintance | None:
        if self._by_string or not name:
            return None
        encounter = Encounter(self._server, self._signaling.principal.room, name, worker_id)
        return Acquaintance(encounter, KnownWorkers(), self._on_met)

    def _new_peer(self) -> Peer:
        return new_peer(
            self._engine,
            ice_servers=self._signaling.ice_servers,
            timeouts=self._timeouts,
            allow_loopback=self._signaling.is_local,
            relay_only=self._limits.relay_only,
        )


async def _read(board: Switchboard) -> None:
    try:
        await board.run()
    except SleapRTCError:
        # the service is gone for good: links go on, and dialling says so when it is tried
        return


@asynccontextmanager
async def join_session(
    text: str,
    *,
    default_server: str,
    engine: Engine = "auto",
    timeouts: Timeouts | None = None,
    limits: TransferLimits | None = None,
    secrets: FindSecrets | None = None,
    on_service: Callable[[ServiceState], None] | None = None,
    on_state: OnState = lambda state, reason: None,
) -> AsyncIterator[tuple[RemoteWorker, WorkerPresence]]:
    """Reach the one worker that a session string names.

    Args:
        text: ``sleap-session:…`` as the worker printed it.
        default_server: the service to use where the string names none.
        engine: which WebRTC engine to use.
        timeouts: how long to wait for what.
        limits: what transfers may use.
        secrets: see `Client.join`.
        on_service: see `Client.join`.
        on_state: see `Client.dial`.

    Raises:
        UsageError: if the string is malformed.
        AuthenticationError: if it expired.
        UnreachableError: if service or worker cannot be reached.
    """
    async with enter_session(
        text, default_server=default_server, engine=engine, timeouts=timeouts, limits=limits, secrets=secrets,
        on_service=on_service,
    ) as (client, presence):  # fmt: skip
        # the journal keeps the string with its server: what the default is may change
        string = SessionString.decode(text)
        session = replace(string, server=string.server or normal_server(default_server)).encode()
        async with client.dial(presence.worker_id, name=presence.name, session=session, on_state=on_state) as worker:
            yield worker, presence


@asynccontextmanager
async def enter_session(
    text: str,
    *,
    default_server: str,
    engine: Engine = "auto",
    timeouts: Timeouts | None = None,
    limits: TransferLimits | None = None,
    secrets: FindSecrets | None = None,
    on_service: Callable[[ServiceState], None] | None = None,
) -> AsyncIterator[tuple[Client, WorkerPresence]]:
    """Join the room of a session string, and find the worker that it names; see `join_session`."""
    session = SessionString.decode(text)
    server = session.server or default_server
    async with Client.join(
        server, session.token, room=session.room_id, engine=engine, timeouts=timeouts, limits=limits, secrets=secrets,
        on_service=on_service, by_string=True,
    ) as client:  # fmt: skip
        online = {presence.worker_id: presence for presence in await client.workers()}
        presence = online.get(session.worker_id)
        if presence is None:
            raise UnreachableError(
                "The worker of this session string is not online. See whether 'sleap-rtc worker' still runs there, "
                "then try again."
            )
        if session.key and hashlib.sha256(bytes.fromhex(presence.public_key)).hexdigest() != session.key:
            raise AuthenticationError(
                "The worker that answers to this session string has another key than the one that made it. "
                "Ask its owner for a new string."
            )
        yield client, presence
