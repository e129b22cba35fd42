"""The lanes of a link: opened by wish, shared by all who ask, and replaced when they die."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from sleap_rtc.errors import ConnectionLost, LaneLost, SleapRTCError, UnreachableError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import FileGet
from sleap_rtc.protocol.link import Done, LaneCandidate, LaneOpen, LaneWanted
from sleap_rtc.protocol.sdp import Candidate
from sleap_rtc.protocol.streams import LINK_WINDOW
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.streams import SendStream
from sleap_rtc.session.window import MOST_STREAMS, Window
from sleap_rtc.transport.channel import Peer
from sleap_rtc.transport.memory import MemoryPeer
from tests.session.linked import SHORT, STEADY, Meeting, linked, meeting

MB = 1024 * 1024


async def send_zeros(_: Session, message: FileGet, stream: SendStream) -> None:
    await stream.write(bytes(message.size), last=True)


async def bring(session: Session, size: int = MB) -> int:
    """Ask for bytes until they have come, over whatever lane lives."""
    while True:
        with await session.slot(size) as slot:
            try:
                async with session.ask(slot, FileGet, transfer="t", file=0, offset=0, size=size) as stream:
                    return sum(map(len, await stream.parts()))
            except LaneLost:
                continue


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other tasks bring about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


def lane_peers(found: Meeting) -> list[MemoryPeer]:
    """The peers of both ends that carry lanes; the first two carry control."""
    return [peer for peer in found.peers[2:] if isinstance(peer, MemoryPeer)]


@pytest.mark.parametrize("receiver", ["client", "worker"])
async def test_whoever_receives_gets_the_lanes_it_wants_and_gives_them_back(receiver: str) -> None:
    producers: Producers = {FileGet: send_zeros}
    async with (
        meeting(timeouts=STEADY, client_producers=producers, worker_producers=producers) as found,
        linked(found) as (client, worker),
    ):
        session = client if receiver == "client" else worker
        for count in (4, 16, 1):
            session._lanes.want(count)
            await until(lambda count=count: len(client._lanes.all_open) == len(worker._lanes.all_open) == count)  # type: ignore[misc]
            assert await asyncio.gather(*(bring(session) for _ in range(2 * count))) == [MB] * 2 * count


async def test_a_lane_that_is_still_used_ends_only_afterwards() -> None:
    gate = asyncio.Event()

    async def wait_and_send(session: Session, message: FileGet, stream: SendStream) -> None:
        await gate.wait()
        await stream.write(bytes(message.size), last=True)

    async with (
        meeting(timeouts=STEADY, worker_producers={FileGet: wait_and_send}) as found,
        linked(found) as (client, worker),
    ):
        client._lanes.want(4)
        await until(lambda: len(client._lanes.usable) == 4)
        brought = [asyncio.ensure_future(bring(client, 1000)) for _ in range(8)]
        await until(lambda: all(lane.asked for lane in client._lanes.usable))
        client._lanes.want(1)
        assert len(client._lanes._lanes) == 4
        gate.set()
        assert await asyncio.gather(*brought) == [1000] * 8
        await until(lambda: len(worker._lanes._lanes) == 1)


@pytest.mark.parametrize("how", ["cut", "mute"])
async def test_a_lane_that_dies_costs_only_what_was_under_way_on_it(how: str) -> None:
    async with meeting(worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, worker):
        client._lanes.want(3)
        await until(lambda: len(client._lanes.all_open) == len(worker._lanes.all_open) == 3)
        brought = [asyncio.ensure_future(bring(client)) for _ in range(30)]
        victim = lane_peers(found)[0].channel.link
        await until(lambda: client._lanes.received > 3 * MB)
        (victim.cut if how == "cut" else victim.mute)()
        assert await asyncio.gather(*brought) == [MB] * 30
        assert client.close_reason is None
        assert worker.close_reason is None


async def test_the_only_lane_is_replaced_when_it_dies() -> None:
    async with meeting(timeouts=STEADY, worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, _):
        for _ in range(3):
            assert await bring(client) == MB
            lane_peers(found)[-1].channel.link.cut()
        assert await bring(client) == MB


async def test_a_side_that_sends_nothing_of_what_it_is_asked_for_is_given_up() -> None:
    async def never(session: Session, message: FileGet, stream: SendStream) -> None:
        await asyncio.Event().wait()

    async with meeting(worker_producers={FileGet: never}) as found, linked(found) as (client, _):
        with pytest.raises(ConnectionLost, match="sends nothing"):
            await bring(client)


async def test_a_further_lane_that_does_not_open_costs_nothing() -> None:
    made = 0

    class Unlucky(MemoryPeer):
        async def create_offer(self) -> str:
            raise LaneLost("No further connection is let through.")

    def make() -> Peer:
        nonlocal made
        made += 1
        return Unlucky(timeouts=SHORT) if made > 4 else MemoryPeer(timeouts=SHORT)

    async with meeting(worker_producers={FileGet: send_zeros}, new_peer=make) as found, linked(found) as (client, _):
        await until(lambda: len(client._lanes.usable) == 1)
        client._lanes.want(2)
        await until(lambda: made > 4)
        assert await bring(client) == MB
        assert client.close_reason is None


def none_after(most: int) -> Callable[[], Peer]:
    """Makes so many peers, as a service does that takes back the relays that all of them need."""
    made = 0

    def make() -> Peer:
        nonlocal made
        made += 1
        if made > most:
            raise UnreachableError("No relay any more.")
        return MemoryPeer(timeouts=SHORT)

    return make


async def test_a_further_lane_that_cannot_be_made_costs_nothing() -> None:
    async with (
        meeting(worker_producers={FileGet: send_zeros}, new_peer=none_after(4)) as found,
        linked(found) as (client, _),
    ):
        await until(lambda: len(client._lanes.usable) == 1)
        client._lanes.want(2)
        assert await bring(client) == MB
        assert client.close_reason is None


async def test_a_link_that_can_have_no_lane_ends_with_the_reason() -> None:
    async with meeting(new_peer=none_after(2)) as found, linked(found) as (client, _):
        assert "No relay any more." in str(await client.wait_closed())


async def test_what_is_under_way_never_exceeds_the_window_and_everybody_gets_a_turn() -> None:
    under_way = most = 0
    order: list[str] = []

    async with meeting(timeouts=STEADY, worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, _):

        async def transfer(name: str) -> None:
            nonlocal under_way, most
            for _ in range(20):
                with await client.slot(MB) as slot:
                    under_way += MB
                    most = max(most, under_way)
                    async with client.ask(slot, FileGet, transfer="t", file=0, offset=0, size=MB) as stream:
                        await stream.parts()
                    under_way -= MB
                order.append(name)

        await asyncio.gather(*(transfer(name) for name in "abcdefgh"))
    assert most <= LINK_WINDOW
    # nobody is done before everybody has had half of theirs
    first_done = min(len(order) - 1 - order[::-1].index(name) for name in "abcdefgh")
    assert all(order[:first_done].count(name) >= 10 for name in "abcdefgh")


async def test_many_tiny_requests_are_bounded_too() -> None:
    async with meeting(timeouts=STEADY, worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, _):
        slots = [await client.slot(1) for _ in range(MOST_STREAMS)]
        waiting = asyncio.ensure_future(client.slot(1))
        await asyncio.sleep(0)
        assert not waiting.done()
        slots[0].release()
        (await waiting).release()


async def test_giving_up_while_waiting_leaves_no_place_taken() -> None:
    async with meeting(timeouts=STEADY, worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, _):
        first = await client.slot(LINK_WINDOW)
        waiting = asyncio.ensure_future(client.slot(MB))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        # given to it and cancelled in the same breath
        late = asyncio.ensure_future(client.slot(MB))
        await asyncio.sleep(0)
        first.release()
        late.cancel()
        await asyncio.wait({late})
        assert client._window._held == 0
        (await client.slot(LINK_WINDOW)).release()


@pytest.mark.parametrize(
    "message",
    [LaneOpen(lane=0, sdp="v=0"), LaneOpen(lane=5, sdp="nonsense")],
    ids=["twice", "nonsense"],
)
async def test_a_lane_that_cannot_be_is_refused_and_the_link_stays(message: Message) -> None:
    async with meeting(worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, worker):
        assert await bring(client) == MB
        with pytest.raises(Exception, match=r"."):
            await client.request(message, Done)
        assert await bring(client) == MB
        assert worker.close_reason is None


async def test_lanes_are_opened_by_the_side_that_dialled_alone() -> None:
    async with meeting(worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, worker):
        with pytest.raises(Exception, match="opened by the side that dialled"):
            await worker.request(LaneOpen(lane=9, sdp="v=0"), Done)
        await client.notify(LaneWanted(lanes=16))  # the wrong way round: not for the worker to open any
        assert await bring(client) == MB
        assert len(client._lanes.usable) == 1


async def test_a_link_that_loses_everything_fails_whoever_waits() -> None:
    async with meeting(timeouts=replace(SHORT, dead=0.2)) as found, linked(found) as (client, _):
        window: Window = client._window
        await client.slot(LINK_WINDOW)
        waiting = asyncio.ensure_future(client.slot(1))
        await asyncio.sleep(0)
        client.end(ConnectionLost("Cut."))
        with pytest.raises(ConnectionLost, match="Cut"):
            await waiting
        with pytest.raises(ConnectionLost, match="Cut"):
            await window.slot(1)


async def test_one_sides_wish_ends_no_lane_that_the_other_side_wants() -> None:
    producers: Producers = {FileGet: send_zeros}
    async with (
        meeting(timeouts=STEADY, client_producers=producers, worker_producers=producers) as found,
        linked(found) as (client, worker),
    ):
        worker._lanes.want(4)
        await until(lambda: len(worker._lanes.all_open) == 4)
        brought = [asyncio.ensure_future(bring(worker)) for _ in range(20)]
        client._lanes.want(2)
        client._lanes.want(1)
        assert await asyncio.gather(*brought) == [MB] * 20
        assert len(client._lanes.all_open) == 4
        assert client._lanes._next == 4  # none was opened in another one's stead


async def test_a_lane_that_falls_silent_after_it_was_retired_is_noticed_too() -> None:
    async with meeting(worker_producers={FileGet: send_zeros}) as found, linked(found) as (client, worker):
        client._lanes.want(3)
        await until(lambda: len(client._lanes.all_open) == len(worker._lanes.all_open) == 3)
        brought = [asyncio.ensure_future(bring(client)) for _ in range(30)]
        await until(lambda: client._lanes.received > 2 * MB)
        for peer in lane_peers(found)[2:]:
            peer.channel.link.mute()
        client._lanes.want(1)
        assert await asyncio.gather(*brought) == [MB] * 30


async def test_a_lane_that_stalls_holds_up_no_other() -> None:
    gate = asyncio.Event()

    async def stall(session: Session, message: FileGet, stream: SendStream) -> None:
        if message.lane == 0:
            await gate.wait()  # as a connection does that waits for a lost packet
        await send_zeros(session, message, stream)

    async with meeting(timeouts=STEADY, worker_producers={FileGet: stall}) as found, linked(found) as (client, _):
        client._lanes.want(2)
        await until(lambda: len(client._lanes.usable) == 2)
        stuck = asyncio.ensure_future(bring(client, 2 * MB))
        await until(lambda: any(lane.asked for lane in client._lanes.usable))
        assert await asyncio.gather(*(bring(client, 1000) for _ in range(20))) == [1000] * 20
        assert not stuck.done()
        gate.set()
        assert await stuck


async def test_an_answer_that_must_be_computed_first_is_waited_for() -> None:
    gate = asyncio.Event()

    async def compute(_: Session, message: FileGet, stream: SendStream) -> None:
        await gate.wait()
        await stream.write(bytes(message.size), last=True)

    async with meeting(worker_producers={FileGet: compute}) as found, linked(found) as (client, _):
        with await client.slot(1000, due=False) as slot:
            async with client.ask(slot, FileGet, transfer="t", file=0, offset=0, size=1000) as stream:
                reading = asyncio.ensure_future(stream.parts())
                await asyncio.sleep(3 * SHORT.dead)
                assert not reading.done()
                gate.set()
                assert sum(map(len, await reading)) == 1000


async def test_a_lane_that_the_other_side_has_lost_is_asked_for_nothing_more() -> None:
    asked = 0

    async def lost(session: Session, message: FileGet, stream: SendStream) -> None:
        nonlocal asked
        asked += 1
        if message.lane == 0:
            raise LaneLost("It is gone here.")
        await send_zeros(session, message, stream)

    async with meeting(timeouts=STEADY, worker_producers={FileGet: lost}) as found, linked(found) as (client, _):
        assert await asyncio.gather(*(bring(client, 1000) for _ in range(50))) == [1000] * 50
        assert asked <= 2 * 50


async def test_a_bug_in_a_producer_costs_an_answer_not_the_link(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(session: Session, message: FileGet, stream: SendStream) -> None:
        raise ZeroDivisionError

    async with meeting(worker_producers={FileGet: broken}) as found, linked(found) as (client, _):
        with pytest.raises(SleapRTCError, match="failed inside"):
            await bring(client)
        assert client.close_reason is None
    assert "ZeroDivisionError" in caplog.text


async def test_a_candidate_that_comes_in_the_same_breath_as_its_offer_is_kept() -> None:
    found_candidates: list[str] = []

    class Noting(MemoryPeer):
        async def add_candidate(self, candidate: Candidate) -> None:
            found_candidates.append(candidate.candidate)

    async with meeting(new_peer=lambda: Noting(timeouts=SHORT)) as found, linked(found) as (_, worker):
        await until(lambda: len(worker._lanes.all_open) == 1)
        async with Noting(timeouts=SHORT) as peer:
            offer = LaneOpen(lane=7, sdp=await peer.create_offer())
            early = LaneCandidate(lane=7, candidate=Candidate(candidate="candidate:1 1 udp 1 127.0.0.1 5000 typ host"))
            worker._dispatch(offer.model_copy(update={"id": 99}))
            worker._dispatch(early)
            await until(lambda: bool(found_candidates))


async def test_nothing_that_is_started_after_the_end_goes_on() -> None:
    async with meeting() as found, linked(found) as (client, _):
        client.end(ConnectionLost("Cut."))
        task = client.start(asyncio.Event().wait)  # type: ignore[arg-type]
        with pytest.raises(asyncio.CancelledError):
            await task
