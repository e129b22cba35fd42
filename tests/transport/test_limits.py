"""What a hostile peer may cost, where the contract suite cannot reach: below the engines' own checks."""

import asyncio
import contextlib
import re
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiortc.rtcsctptransport import Chunk, DataChunk, ForwardTsnChunk

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.transport import Channel, memory_pair
from sleap_rtc.transport.aiortc_bounds import MAX_WAITING_CHUNKS
from sleap_rtc.transport.aiortc_peer import AiortcPeer
from sleap_rtc.transport.backlog import MOST_BYTES, MOST_MESSAGES, SHORT, Backlog
from sleap_rtc.transport.buffered import INBOX_LIMIT, BufferedChannel
from tests.transport.hostile_peer import (
    UNORDERED,
    WHOLE,
    ask_for_channels,
    data_chunk,
    leave_gaps,
    sctp_of,
    send_endless_message,
    send_large_message,
    send_packet,
)
from tests.transport.meeting import REAL, make_peer, meet, until_lost

BINARY, DCEP = 53, 50
FIRST, LAST = 2, 1


async def test_a_million_empty_messages_are_bounded() -> None:
    channel, _ = memory_pair()
    taken = 0
    while channel.loss is None:
        channel.arrived(b"")
        taken += 1
    assert taken * 33 <= INBOX_LIMIT + 33
    with pytest.raises(ConnectionLost, match="more than it was allowed"):
        await channel.receive()


async def test_wide_text_counts_as_what_it_takes() -> None:
    channel, _ = memory_pair()
    wide = "x" * 60_000 + "\N{MICROSCOPE}"  # 60 kB on the wire, 240 kB here
    taken = 0
    while channel.loss is None:
        channel.arrived(wide + str(taken))
        taken += 1
    assert taken * 4 * 60_000 <= INBOX_LIMIT + 4 * 60_000


class Queue:
    """An engine's queue, which hands over in order and discards what is a lost channel's."""

    def __init__(self) -> None:
        self._items: deque[tuple[BufferedChannel, int] | Callable[[], None]] = deque()
        self._backlog = Backlog(self._items.__len__, self._items.append)

    def arrive(self, *channels: BufferedChannel, count: int = 1, size: int = 1) -> None:
        """So many messages of the channels, in turn."""
        self._items.extend((channels[turn % len(channels)], size) for turn in range(count))

    def hand_over(self) -> None:
        while self._items:
            item = self._items.popleft()
            if callable(item):
                item()
            elif item[0].loss is None:
                self._backlog.handed_over(*item)


async def test_who_fills_an_engines_queue_with_tiny_messages_is_cut_off_and_others_stay() -> None:
    flooding, honest, queue = memory_pair()[0], memory_pair()[0], Queue()
    queue.arrive(flooding, flooding, flooding, honest, count=3 * MOST_MESSAGES)
    queue.hand_over()
    assert flooding.loss == "The other side sent faster than this machine could take it."
    assert honest.loss is None


