"""What a process does with what the others tell it."""

import logging
from collections.abc import Callable

from pydantic import ValidationError

from signaling_server.backplane.envelopes import (
    Beat,
    Delivery,
    Ended,
    EndedAll,
    Envelope,
    Replaced,
    Undelivered,
    open_envelope,
    seal,
)
from signaling_server.backplane.keys import Keys, process_of
from signaling_server.backplane.late import Latecomers
from signaling_server.backplane.line import Line
from signaling_server.backplane.presences import Presences
from signaling_server.signaling.hub import MemoryHub, Receiver
from signaling_server.signaling.members import Holder
from signaling_server.signaling.routing import NO_SUCH_LINK, NOT_THERE
from sleap_rtc.errors import NotFoundError, ProtocolError
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.signaling import CLOSE_REPLACED, SIGNALING, Answer, Gone, IceCandidate, Offer, Reject

logger = logging.getLogger(__name__)


class Hearing:
    """Takes envelopes, and does to the members of this process what they say.

    Args:
        here: the members of this process.
        process: what it is called: what it told everybody itself it has done already.
        receiver: what to do with a message delivered to a member.
        line: to Redis, for answers.
        keys: where what lies.
        latecomers: who is looked at again.
        beat: called when what this process told itself has arrived.
    """

    def __init__(
        self,
        here: MemoryHub,
        process: str,
        receiver: Receiver,
        line: Line,
        keys: Keys,
        latecomers: Latecomers,
        beat: Callable[[], None],
    ) -> None:
        self._here = here
        self._process = process
        self._receiver = receiver
        self._line = line
        self._keys = keys
        self._presences = Presences(line, keys)
        self._latecomers = latecomers
        self._beat = beat

    async def hear(self, text: bytes) -> None:
        """Take what another process tells; nothing that it says ends this one."""
        try:
            envelope = open_envelope(text)
            await self._take(envelope)
        except (ValidationError, ProtocolError) as error:
            logger.warning("another process said what nobody here understands: %s", type(error).__name__)
        except Exception:
            logger.exception("what another process said could not be done")

    async def _take(self, envelope: Envelope) -> None:
        if getattr(envelope, "by", None) == self._process:
            return
        if isinstance(envelope, Beat):
            self._beat()
        elif isinstance(envelope, Delivery):
            await self._deliver_here(envelope)
        elif isinstance(envelope, Undelivered):
            member = self._here.member(envelope.to)
            if member is not None:
                self._receiver(member, gone(envelope.link, envelope.worker), envelope.missing)
        elif isinstance(envelope, Replaced):
            self.end_replaced(envelope.presence)
        elif isinstance(envelope, Ended):
            self._latecomers.watch()
            await self._here.end(dict(envelope.reasons), envelope.code)
        elif isinstance(envelope, EndedAll):
            self._latecomers.watch()
            await self._here.end_all(
                envelope.reason, envelope.code, token_id=envelope.token_id, room=envelope.room, user=envelope.user
            )
        else:
            await self._here.set_owners(envelope.owners)

    async def _deliver_here(self, delivery: Delivery) -> None:
        message = SIGNALING.decode(delivery.text)
        if message is None:
            return
        if await self._here.deliver(delivery.to, message, delivery.sender or ""):
            stamp = message.sender if isinstance(message, Offer) else None
            if stamp is not None and stamp.credential is not None:
                self._latecomers.came(Holder(stamp.credential, stamp.room, stamp.user))
            return
        if isinstance(message, Offer) and message.sender is not None:
            # it is looked for where it is no more: Redis was restarted from what it had once written down
            self._presences.leave(message.sender.room, message.worker_id, delivery.to)
        if delivery.sender is not None and isinstance(message, Offer | Answer | Reject | IceCandidate):
            worker = message.worker_id if isinstance(message, Offer) else None
            answer = Undelivered(to=delivery.sender, missing=delivery.to, link=message.link, worker=worker)
            self._line.tell("PUBLISH", self._keys.inbox(process_of(delivery.sender)), seal(answer))

    def end_replaced(self, presence: str) -> None:
        """End a connection of this process whose worker has a newer one, if it is still there."""
        member = self._here.member(presence)
        if member is not None and not member.outbox.ended.is_set():
            logger.info("the worker of %s was taken over by a newer connection", presence)
            member.outbox.end(CLOSE_REPLACED, "a newer connection of this worker took over")


def gone(link: str, worker: str | None) -> Gone:
    """What a peer is told of a link whose other side is not there; `worker`, if it has offered to one."""
    sentence = NO_SUCH_LINK if worker is None else NOT_THERE
    return Gone(link=link, worker_id=worker, error=ErrorInfo.of(NotFoundError(sentence)))
