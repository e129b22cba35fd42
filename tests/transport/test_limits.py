"""What a hostile peer may cost, where the contract suite cannot reach: below the engines' own checks."""

import contextlib
import struct
from typing import Any

import pytest
from aiortc.rtcsctptransport import DataChunk

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.transport import memory_pair
from sleap_rtc.transport.aiortc_bounds import MAX_WAITING_CHUNKS
from sleap_rtc.transport.aiortc_peer import AiortcPeer
from sleap_rtc.transport.buffered import INBOX_LIMIT
from tests.transport.meeting import REAL, make_peer, meet

BINARY, DCEP = 53, 50
FIRST = 2


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


async def feed(peer: AiortcPeer, *, flags: int, stream: int = 0, protocol: int = BINARY) -> None:
    sctp: Any = peer._pc.sctp
    chunk: Any = DataChunk(flags=flags)
    chunk.tsn = (sctp._last_received_tsn + 1) % 2**32
    chunk.stream_id, chunk.stream_seq, chunk.protocol = stream, 0, protocol
    chunk.user_data = bytes(1000)
    await sctp._receive_data_chunk(chunk)


async def test_aiortc_a_message_without_end(timeouts: Timeouts) -> None:
    async with meet(("libwebrtc", "aiortc"), timeouts) as meeting:
        peer = meeting.other
        assert isinstance(peer, AiortcPeer)
        sctp: Any = peer._pc.sctp
        await feed(peer, flags=FIRST)
        while peer.channel.loss is None:
            await feed(peer, flags=0)
        assert len(sctp._get_inbound_stream(0).reassembly) == MAX_WAITING_CHUNKS
        with pytest.raises(ConnectionLost, match="without end"):
            await peer.channel.receive()


@pytest.mark.parametrize(("stream", "protocol"), [(1, BINARY), (2, DCEP), (0, DCEP)])
async def test_aiortc_a_second_channel(timeouts: Timeouts, stream: int, protocol: int) -> None:
    async with meet(("aiortc", "aiortc"), timeouts) as meeting:
        peer = meeting.other
        assert isinstance(peer, AiortcPeer)
        await feed(peer, flags=FIRST, stream=stream, protocol=protocol)
        with pytest.raises(ConnectionLost, match="second channel"):
            await peer.channel.receive()


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
