"""Sorts what the service delivers by the link it belongs to."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sleap_rtc.errors import BusyError, SleapRTCError
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.signaling import Answer, Gone, IceCandidate, Offer, Principal, Reject, Revoked

logger = logging.getLogger(__name__)

LinkMessage = Answer | IceCandidate | Reject | Gone


class Signaler(Protocol):
    """What a link needs of the signaling service."""

    async def send(self, message: Message) -> None:
        """Send a message to the service."""

    async def receive(self) -> Message:
        """Return the next message from it."""


class Switchboard:
    """One reader of a signaling connection, many links being made over it.

    Args:
        signaler: the connection to the service.
        on_revoked: told who may not be here any more; offers of theirs are dropped before.
    """

    MAX_WAITING = 64
    """Messages kept for one link being made; more are a flood, and dropped."""

    def __init__(self, signaler: Signaler, on_revoked: Callable[[Revoked], None] = lambda message: None) -> None:
        self._signaler = signaler
        self._on_revoked = on_revoked
        self._mailboxes: dict[str, asyncio.Queue[LinkMessage]] = {}
        self._seen: dict[str, None] = {}
        self.offers: asyncio.Queue[Offer] = asyncio.Queue(maxsize=32)

    async def run(self) -> None:
        """Deliver messages until cancelled.

        Raises:
            SleapRTCError: when the signaling connection ends for good.
        """
        while True:
            message = await self._signaler.receive()
            if isinstance(message, Offer):
                await self._take_offer(message)
            elif isinstance(message, Answer | IceCandidate | Reject | Gone):
                self._deliver(message)
            elif isinstance(message, Revoked):
                self._drop_offers(message)
                self._on_revoked(message)

    @contextmanager
    def mailbox(self, link: str) -> Iterator[asyncio.Queue[LinkMessage]]:
        """Collect what arrives for `link` while the body runs."""
        box = self._mailboxes.setdefault(link, asyncio.Queue(maxsize=self.MAX_WAITING))
        try:
            yield box
        finally:
            self._mailboxes.pop(link, None)

    async def send(self, message: Message) -> None:
        """Send a message to the service."""
        await self._signaler.send(message)

    async def reject(self, link: str, error: SleapRTCError) -> None:
        """Tell whoever dialled that this link will not be, if the service can be heard just now."""
        self._mailboxes.pop(link, None)
        try:
            await self.send(Reject(link=link, error=ErrorInfo.of(error)))
        except SleapRTCError as unheard:
            logger.info("A refusal could not be sent: %s", unheard)

    async def _take_offer(self, offer: Offer) -> None:
        sender = offer.sender
        if sender is None or sender.session != offer.link or offer.link in self._seen or not _may_dial(sender):
            logger.warning("An offer without a valid stamp was ignored.")
            return
        self._remember(offer.link)
        # candidates may follow at once, before anybody has taken the offer up
        self._mailboxes[offer.link] = asyncio.Queue(maxsize=self.MAX_WAITING)
        try:
            self.offers.put_nowait(offer)
        except asyncio.QueueFull:
            await self.reject(offer.link, BusyError("The worker is being dialled by too many clients; try again soon."))

    def _drop_offers(self, message: Revoked) -> None:
        for offer in [self.offers.get_nowait() for _ in range(self.offers.qsize())]:
            if offer.sender is not None and message.visitor.stands_for(offer.sender):
                self._mailboxes.pop(offer.link, None)
            else:
                self.offers.put_nowait(offer)

    def _remember(self, link: str) -> None:
        # a link id is good once; the service refuses repeats too, but is not believed alone
        self._seen[link] = None
        if len(self._seen) > 10_000:
            self._seen.pop(next(iter(self._seen)))

    def _deliver(self, message: LinkMessage) -> None:
        box = self._mailboxes.get(message.link)
        if box and not box.full():
            box.put_nowait(message)


def _may_dial(sender: Principal) -> bool:
    """Whether the stamp is a client's, or a worker's that says which worker it is."""
    return (sender.role == "worker") == (sender.worker is not None)
