"""Bounds on what a peer may make of an aiortc connection, which has none of its own and no settings for them.

What it keeps is kept for as long as the other side likes: fragments of a message without end, numbers of packets that
overtook a lost one, streams. Our connections have one channel that is reliable and in order, so whatever else SCTP can
do no honest peer does. The connection's own handlers are wrapped.
"""

import logging
from collections.abc import Sequence
from typing import Any

from aiortc import RTCSctpTransport

from sleap_rtc.transport.buffered import BufferedChannel

log = logging.getLogger(__name__)

MAX_WAITING_CHUNKS = 4096
"""Most SCTP chunks that may wait for a gap to close or a message to end: at most 5 MB.

libwebrtc cuts a message into as small pieces as it may send at a moment: on a busy path the largest one into hundreds.
"""
LOOK_EVERY = 32
"""Chunks between two looks at a message that has not ended."""
_LAST, _UNORDERED = 1, 4  # flags of a chunk: it ends its message, it overtakes others (RFC 9260)
_DCEP = 50  # the payload type that asks to open another channel (RFC 8832)


def bound(sctp: RTCSctpTransport, channel: BufferedChannel) -> None:
    """Let a connection take only what the other side of ours would send.

    Args:
        sctp: the connection's transport.
        channel: its channel, which ends with a reason when the other side does anything else.
    """
    take_packet, take_data = sctp._handle_data, sctp._receive_data_chunk  # noqa: SLF001
    refuse = channel.violated

    async def packet(data: bytes) -> None:
        try:
            await take_packet(data)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - it fails in whatever way a strange packet makes it
            log.debug("aiortc could not read a packet: %r", error)
            refuse("The other side sent a packet that cannot be read.")

    async def data_chunk(chunk: Any) -> None:
        waiting = sctp._get_inbound_stream(0).reassembly  # noqa: SLF001
        if channel.loss is not None:
            return  # the connection is being closed: nothing is worth any work
        if chunk.stream_id != 0 or chunk.protocol == _DCEP:
            refuse("The other side tried to open a second channel.")
        elif chunk.flags & _UNORDERED:
            refuse("The other side let messages overtake each other.")
        elif max(len(waiting), len(sctp._sack_misordered)) >= MAX_WAITING_CHUNKS:  # noqa: SLF001
            # what arrived behind a gap is looked at again for each packet
            refuse("The other side left a gap in what it sent, or a message unended, and went on.")
        elif waiting and len(waiting) % LOOK_EVERY == 0 and _is_endless(waiting, channel.max_message_size):
            refuse(f"The other side sent a message larger than the {channel.max_message_size} bytes allowed.")
        else:
            await take_data(chunk)

    async def forward_tsn_chunk(chunk: Any) -> None:
        refuse("The other side gave up messages that it had to deliver.")

    sctp._handle_data = packet  # type: ignore[method-assign]  # noqa: SLF001
    sctp._receive_data_chunk = data_chunk  # type: ignore[method-assign]  # noqa: SLF001
    sctp._receive_forward_tsn_chunk = forward_tsn_chunk  # type: ignore[method-assign]  # noqa: SLF001


def _is_endless(waiting: Sequence[Any], most: int) -> bool:
    """Whether the message that the first of the waiting chunks belongs to is too long already."""
    size, tsn = 0, waiting[0].tsn
    for count, chunk in enumerate(waiting):
        if chunk.tsn != (tsn + count) % 2**32:
            break
        size += len(chunk.user_data)
        if size > most:
            return True
        if chunk.flags & _LAST:
            break
    return False
