"""Two peers of one process that meet; run as ``python -m tests.transport.meeting ENGINE ENGINE`` it says ``met``."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost
from sleap_rtc.transport import Channel, IceServer, MemoryPeer, Peer, available_engines, new_peer
from sleap_rtc.transport.buffered import BufferedChannel

REAL = ["libwebrtc", "aiortc"]
PAIRS = [("memory", "memory"), *((one, other) for one in REAL for other in REAL)]


@dataclass
class Meeting:
    """Two connected peers: `one` offered, `other` answered."""

    one: Peer
    other: Peer
    offer: str
    answer: str

    @property
    def ends(self) -> tuple[BufferedChannel, BufferedChannel]:
        one, other = self.one.channel, self.other.channel
        assert isinstance(one, BufferedChannel)
        assert isinstance(other, BufferedChannel)
        return one, other


def make_peer(
    engine: str, timeouts: Timeouts, ice_servers: Sequence[IceServer] = (), *, relay_only: bool = False
) -> Peer:
    if engine == "memory":
        return MemoryPeer(timeouts=timeouts)
    if engine == "hostile":
        from tests.transport.hostile_peer import hostile_peer

        return hostile_peer(timeouts)
    return new_peer(
        "aiortc" if engine == "aiortc" else "libwebrtc",
        timeouts=timeouts,
        ice_servers=ice_servers,
        relay_only=relay_only,
    )


async def pass_candidates(one: Peer, other: Peer) -> None:
    async for candidate in one.candidates():
        await other.add_candidate(candidate)


@asynccontextmanager
async def meet(
    pair: tuple[str, str], timeouts: Timeouts, ice_servers: Sequence[IceServer] = (), *, relay_only: bool = False
) -> AsyncIterator[Meeting]:
    async with (
        make_peer(pair[0], timeouts, ice_servers, relay_only=relay_only) as one,
        make_peer(pair[1], timeouts, ice_servers, relay_only=relay_only) as other,
        asyncio.TaskGroup() as group,
    ):
        offer = await one.create_offer()
        answer = await other.accept_offer(offer)
        await one.accept_answer(answer)
        passing = [group.create_task(pass_candidates(*ends)) for ends in ((one, other), (other, one))]
        await one.wait_open()
        await other.wait_open()
        yield Meeting(one, other, offer, answer)
        for task in passing:
            task.cancel()


async def until_lost(channel: Channel) -> str:
    """Read until the channel says that it ended."""
    while True:
        try:
            await channel.receive()
        except ConnectionLost as error:
            return error.sentence


async def main(pair: tuple[str, str]) -> None:
    async with meet(pair, Timeouts(gathering=0.2)) as meeting:
        await meeting.one.channel.send("met")
        sys.stdout.write(str(await meeting.other.channel.receive()))


if __name__ == "__main__":
    available_engines()  # imported before the loop runs, which they would hold up
    asyncio.run(main((sys.argv[1], sys.argv[2])))