@pytest.mark.parametrize(
    ("size", "count", "lost"),
    [
        (1, MOST_MESSAGES, False),
        (1, MOST_MESSAGES + SHORT + 1, True),
        (262144, MOST_BYTES // 262144, False),
        (262144, MOST_BYTES // 262144 + SHORT + 1, True),
    ],
)
async def test_what_a_channel_has_in_an_engines_queue_is_bounded(size: int, count: int, lost: bool) -> None:
    channel, queue = memory_pair()[0], Queue()
    queue.arrive(channel, count=count, size=size)
    queue.hand_over()
    assert (channel.loss is not None) is lost


async def test_much_that_was_never_in_the_queue_at_once_is_no_offence() -> None:
    channel, other, queue = memory_pair()[0], memory_pair()[0], Queue()
    for _ in range(20):
        queue.arrive(channel, count=MOST_MESSAGES // 4)
        queue.arrive(other, count=SHORT)
        queue.hand_over()
    assert channel.loss is None


async def test_large_messages_that_come_in_a_row_before_many_small_ones_are_counted_as_they_are() -> None:
    uploading, chatting, queue = memory_pair()[0], memory_pair()[0], Queue()
    queue.arrive(uploading, count=64, size=262144)  # all that may be asked for at once
    queue.arrive(chatting, count=1000)
    queue.hand_over()
    assert uploading.loss is None
    assert chatting.loss is None


async def feed(peer: AiortcPeer, *, flags: int, stream: int = 0, protocol: int = BINARY, size: int = 1000) -> None:
    sctp: Any = peer._pc.sctp
    chunk: Any = DataChunk(flags=flags)
    chunk.tsn = (sctp._last_received_tsn + 1) % 2**32
    chunk.stream_id, chunk.stream_seq, chunk.protocol = stream, 0, protocol
    chunk.user_data = bytes(size)
    await sctp._receive_data_chunk(chunk)


@pytest.mark.parametrize(
    ("size", "most", "reason"), [(1000, 96, "larger than the 65536 bytes"), (1, MAX_WAITING_CHUNKS, "unended")]
)
async def test_aiortc_a_message_without_end(size: int, most: int, reason: str, timeouts: Timeouts) -> None:
    async with meet(("libwebrtc", "aiortc"), timeouts) as meeting:
        peer = meeting.other
        assert isinstance(peer, AiortcPeer)
        sctp: Any = peer._pc.sctp
        await feed(peer, flags=FIRST, size=size)
        while peer.channel.loss is None:
            await feed(peer, flags=0, size=size)
        assert len(sctp._get_inbound_stream(0).reassembly) <= most
        with pytest.raises(ConnectionLost, match=reason):
            await peer.channel.receive()


async def test_aiortc_a_message_in_the_small_pieces_of_a_busy_path(timeouts: Timeouts) -> None:
    async with meet(("libwebrtc", "aiortc"), timeouts) as meeting:
        peer = meeting.other
        assert isinstance(peer, AiortcPeer)
        for flags in (FIRST, *[0] * 2046, LAST):
            await feed(peer, flags=flags, size=32)
        assert await peer.channel.receive() == bytes(64 * 1024)


@pytest.mark.parametrize(("stream", "protocol"), [(1, BINARY), (2, DCEP), (0, DCEP)])
async def test_aiortc_a_second_channel(timeouts: Timeouts, stream: int, protocol: int) -> None:
    async with meet(("aiortc", "aiortc"), timeouts) as meeting:
        peer = meeting.other
        assert isinstance(peer, AiortcPeer)
        await feed(peer, flags=FIRST, stream=stream, protocol=protocol)
        with pytest.raises(ConnectionLost, match="second channel"):
            await peer.channel.receive()


@pytest.mark.parametrize("engine", REAL)
@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (ask_for_channels, "second channel"),
        (send_large_message, "larger than"),
        (send_endless_message, "larger than|ended"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_what_no_honest_peer_does_costs_the_connection(
    engine: str, attack: Callable[[Channel], Awaitable[None]], reason: str, timeouts: Timeouts
) -> None:
    async with meet(("hostile", engine), timeouts) as meeting:
        await attack(meeting.one.channel)
        assert re.search(reason, await until_lost(meeting.other.channel))


def cut_short(tsn: int) -> Chunk:
    chunk = Chunk(flags=0, body=bytes(4))
    chunk.type = DataChunk.type
    return chunk


def of_300_streams(tsn: int) -> Chunk:
    streams = b"".join(struct.pack("!HH", stream, 0) for stream in range(300))
    return ForwardTsnChunk(0, struct.pack("!L", tsn) + streams)


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (lambda tsn: data_chunk(tsn, flags=WHOLE | UNORDERED), "overtake"),
        (of_300_streams, "gave up"),
        (cut_short, "cannot be read"),
    ],
    ids=["out of order", "300 streams", "cut short"],
)
async def test_aiortc_packets_that_no_honest_peer_sends(
    chunk: Callable[[int], Chunk], reason: str, timeouts: Timeouts
) -> None:
    async with meet(("hostile", "aiortc"), timeouts) as meeting:
        channel = meeting.one.channel
        await send_packet(channel, [chunk(sctp_of(channel)._local_tsn)])
        assert reason in await until_lost(meeting.other.channel)


async def test_aiortc_a_gap_that_is_never_closed(timeouts: Timeouts) -> None:
    async with meet(("hostile", "aiortc"), timeouts) as meeting:
        attacking = asyncio.ensure_future(leave_gaps(meeting.one.channel))
        assert "gap" in await until_lost(meeting.other.channel)
        victim: Any = sctp_of(meeting.other.channel)
        assert len(victim._sack_misordered) == MAX_WAITING_CHUNKS
        attacking.cancel()


@pytest.mark.parametrize("engine", REAL)
async def test_a_peer_that_takes_only_small_messages(engine: str, timeouts: Timeouts) -> None:
    async with make_peer("aiortc", timeouts) as one, make_peer(engine, timeouts) as other:
        offer = (await one.create_offer()).replace("max-message-size:262144", "max-message-size:100")
        await one.accept_answer(await other.accept_offer(offer))
        await other.wait_open()
        with pytest.raises(ProtocolError, match="no message of this size"):
            await other.channel.send(bytes(101))


@pytest.mark.parametrize("engine", REAL)
async def test_names_that_nobody_answers_to(engine: str, timeouts: Timeouts) -> None:
    named = "candidate:1 1 udp 2122194687 0b5e0c5e-3a52-4f0c-9d2e-5a3f0d6f1c2b.local 40000 typ host"
    async with make_peer("aiortc", timeouts) as one, make_peer(engine, timeouts) as other:
        offer = (await one.create_offer()).replace("a=end-of-candidates", f"a={named}")
        await one.accept_answer(await other.accept_offer(offer))
        for port in (40001, 40002):
            await other.add_candidate(Candidate(candidate=named.replace("40000", str(port))))
        await one.wait_open()


@pytest.mark.parametrize("engine", REAL)
@pytest.mark.parametrize("without", ["a=ice-pwd", "a=ice-ufrag", "a=setup", "a=mid"])
async def test_descriptions_an_engine_cannot_read(engine: str, timeouts: Timeouts, without: str) -> None:
    async with make_peer("aiortc", timeouts) as one, make_peer(engine, timeouts) as other:
        offer = await one.create_offer()
        kept = [line for line in offer.splitlines() if not line.startswith(without)]
        # what an engine makes of it differs; that it fails as nothing but a refusal is what matters
        with contextlib.suppress(ProtocolError):
            await other.accept_offer("\r\n".join(kept) + "\r\n")


@pytest.mark.parametrize("engine", REAL)
@pytest.mark.parametrize("junk", [b"\xff\xfe", struct.pack("!I", 7)])
async def test_aiortc_text_that_is_no_utf8(engine: str, timeouts: Timeouts, junk: bytes) -> None:
    async with meet(("aiortc", engine), timeouts) as meeting:
        assert isinstance(meeting.one, AiortcPeer)
        sctp: Any = meeting.one._pc.sctp
        await sctp._send(0, 51, junk)
        await meeting.one.channel.send("next")
        try:
            assert await meeting.other.channel.receive() != "next"
        except ConnectionLost:
            return
        assert await meeting.other.channel.receive() == "next"
