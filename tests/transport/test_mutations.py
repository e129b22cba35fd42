"""Whatever stands in a description or candidate: no engine's own error leaves a peer, nothing hangs, nothing leaks."""

import asyncio
import contextlib
import logging
import re
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError, SleapRTCError
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.transport import Peer
from sleap_rtc.transport.aiortc_peer import AiortcPeer
from sleap_rtc.transport.base import BasePeer
from tests.transport.meeting import REAL, make_peer, meet

BRIEF = Timeouts(gathering=0.2, connect=0.2, close=10)
HUGE = "9" * 30
SIGNS = "\0\t\x0b\x1b\x7f\x85\u2028ü"
# as many at once as the peers of a busy worker
BATCH = 16

pytestmark = pytest.mark.timeout(120)

ODD_LINES = {
    "a=setup:": ["", "holdconn", "ACTPASS", "actpass ", "active", "passive", "wat", "actpass active"],
    "a=mid:": ["", "1", "x" * 300, "0 1", "data/../0"],
    "a=ice-ufrag:": ["", "a", "ab cd", "x" * 300, "\x7f"],
    "a=ice-pwd:": ["", "a", "x" * 300, "!" * 24],
    "a=sctp-port:": ["", "abc", "0", "-1", "65536", HUGE, "5000 5001", "5001"],
    "a=max-message-size:": ["", "abc", "0", "-1", "1", HUGE, "1e9"],
    "a=group:": ["", "BUNDLE", "BUNDLE 0 1", "BUNDLE 1", "LS 0"],
    "m=application ": ["", "abc UDP/DTLS/SCTP webrtc-datachannel", "9", "9 TCP/DTLS/SCTP webrtc-datachannel"],
    "m=application 9 ": ["UDP/DTLS/SCTP 0 1 2", "DTLS/SCTP 5000", "DTLS/SCTP abc", "DTLS/SCTP", "RTP/AVP 0"],
    "c=": ["", "IN XX 1", "IN IP4", "IN IP4 999.1.1.1", "IN IP6 ::1%eth0"],
    "o=": ["", "-", f"- {HUGE} {HUGE} IN IP4 127.0.0.1", "- a b IN IP4 127.0.0.1"],
    "t=": ["", "x", f"{HUGE} 0"],
    "v=": ["", "1", "abc", HUGE],
    "s=": [""],
}
EXTRA_LINES = [
    *("a=ice-lite", "a=sctpmap:x", "a=sctpmap:abc webrtc-datachannel 1", f"a=sctpmap:5000 webrtc-datachannel {HUGE}"),
    *("a=rtcp:abc", "a=rtcp:9 IN XX", "a=ssrc:abc def", "a=ssrc-group:FID", "a=rtpmap:", "a=rtpmap:1 x/y", "a=fmtp:"),
    *("a=extmap:x y", "a=msid:", "a=msid-semantic:", "a=rtcp-fb:", "a=rtcp-fb:1 x", "a=", "a=:", "b=AS:abc", "b="),
    *("a=ice-options:", "a=inactive", "a=bundle-only", "a=simulcast:", "a=rid:", "a=crypto:1", "a=end-of-candidates"),
    *("z=", "k=clear:x", "a=identity:x", "a=tls-id:x", "a=remote-candidates:1 x y", "a=candidate:", "a=setup"),
]


