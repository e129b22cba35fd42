"""Who is behind a worker's links, and whether they still belong there: the service is asked, and tells."""

import asyncio
import logging
from contextlib import suppress
from typing import NoReturn

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.signaling import Departed, Principal, Revoked, Visitor
from sleap_rtc.session.session import Session
from sleap_rtc.signaling.client import SignalingClient

logger = logging.getLogger(__name__)

JOBS_GO_ON = "(A job that the worker has accepted goes on.)"
"""Said to who is sent away; in brackets, because the reason before it may end with a command to type."""


class Visit:
    """One link, from its offer to its end.

    Args:
        principal: who dialled, as the service stamped them.
        unconfirmed: seconds for which new work is taken although the service has not confirmed them.
    """

    def __init__(self, principal: Principal, unconfirmed: float) -> None:
        self.principal = principal
        self._unconfirmed = unconfirmed
        # the loop's clock: the machine's may be set while the link stands
        self._confirmed_at = asyncio.get_running_loop().time()
        self._session: Session | None = None
        self._reason: SleapRTCError | None = None

    @property
    def visitor(self) -> Visitor | None:
        """Whom to ask the service about; None for a stamp that names no credential."""
        credential = self.principal.credential
        return None if credential is None else Visitor(user=self.principal.user, credential=credential)

    @property
    def session(self) -> Session | None:
        """The link, once it is proven."""
        return self._session

    def begin(self, session: Session) -> None:
        """Note that the link is proven; who was sent away meanwhile is told so instead of being served."""
        self._session = session
        if self._reason is not None:
            session.dismiss(self._reason)

    def end(self, reason: SleapRTCError) -> None:
        """Send them away."""
        self._reason = self._reason or reason
        if self._session is not None:
            self._session.dismiss(self._reason)

    def confirm(self, asked_at: float) -> None:
        """Note that they belonged here when the service was asked."""
        self._confirmed_at = max(self._confirmed_at, asked_at)

    def check_new_work(self) -> None:
        """Refuse a new job over a link that nobody has confirmed for too long.

        Raises:
            UnreachableError: if the service has not been heard for `Timeouts.unconfirmed`.
        """
        if self.visitor is None:
            return
        if asyncio.get_running_loop().time() - self._confirmed_at > self._unconfirmed:
            raise UnreachableError(
                f"The worker has not heard from the signaling service for {_spoken(self._unconfirmed)}, so it cannot "
                "tell whether you still belong to the room, and takes no new job over this link. Jobs that it has go "
                "on, and can be watched and fetched. Try again when the service is back."
            )


class Visitors:
    """Everybody behind the links of a worker.

    Args:
        timeouts: how often the service is asked, and how long its silence is borne.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._visits: set[Visit] = set()
        self._due = asyncio.Event()

    def enter(self, principal: Principal) -> Visit:
        """Keep track of a link that somebody dials, until it has ended and `leave` is called."""
        visit = Visit(principal, self._timeouts.unconfirmed)
        self._visits.add(visit)
        return visit

    def leave(self, visit: Visit) -> None:
        """Forget a link."""
        self._visits.discard(visit)

    def revoke(self, message: Revoked) -> None:
        """Send somebody away, because the service says so."""
        self._send_away(message.visitor)

    async def close(self, reason: SleapRTCError) -> None:
        """Send everybody away, because the worker has to leave; returns when their links have ended."""
        sentence = f"The worker had to leave the room. {reason.sentence} {JOBS_GO_ON}"
        for visit in self._visits:
            visit.end(AuthenticationError(sentence))
        sessions = [visit.session for visit in self._visits if visit.session is not None]
        await asyncio.gather(*(session.wait_closed() for session in sessions))

    def ask_soon(self) -> None:
        """Ask the service now: it is back, and who was sent away meanwhile was told to nobody."""
        self._due.set()

    async def keep_asking(self, signaling: SignalingClient) -> NoReturn:
        """Ask the service about everybody, every now and then, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.lease):
                    await self._due.wait()
            self._due.clear()
            try:
                await self._ask(signaling)
            except SleapRTCError as error:
                logger.info("The service could not be asked about the people behind the links: %s", error)

    async def _ask(self, signaling: SignalingClient) -> None:
        asked_at = asyncio.get_running_loop().time()
        visits = {visit: visit.visitor for visit in self._visits}
        visitors = {visitor for visitor in visits.values() if visitor is not None}
        if not visitors:
            return
        departed = await signaling.departed(sorted(visitors, key=lambda visitor: (visitor.user, visitor.credential)))
        for visit in visits:
            visit.confirm(asked_at)
        for each in departed:
            self._send_away(each)

    def _send_away(self, departed: Departed) -> None:
        reason = AuthenticationError(f"{departed.reason} {JOBS_GO_ON}")
        for visit in self._visits:
            if departed.stands_for(visit.principal):
                logger.info("%s was sent away: %s", visit.principal.name, departed.reason)
                visit.end(reason)


def _spoken(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:g} seconds"
