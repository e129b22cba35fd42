"""Bounds on what a peer may make of an aiortc connection, which has none of its own and no settings for them.

What it keeps is kept for as long as the other side likes: fragments of a message without end, numbers of packets that
overtook a lost one, streams. Our connections have one channel that is reliable and in order, so whatever else SCTP can
do no honest peer does. The connection's own handlers are wrapped.
"""

import logging
from collections.abc import Callable
from typing import Any

from aiortc import RTCSctpTransport

log = logging.getLogger(__name__)

MAX_WAITING_CHUNKS = 2048
"""Most SCTP chunks that may wait for a gap to close or a message to end: at most 3 MB."""
_UNORDERED = 4  # the flag of a chunk that overtakes others (RFC 9260)
_DCEP = 50  # the payload type that asks to open another channel (RFC 8832)


def bound(sctp: RTCSctpTransport, refuse: Callable[[str], None]) -> None:
    """Let a connection take only what the other side of ours would send.

    Args:
        sctp: the connection's transport.
        refuse: ends the connection, with the reason.
    """
    take_packet, take_data = sctp._handle_data, sctp._receive_data_chunk  # noqa: SLF001

    async def packet(data: bytes) -> None:
        try:
            await take_packet(data)
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - it fails in whatever way a strange packet makes it
            log.debug("aiortc could not read a packet: %r", error)
            refuse("The other side sent a packet that cannot be read.")

    async def data_chunk(chunk: Any) -> None:
        if chunk.stream_id != 0 or chunk.protocol == _DCEP:
            refuse("The other side tried to open a second channel.")
        elif chunk.flags & _UNORDERED:
            refuse("The other side let messages overtake each other.")
        elif len(sctp._get_inbound_stream(0).reassembly) >= MAX_WAITING_CHUNKS:  # noqa: SLF001
            refuse("The other side sent a message without end.")
        elif len(sctp._sack_misordered) >= MAX_WAITING_CHUNKS:  # noqa: SLF001
            # all of them are looked at again for each packet
            refuse("The other side left a gap in what it sent, and went on.")
        else:
            await take_data(chunk)

    async def forward_tsn_chunk(chunk: Any) -> None:
        refuse("The other side gave up messages that it had to deliver.")

    sctp._handle_data = packet  # type: ignore[method-assign]  # noqa: SLF001
    sctp._receive_data_chunk = data_chunk  # type: ignore[method-assign]  # noqa: SLF001
    sctp._receive_forward_tsn_chunk = forward_tsn_chunk  # type: ignore[method-assign]  # noqa: SLF001