def mutations(sdp: str) -> Iterator[tuple[str, str]]:
    """Make every description that is one step from an honest one, each with a name."""
    lines = sdp.splitlines(keepends=True)
    for at, line in enumerate(lines):
        before, after, half = "".join(lines[:at]), "".join(lines[at + 1 :]), line[: len(line) // 2]
        yield f"line {at} left out", before + after
        yield f"line {at} twice", before + line * 2 + after
        yield f"ends inside line {at}", before + half
        yield f"half of line {at}", f"{before}{half}\r\n{after}"
        yield f"huge number in line {at}", before + re.sub(r"\d+(?=\s*$)", HUGE, line) + after
        yield f"odd sign in line {at}", before + line[:3] + SIGNS[at % len(SIGNS)] + line[3:] + after
        for start, values in ODD_LINES.items():
            for value in values if line.startswith(start) else []:
                yield f"{start}{value}", f"{before}{start}{value}\r\n{after}"
    for line in EXTRA_LINES:
        yield f"{line} at the end", f"{sdp}{line}\r\n"
        yield f"{line} above the media", sdp.replace("m=", f"{line}\r\nm=", 1)


HOST = "candidate:1 1 udp 2122194687 192.0.2.1 40000 typ host"
TCP = HOST.replace("udp", "tcp")
NAMED = HOST.replace("192.0.2.1", "0b5e0c5e-3a52-4f0c-9d2e-5a3f0d6f1c2b.local")
TAILS = [
    *("raddr x rport abc", "raddr ::1%lo rport 1", f"raddr 192.0.2.1 rport {HUGE}", "rport -5", "rport", "raddr"),
    *("tcptype wat", "tcptype active tcptype passive", "tcptype active", "network-cost abc", f"network-cost {HUGE}"),
    *("generation xyz", f"generation {HUGE}", "network-id -1", "ufrag a", "ufrag !", "pwd x", "x generation y z"),
    *("typ relay", "x " * 200 + "y", "\x00 \x01", "raddr 192.0.2.1 rport 1 "),
]
CANDIDATES = [
    *(f"{base} {tail}" for base in (HOST, TCP, NAMED) for tail in TAILS),
    *(base.replace("typ host", f"typ {kind}") for base in (HOST, TCP, NAMED) for kind in ("prflx", "relay", "x", "")),
    *(HOST.replace(" 1 udp", f" {component} udp") for component in ("0", "001", "256", "999", "\u0661", HUGE)),
    *(HOST.replace("2122194687", priority) for priority in ("0", "9999999999", "-1", "x", "\u0661", HUGE)),
    *(HOST.replace("40000", port) for port in ("0", "04000", "99999", "-1", "\u0664\u0660\u0660\u0660", HUGE)),
    *(
        HOST.replace("192.0.2.1", address)
        for address in ("fe80::1%lo", "::ffff:192.0.2.1", "1.2.3", "1:2:3", "fe80:1:2::3", "::", "[::1]", "a" * 255)
    ),
    *("", "candidate:", "candidate", "\0", HOST[:20], HOST * 2, f"a={HOST}", f"{HOST}\r\na=x", "candidate: 1 udp"),
]


async def in_batches(attempts: Sequence[Coroutine[Any, Any, None]]) -> None:
    for start in range(0, len(attempts), BATCH):
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for attempt in attempts[start : start + BATCH]:
                group.create_task(attempt)


async def opens_or_not(peer: Peer) -> None:
    with contextlib.suppress(SleapRTCError):
        await peer.wait_open()


async def meet_with(pair: tuple[str, str], kind: str, name: str) -> None:
    """Let two peers meet, of whom one gets the mutation `name` of the offer or answer (`kind`)."""
    try:
        async with make_peer(pair[0], BRIEF) as one, make_peer(pair[1], BRIEF) as other:
            offer = await one.create_offer()
            with contextlib.suppress(SleapRTCError):
                answer = await other.accept_offer(dict(mutations(offer))[name] if kind == "offer" else offer)
                await one.accept_answer(dict(mutations(answer))[name] if kind == "answer" else answer)
                await asyncio.gather(opens_or_not(one), opens_or_not(other))
    except Exception as error:
        error.add_note(f"{pair[0]} offers, {pair[1]} answers, {kind}: {name}")
        raise


@pytest.mark.parametrize("kind", ["offer", "answer"])
@pytest.mark.parametrize("pair", [("libwebrtc", "aiortc"), ("aiortc", "libwebrtc")], ids="-".join)
async def test_every_mutation_of_a_description_is_taken_or_refused(pair: tuple[str, str], kind: str) -> None:
    async with make_peer(pair[0], BRIEF) as one, make_peer(pair[1], BRIEF) as other:
        offer = await one.create_offer()
        honest = offer if kind == "offer" else await other.accept_offer(offer)
    await in_batches([meet_with(pair, kind, name) for name, _ in mutations(honest)])


@pytest.mark.parametrize("engine", REAL)
async def test_every_candidate_is_taken_dropped_or_refused(engine: str) -> None:
    async def offer_it(text: str) -> None:
        async with make_peer(engine, BRIEF) as peer:
            await peer.accept_offer(offer)
            assert isinstance(peer, BasePeer)
            with contextlib.suppress(ProtocolError, ValidationError):
                await peer.add_candidate(Candidate(candidate=text))
            # what is beyond our grammar must not bring an engine down either
            await peer._use(Candidate.model_construct(candidate=text))

    async with make_peer(engine, BRIEF) as one:
        offer = await one.create_offer()
        await in_batches([offer_it(text) for text in CANDIDATES])
        # and inside of an offer
        for text in CANDIDATES:
            async with make_peer(engine, BRIEF) as peer:
                with contextlib.suppress(ProtocolError):
                    await peer.accept_offer(f"{offer}a={text}\r\n")


@pytest.mark.parametrize("engine", REAL)
async def test_roles_that_no_engine_can_answer_are_refused(engine: str) -> None:
    async with make_peer(engine, BRIEF) as one, make_peer(engine, BRIEF) as other:
        offer = await one.create_offer()
        with pytest.raises(ProtocolError, match="roles"):
            await other.accept_offer(offer.replace("a=setup:actpass", "a=setup:holdconn"))


@pytest.mark.parametrize("engine", REAL)
@pytest.mark.parametrize("step", ["_describe", "_take_description"])
async def test_what_an_engine_raises_is_a_sentence(engine: str, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> str:
        raise LookupError("media_session.cc:1531")

    async with make_peer(engine, BRIEF) as one, make_peer(engine, BRIEF) as other:
        offer = await one.create_offer()
        monkeypatch.setattr(other, step, fail)
        with pytest.raises(ProtocolError, match=engine) as refusal:
            await other.accept_offer(offer)
        assert "media_session" not in refusal.value.sentence


@pytest.mark.parametrize("engine", REAL)
async def test_a_peer_closed_while_it_answers_says_so(engine: str) -> None:
    async with make_peer(engine, BRIEF) as one, make_peer(engine, BRIEF) as other:
        assert isinstance(other, BasePeer)
        answering = asyncio.ensure_future(other.accept_offer(await one.create_offer()))
        await asyncio.sleep(0)
        await other.close()
        with contextlib.suppress(ConnectionLost):
            await answering
        await other._use(Candidate(candidate=HOST))


@pytest.mark.parametrize("engine", REAL)
async def test_a_cancelled_answer_is_cancelled(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make_peer(engine, BRIEF) as one, make_peer(engine, BRIEF) as other:
        monkeypatch.setattr(other, "_describe", lambda _: asyncio.sleep(3600))
        answering = asyncio.ensure_future(other.accept_offer(await one.create_offer()))
        await asyncio.sleep(0)
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering


@pytest.mark.parametrize("engine", REAL)
async def test_a_candidate_an_engine_dislikes_is_dropped_with_a_line(
    engine: str, timeouts: Timeouts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="sleap_rtc.transport")
    disliked = Candidate(candidate=f"{HOST} x generation y z")  # two names we do not know; libwebrtc sees one it does
    async with meet((engine, engine), timeouts) as meeting:
        await meeting.other.add_candidate(disliked)
        assert isinstance(meeting.other, BasePeer)
        await meeting.other._use(Candidate(candidate=f"{HOST} raddr x rport x"))
        assert f"{engine}: A candidate was not used." in caplog.text
        await meeting.one.channel.send("still here")
        assert await meeting.other.channel.receive() == "still here"


async def test_a_name_that_fails_oddly_is_dropped_with_a_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise LookupError("no such name")

    caplog.set_level(logging.DEBUG, logger="sleap_rtc.transport")
    async with make_peer("aiortc", BRIEF) as one, make_peer("aiortc", BRIEF) as other:
        await other.accept_offer(await one.create_offer())
        assert isinstance(other, AiortcPeer)
        monkeypatch.setattr(other._pc, "addIceCandidate", fail)
        await other.add_candidate(Candidate(candidate=NAMED))
        await asyncio.gather(*other._resolving)
        assert "A candidate was not used. (no such name)" in caplog.text


@pytest.mark.parametrize("engine", ["memory", *REAL])
async def test_our_own_unreadable_candidates_are_not_sent(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    zoned = HOST.replace("192.0.2.1", "fe80::1%eth0")
    async with make_peer(engine, BRIEF) as peer:
        assert isinstance(peer, BasePeer)
        describe = peer._describe

        async def describe_with_zone(kind: str) -> str:
            return f"{await describe(kind)}a={zoned}\r\n"

        monkeypatch.setattr(peer, "_describe", describe_with_zone)
        assert zoned not in await peer.create_offer()
        peer._trickle(Candidate(candidate=zoned))
    assert zoned not in [candidate.candidate async for candidate in peer.candidates()]
