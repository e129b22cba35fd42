"""A stream of unknown length, read whole."""

import logging

from sleap_rtc.errors import LaneLost
from sleap_rtc.protocol.streams import FIRST_WINDOW, StreamRequest
from sleap_rtc.session.session import Session

logger = logging.getLogger(__name__)


async def read_whole(session: Session, kind: type[StreamRequest], at_most: int, **fields: object) -> bytes:
    """Ask for bytes and read all of them, over another lane if the first one dies.

    Args:
        session: the link.
        kind: the request's class.
        at_most: most bytes that are accepted.
        fields: what the request says, beside the stream.

    Raises:
        ProtocolError: if there are more bytes.
        ConnectionLost: if the link ended.
        SleapRTCError: why the other side sends none.
    """
    while True:
        # nothing is due at once: the other side may have to hash gigabytes first
        with await session.slot(min(at_most, FIRST_WINDOW), due=False) as slot:
            try:
                async with session.ask(slot, kind, **fields) as stream:
                    return await stream.read_all(at_most)
            except LaneLost as error:
                logger.info("Asking again for a list: %s", error)
