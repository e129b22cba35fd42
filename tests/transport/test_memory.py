import asyncio

import pytest

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError
from sleap_rtc.transport import MemoryPeer, memory_pair
from sleap_rtc.transport.memory import MemoryLink
from tests.transport.meeting import meet


async def test_pair_carries_messages_with_delay() -> None:
    one, other = memory_pair(delay=0.001)
    for n in range(100):
        await one.send(str(n))
    assert [await other.receive() for _ in range(100)] == [str(n) for n in range(100)]


async def test_link_drops_after_so_many_messages() -> None:
    one, other = memory_pair(drop_after=3)
    for n in range(5):
        await one.send(str(n))
    assert [await other.receive() for _ in range(3)] == ["0", "1", "2"]
    for end in (one, other):
        with pytest.raises(ConnectionLost):
            await end.receive()


async def test_cut_link_keeps_what_arrived() -> None:
    one, other = memory_pair()
    await one.send("arrived")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await one.send("under way")
    one.link.cut("The cable was cut.")
    assert await other.receive() == "arrived"
    with pytest.raises(ConnectionLost, match="cable"):
        await other.receive()


async def test_mute_link_loses_everything_and_says_nothing() -> None:
    one, other = memory_pair()
    one.link.mute()
    for _ in range(100):
        await one.send(bytes(65536))
    waiting = asyncio.ensure_future(other.receive())
    await one.close()
    await asyncio.sleep(0)
    assert not waiting.done()
    await other.close()
    with pytest.raises(ConnectionLost):
        await waiting


async def test_peers_share_the_link_of_the_offering_one(timeouts: Timeouts) -> None:
    link = MemoryLink(drop_after=1)
    async with MemoryPeer(timeouts=timeouts, link=link) as one, MemoryPeer(timeouts=timeouts) as other:
        await one.accept_answer(await other.accept_offer(await one.create_offer()))
        await (await other.wait_open()).send("last")
        assert await one.channel.receive() == "last"
        with pytest.raises(ConnectionLost):
            await one.channel.receive()


async def test_offer_of_another_process_is_refused(timeouts: Timeouts) -> None:
    async with meet(("memory", "memory"), timeouts) as meeting, MemoryPeer() as third:
        offer = meeting.offer.replace("ice-ufrag:", "ice-ufrag:f")
        with pytest.raises(ProtocolError):
            await third.accept_offer(offer)
