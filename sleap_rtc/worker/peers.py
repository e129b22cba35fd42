"""Workers of one room, which fetch models from each other and do nothing else together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from sleap_rtc.config.identity import Identity
from sleap_rtc.errors import (
    AuthenticationError,
    ForbiddenError,
    NotFoundError,
    ProtocolError,
    SleapRTCError,
    StorageError,
    UnreachableError,
)
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.model_messages import digest_of
from sleap_rtc.protocol.peers import ABILITY, PeerProve, check_peer, peer_text
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.signaling import Principal
from sleap_rtc.session.link import LinkSettings, dial
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.signaling.client import SignalingClient
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.worker.model_service import ModelDesk

logger = logging.getLogger(__name__)

T = TypeVar("T")


class PeerService:
    """Answers one worker that dialled: nothing before it has proven its key, and then only with models of its room.

    Args:
        stamp: who the service says it is.
        desk: the models of the worker that was dialled.
    """

    def __init__(self, stamp: Principal, desk: ModelDesk) -> None:
        self._room = stamp.room
        self._worker = stamp.worker or ""
        self._desk = desk
        self._proven = False

    @property
    def handlers(self) -> Handlers:
        """What answers the worker's requests."""
        return {PeerProve: self._prove}

    @property
    def producers(self) -> Producers:
        """What answers the worker's stream requests."""
        return Provider(self._offering).producers

    async def _prove(self, session: Session, message: PeerProve) -> Message:
        try:
            check_peer(message, session.binding, self._worker)
        except AuthenticationError as error:
            session.dismiss(error)
            raise
        self._proven = True
        return Done()

    async def _offering(self, transfer: str) -> Offering:
        if not self._proven:
            raise ForbiddenError("A worker proves its key before it asks another one for a model.")
        return await self._desk.offering(self._room, digest_of(transfer) or "")


class Peers:
    """The other workers of the room, as this one dials them.

    Args:
        signaling: this worker's connection to the service.
        board: sorts what that delivers.
        identity: this worker's key.
        settings: what its links have in common.
        secrets: the room's secrets, the newest first; asked for in a thread at each link.
    """

    def __init__(
        self,
        signaling: SignalingClient,
        board: Switchboard,
        identity: Identity,
        settings: LinkSettings,
        secrets: Callable[[], tuple[RoomSecret, ...]],
    ) -> None:
        self._signaling = signaling
        self._board = board
        self._identity = identity
        self._settings = settings
        self._secrets = secrets

    @property
    def room(self) -> str:
        """The room's id, once the service was reached."""
        return self._signaling.principal.room

    @asynccontextmanager
    async def dial(self, worker_id: str) -> AsyncIterator[Session]:
        """Open a link to another worker of the room; both have proven their keys when the body begins.

        Raises:
            UnreachableError: if it is not there, or no connection comes about.
            AuthenticationError: if one of the two does not prove itself to the other.
            ProtocolError: if it is too old to give models to workers.
        """
        await self._signaling.welcome()
        secrets = await asyncio.to_thread(self._secrets)
        principal = self._signaling.principal
        async with dial(self._board, principal, worker_id, self._settings, secrets=secrets) as session:
            if ABILITY not in session.abilities:
                raise ProtocolError("The other worker's sleap-rtc is too old to give models to workers: upgrade it.")
            signature = self._identity.sign(peer_text(session.binding))
            message = PeerProve(public_key=self._identity.public_key.hex(), signature=signature.hex())
            await session.request(message, Done)
            yield session

    async def fetch(self, digest: str, work: Callable[[Session], Awaitable[T]]) -> T:
        """Do something over a link to a worker that holds a model; over one to the next if that comes to nothing.

        Args:
            digest: the model's bundle.
            work: what to do: it may be begun again on another link.

        Raises:
            NotFoundError: if no worker that is online holds it.
            StorageError: if this worker's disk refuses.
            UnreachableError: if no holder could be used, with what went wrong at the last one.
        """
        problem: SleapRTCError | None = None
        for holder in await self._signaling.holders(digest):
            try:
                async with self.dial(holder.worker_id) as session:
                    return await work(session)
            except StorageError:
                raise
            except SleapRTCError as error:
                logger.info("The model %s cannot be had from %s: %s", digest[:12], holder.name, error)
                problem = error
        if problem is None:
            raise NotFoundError(
                "No other worker of the room that is online holds this model. 'sleap-rtc models show' tells who does."
            )
        raise UnreachableError(f"No holder of the model could give it to this worker: {problem.sentence}") from problem
