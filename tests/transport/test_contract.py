"""What every channel and peer does, whichever engine carries it. A missing engine fails here; it is never skipped."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Awaitable

import pytest

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError, UnreachableError
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.transport import Channel, available_engines, buffered
from sleap_rtc.transport.buffered import HIGH_WATER
from tests.transport.meeting import PAIRS, REAL, make_peer, meet, pass_candidates, until_lost
from tests.transport.remote_peer import RealEngine, remote_peer

Pair = tuple[str, str]
LARGEST = 64 * 1024

pytestmark = pytest.mark.timeout(60)
every_pair = pytest.mark.parametrize("pair", PAIRS, ids="-".join)
real_pairs = pytest.mark.parametrize("pair", PAIRS[1:], ids="-".join)
real_engines = pytest.mark.parametrize("engine", REAL)


async def send_for_ever(channel: Channel) -> None:
    while True:
        await channel.send(bytes(LARGEST))


async def refused(step: Awaitable[object]) -> bool:
    try:
        await step
    except ProtocolError:
        return True
    return False


def test_both_engines_are_here() -> None:
    assert available_engines() == REAL


@every_pair
async def test_opens_and_both_sides_know_the_same_fingerprints(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        assert meeting.one.local_fingerprint == meeting.other.remote_fingerprint
        assert meeting.other.local_fingerprint == meeting.one.remote_fingerprint
        assert meeting.one.local_fingerprint != meeting.other.local_fingerprint


@every_pair
async def test_tells_which_way_it_goes_while_it_is_open(pair: Pair, timeouts: Timeouts) -> None:
    async with make_peer(pair[0], timeouts) as alone:
        assert await alone.path() is None
    async with meet(pair, timeouts) as meeting:
        for end in (meeting.one, meeting.other):
            path = await end.path()
            assert path is not None
            assert (path.way in ("host", "reflexive"), path.carrier, str(path)[:6]) == (True, None, "direct")
    assert await meeting.one.path() is None


@every_pair
async def test_descriptions_have_one_fingerprint_line(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        for sdp in (meeting.offer, meeting.answer):
            assert len(re.findall(r"^a=fingerprint:", sdp, re.MULTILINE)) == 1
            assert len(re.findall(r"^a=fingerprint:sha-256 [0-9A-F:]{95}\r$", sdp, re.MULTILINE)) == 1


@every_pair
async def test_keeps_order_and_kind(pair: Pair, timeouts: Timeouts) -> None:
    sent: list[str | bytes] = [f"Zahl {n} ü" if n % 2 else n.to_bytes(4) for n in range(500)]
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        for message in sent:
            await one.send(message)
        assert [await other.receive() for _ in sent] == sent


@every_pair
async def test_both_directions_at_once(pair: Pair, timeouts: Timeouts) -> None:
    async def talk(channel: Channel) -> list[str | bytes]:
        async with asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(channel.send(n.to_bytes(2) * 8192))
            return [await channel.receive() for _ in range(40)]

    async with meet(pair, timeouts) as meeting:
        heard = await asyncio.gather(*map(talk, meeting.ends))
        assert heard == [[n.to_bytes(2) * 8192 for n in range(40)]] * 2


@every_pair
@pytest.mark.parametrize("message", ["", b"", "x" * LARGEST, bytes(LARGEST), "ü" * (LARGEST // 2)])
async def test_smallest_and_largest_messages(pair: Pair, timeouts: Timeouts, message: str | bytes) -> None:
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        await one.send(message)
        await one.send("after")
        assert await other.receive() == message
        assert await other.receive() == "after"


@every_pair
async def test_refuses_to_send_too_large_a_message(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        most = one.max_message_size
        for message in (bytes(most + 1), "ü" * (most // 2) + "x", "\ud800"):
            with pytest.raises(ProtocolError):
                await one.send(message)
        await one.send("still open")
        assert await other.receive() == "still open"


@every_pair
async def test_too_large_a_message_from_the_peer_ends_the_connection(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        one.max_message_size, other.max_message_size = 4 * LARGEST, LARGEST
        await one.send(bytes(3 * LARGEST))
        assert "larger than" in await until_lost(other)
        await until_lost(one)


@every_pair
async def test_a_peer_that_ignores_the_limits_is_cut_off(
    pair: Pair, timeouts: Timeouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffered, "INBOX_LIMIT", 4 * LARGEST)
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        with pytest.raises(ConnectionLost):
            await send_for_ever(one)
        assert "more than it was allowed" in await until_lost(other)


@every_pair
async def test_sending_waits_at_the_high_water_mark(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        amounts = []

        async def send_all() -> None:
            for _ in range(64):
                await one.send(bytes(LARGEST))
                amounts.append(one.buffered_amount)

        async with asyncio.TaskGroup() as group:
            group.create_task(send_all())
            await asyncio.sleep(0)
            # the engine has not had a turn yet: all that was sent is queued, and not one message more
            assert amounts[-1] == HIGH_WATER == len(amounts) * LARGEST
            for _ in range(64):
                await other.receive()
        assert max(amounts) == HIGH_WATER


@every_pair
async def test_waiting_sender_hears_of_the_end(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        one, _ = meeting.ends
        sending = [asyncio.ensure_future(send_for_ever(one)) for _ in range(3)]
        await asyncio.sleep(0)
        await one.close()
        for outcome in await asyncio.gather(*sending, return_exceptions=True):
            assert isinstance(outcome, ConnectionLost)


@every_pair
@pytest.mark.parametrize("closing", [0, 1])
async def test_close_from_either_side_with_data_queued(pair: Pair, timeouts: Timeouts, closing: int) -> None:
    async with meet(pair, timeouts) as meeting:
        here, there = meeting.ends[closing], meeting.ends[1 - closing]
        for _ in range(10):
            await here.send(bytes(LARGEST))
            await there.send(bytes(LARGEST))
        await here.close()
        await here.close()
        for channel in (here, there):
            await until_lost(channel)
            for _ in range(3):
                with pytest.raises(ConnectionLost):
                    await channel.receive()
                with pytest.raises(ConnectionLost):
                    await channel.send("too late")


@every_pair
async def test_what_arrived_before_the_end_is_still_read(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        await one.send("first")
        await one.send("second")
        assert await other.receive() == "first"
        await other.send("seen")
        assert await one.receive() == "seen"
        await one.close()
        while other.loss is None:
            await other._news.wait()
            other._news.clear()
        assert await other.receive() == "second"
        await until_lost(other)


@every_pair
async def test_cancelled_reader_loses_nothing(pair: Pair, timeouts: Timeouts) -> None:
    async with meet(pair, timeouts) as meeting:
        one, other = meeting.ends
        reader = asyncio.ensure_future(other.receive())
        await asyncio.sleep(0)
        reader.cancel()
        await one.send("kept")
        assert await other.receive() == "kept"


@every_pair
async def test_unconnected_peer_closes(pair: Pair, timeouts: Timeouts) -> None:
    async with make_peer(pair[0], timeouts) as one, make_peer(pair[1], timeouts) as other:
        await other.accept_offer(await one.create_offer())
    for peer in (one, other):
        async for _ in peer.candidates():
            pass
        with pytest.raises(UnreachableError):
            await peer.wait_open()
        with pytest.raises(ConnectionLost):
            await peer.create_offer()


@every_pair
async def test_an_answer_that_never_comes_is_a_sentence(pair: Pair) -> None:
    async with make_peer(pair[0], Timeouts(gathering=0.2, connect=0.1)) as one:
        await one.create_offer()
        with pytest.raises(UnreachableError, match="did not answer within"):
            await one.wait_open()


@every_pair
async def test_steps_out_of_order_are_refused(pair: Pair, timeouts: Timeouts) -> None:
    async with make_peer(pair[0], timeouts) as one, make_peer(pair[1], timeouts) as other:
        answer = await other.accept_offer(await one.create_offer())
        with pytest.raises(ProtocolError):
            await other.accept_answer(answer)
        with pytest.raises(ProtocolError):
            await one.create_offer()


def forgeries(sdp: str) -> dict[str, str]:
    """What a service in the middle may make of an honest description."""
    line = next(line for line in sdp.splitlines() if line.startswith("a=fingerprint:"))
    digits = ":".join(["AB"] * 32)
    forged = {
        name: f"a=fingerprint:{name} " + ":".join(["AB"] * size)
        for name, size in (("sha-256", 32), ("sha-384", 48), ("sha-512", 64))
    }
    made = {"none": sdp.replace(line + "\r\n", ""), "twice": sdp.replace(line, f"{line}\r\n{line}")}
    for name, other in forged.items():
        made[f"{name} before"] = sdp.replace(line, f"{other}\r\n{line}")
        made[f"{name} after"] = sdp.replace(line, f"{line}\r\n{other}")
        made[f"{name} at the end"] = f"{sdp}{other}\r\n"
    made["sha-1"] = sdp.replace(line, f"a=fingerprint:sha-1 {digits[:59]}")
    made["second media"] = f"{sdp}m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n"
    made["1000 candidates"] = sdp + "".join(
        f"a=candidate:1 1 udp 1 127.0.0.1 {port} typ host\r\n" for port in range(2000, 3000)
    )
    return made


@every_pair
async def test_forged_descriptions_are_refused_on_arrival(pair: Pair, timeouts: Timeouts) -> None:
    async with make_peer(pair[0], timeouts) as one:
        offer = await one.create_offer()
        for name, forged in forgeries(offer).items():
            async with make_peer(pair[1], timeouts) as other:
                assert await refused(other.accept_offer(forged)), name
        async with make_peer(pair[1], timeouts) as other:
            answer = await other.accept_offer(offer)
            for name, forged in forgeries(answer).items():
                async with make_peer(pair[0], timeouts) as again:
                    await again.create_offer()
                    assert await refused(again.accept_answer(forged)), name


@every_pair
async def test_a_swapped_fingerprint_never_opens(pair: Pair, timeouts: Timeouts) -> None:
    async with make_peer(pair[0], timeouts) as one, make_peer(pair[1], timeouts) as other:
        answer = await other.accept_offer(await one.create_offer())
        await one.accept_answer(re.sub(r"sha-256 [0-9A-F:]+", "sha-256 " + ":".join(["AB"] * 32), answer))
        async with asyncio.TaskGroup() as group:
            passing = [group.create_task(pass_candidates(*ends)) for ends in ((one, other), (other, one))]
            with pytest.raises(UnreachableError):
                await one.wait_open()
            for task in passing:
                task.cancel()


@real_pairs
async def test_a_dead_stun_server_holds_nobody_up(pair: Pair, timeouts: Timeouts) -> None:
    dead = IceServer(urls=["stun:127.0.0.1:9"])
    async with meet(pair, timeouts, [dead]) as meeting:
        await meeting.one.channel.send("here")
        assert await meeting.other.channel.receive() == "here"


def can_unshare() -> bool:
    unshare = shutil.which("unshare")
    return bool(unshare) and not subprocess.run(["unshare", "-rn", "true"], check=False).returncode


@pytest.mark.netns
@real_pairs
async def test_a_machine_with_loopback_alone(pair: Pair) -> None:
    if not can_unshare():
        pytest.skip("no network namespace can be made here without privileges")
    script = f"ip link set lo up && exec {sys.executable} -W error -m tests.transport.meeting {pair[0]} {pair[1]}"
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-rn", "sh", "-c", script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert (said, process.returncode) == (b"met", 0), complained.decode()
    assert b"Traceback" not in complained


@real_engines
async def test_a_killed_peer_is_silent_or_lost(engine: RealEngine, timeouts: Timeouts) -> None:
    async with remote_peer(engine, "echo", local=engine, timeouts=timeouts) as remote:
        await remote.channel.send("there?")
        assert await remote.channel.receive() == "there?"
        reader = asyncio.ensure_future(until_lost(remote.channel))
        await remote.kill()
        await remote.channel.send("into the void")
        await remote.channel.close()
        await reader
