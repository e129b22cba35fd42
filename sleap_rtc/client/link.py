"""The client's one relation to a worker: dialled again whenever it drops, until it is given up."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum, auto
from typing import TypeVar

from sleap_rtc.client.acquaintance import Acquaintance
from sleap_rtc.errors import AuthenticationError, ConnectionLost, ForbiddenError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.proof import Proven
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.protocol.signaling import Principal
from sleap_rtc.session.link import LinkSettings, dial
from sleap_rtc.session.session import Session
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.signaling.backoff import backoff
from sleap_rtc.transport.paths import NetworkPath

T = TypeVar("T")


class LinkState(Enum):
    """What a user is told about a link."""

    CONNECTED = auto()
    LOST = auto()
    RESTORED = auto()


OnState = Callable[[LinkState, str], None]
"""Told every change, with the reason where there is one."""


class WorkerLink:
    """A link that outlives its connections.

    Args:
        board: the signaling connection.
        principal: who the service says we are, asked for at each dial since it may change.
        worker_id: whom to dial.
        settings: what our links have in common.
        acquaintance: what is known of the worker; None where its id came from somebody who vouches for it.
        secrets: the room's secrets, the newest first; asked for in a thread at each dial, since they may be replaced.
        on_state: told when the link is made, lost and restored.
    """

    def __init__(
        self,
        board: Switchboard,
        principal: Callable[[], Principal],
        worker_id: str,
        settings: LinkSettings,
        *,
        acquaintance: Acquaintance | None,
        secrets: Callable[[], tuple[RoomSecret, ...]] = lambda: (),
        on_state: OnState = lambda state, reason: None,
    ) -> None:
        self.worker_id = worker_id
        self._board = board
        self._principal = principal
        self._settings = settings
        self._acquaintance = acquaintance
        self._secrets = secrets
        self._on_state = on_state
        self._session: asyncio.Future[Session] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Keep the link up until cancelled, or until it cannot be; whoever waits for it then gets the reason."""
        try:
            await self._dial_for_ever()
        except SleapRTCError as error:
            self._session.set_exception(error)
            self._session.exception()  # nobody may be waiting, and that is no reason for asyncio to complain

    async def session(self) -> Session:
        """Return the live session, waiting for one while the link is being made.

        Raises:
            SleapRTCError: if there will be none.
        """
        return await asyncio.shield(self._session)

    async def path(self) -> NetworkPath | None:
        """Which way the live link goes; None while there is none."""
        live = self._session.done() and not self._session.cancelled() and not self._session.exception()
        return await self._session.result().path() if live else None

    async def call(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """Run `work` on the link; if the link drops meanwhile, run it again on the next one.

        Args:
            work: something that may safely be done twice.

        Raises:
            SleapRTCError: what `work` raises while its link lives, or why there is no link any more.
        """
        while True:
            session = await self.session()
            try:
                return await work(session)
            except ConnectionLost:
                if session.close_reason is None:
                    raise
                self._forget(session)

    def _forget(self, session: Session) -> None:
        if self._session.done() and not self._session.exception() and self._session.result() is session:
            self._session = asyncio.get_running_loop().create_future()

    async def _dial_for_ever(self) -> None:
        timeouts = self._settings.timeouts
        loop = asyncio.get_running_loop()
        began = loop.time()
        reason = await self._serve_once(LinkState.CONNECTED)
        pauses = self._pauses()
        lost_at = loop.time()
        while True:
            # only a link that held for a while counts as healed: one that comes and goes must not become a storm
            if loop.time() - began > timeouts.reconnect_most:
                pauses, lost_at = self._pauses(), loop.time()
            if isinstance(reason, ConnectionLost):
                self._on_state(LinkState.LOST, reason.sentence)
            pause = next(pauses)
            if loop.time() + pause - lost_at > timeouts.give_up:
                raise UnreachableError(
                    f"The worker {self.worker_id} could not be reached again for {timeouts.give_up:g} s "
                    f"({reason.sentence})"
                )
            await asyncio.sleep(pause)
            began = loop.time()
            try:
                reason = await self._serve_once(LinkState.RESTORED)
            except UnreachableError as error:
                reason, began = UnreachableError(error.sentence), loop.time()

    def _pauses(self) -> Iterator[float]:
        timeouts = self._settings.timeouts
        return backoff(timeouts.reconnect_first, timeouts.reconnect_most, random.random)

    async def _serve_once(self, state: LinkState) -> SleapRTCError:
        pinned = await asyncio.to_thread(self._acquaintance.check) if self._acquaintance else None
        secrets = await asyncio.to_thread(self._secrets)
        proven: list[Proven] = []
        async with dial(
            self._board,
            self._principal(),
            self.worker_id,
            self._settings,
            secrets=secrets,
            pinned_key=pinned,
            on_proven=proven.append,
        ) as session:
            await self._remember(proven[0])
            self._on_state(state, "")
            self._session.set_result(session)
            try:
                reason = await session.wait_closed()
            finally:
                self._forget(session)
        if isinstance(reason, AuthenticationError | ForbiddenError):
            raise reason  # we were sent away: dialling again would only be refused again
        return reason

    async def _remember(self, proven: Proven) -> None:
        if self._acquaintance and (met := await asyncio.to_thread(self._acquaintance.remember, proven.worker_pub)):
            self._acquaintance.tell(met)
