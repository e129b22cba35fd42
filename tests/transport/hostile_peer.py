"""An aiortc peer without the bounds of ours, and what it may do to another one."""

import asyncio
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from unittest.mock import patch

from aiortc import RTCDataChannel, RTCDataChannelParameters
from aiortc.rtcsctptransport import Chunk, DataChunk, serialize_packet
from google_crc32c import value as crc32c

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost
from sleap_rtc.transport import Channel, aiortc_peer
from sleap_rtc.transport.aiortc_peer import AiortcChannel, AiortcPeer
from sleap_rtc.transport.libwebrtc_peer import LibwebrtcChannel

MB = 1024 * 1024
WHOLE, UNORDERED = 3, 4
BINARY = 53


def hostile_peer(timeouts: Timeouts) -> AiortcPeer:
    """A peer whose own bounds do not end a connection that it misuses."""
    with patch.object(aiortc_peer, "bound", lambda sctp, channel: None):
        return AiortcPeer(timeouts=timeouts)


def sctp_of(channel: Channel) -> Any:
    assert isinstance(channel, AiortcChannel)
    return channel._native.transport


def data_chunk(tsn: int, data: bytes = b"x", *, flags: int = WHOLE, sequence: int = 0) -> DataChunk:
    """A chunk of the channel with a number of one's own choice."""
    chunk = DataChunk(flags=flags)
    chunk.tsn, chunk.user_data = tsn % 2**32, data
    chunk.stream_id, chunk.stream_seq, chunk.protocol = 0, sequence, BINARY
    return chunk


async def send_packet(channel: Channel, chunks: Sequence[Chunk]) -> None:
    """Send chunks in one packet, past all that SCTP would have to say about them."""
    sctp = sctp_of(channel)
    first, *others = chunks
    packet = serialize_packet(sctp._local_port, sctp._remote_port, sctp._remote_verification_tag, first)
    packet = packet[:8] + bytes(4) + packet[12:] + b"".join(bytes(chunk) for chunk in others)
    await sctp.transport._send_data(packet[:8] + struct.pack("<L", crc32c(packet)) + packet[12:])


async def ask_for_channels(channel: Channel) -> None:
    """Ask for 200 channels that are called like the one there is, and send on each."""
    asked = [RTCDataChannel(sctp_of(channel), RTCDataChannelParameters(label="sleap-rtc")) for _ in range(200)]
    for each in asked:
        await asyncio.sleep(0)
        if each.readyState == "open":
            each.send(bytes(MB // 8))


async def send_large_message(channel: Channel) -> None:
    """Send a message of 2 MiB."""
    sctp_of(channel)._remote_max_message_size = 0
    channel._native.send(bytes(2 * MB))  # type: ignore[attr-defined]


async def send_endless_message(channel: Channel) -> None:
    """Send a message of which no end is in sight: more than either engine would ever keep."""
    sctp_of(channel)._remote_max_message_size = 0
    channel._native.send(bytes(16 * MB))  # type: ignore[attr-defined]


async def leave_gaps(channel: Channel) -> None:
    """Send every other chunk, for as long as the other side listens."""
    tsn = sctp_of(channel)._local_tsn + 1
    assert isinstance(channel, AiortcChannel)
    while channel.loss is None:
        await send_packet(channel, [data_chunk(tsn + 2 * n) for n in range(50)])
        tsn += 100
        await asyncio.sleep(0)


async def send_tiny_messages(channel: Channel) -> None:
    """Send a million messages of a byte each, as fast as libwebrtc takes them."""
    await _flood(channel, b"x", 1_000_000)


async def send_pings(channel: Channel) -> None:
    """Send messages against which nothing can be said but that there are so many."""
    await _flood(channel, '{"type":"ping"}', 20_000)


async def _flood(channel: Channel, data: str | bytes, count: int) -> None:
    assert isinstance(channel, LibwebrtcChannel)
    with suppress(ConnectionLost):
        while channel.loss is None and count > 0:
            for _ in range(200 if channel.buffered_amount < MB else 0):
                channel._queue(data)
                count -= 1
            await asyncio.sleep(0)
