"""Peers with links between them, who look whether they notice that their service is started anew.

Run as ``python -m tests.bench.linked_process URL``. Takes an object a line and answers each with one:

- ``{"link": [room, …], "pairs": N}``: of each room so many workers come in and so many clients, who link to them; a
  room is as `crowd_process` takes it. Answers ``{"links", "peers"}``.
- ``{"settle": S}``: waits until everybody hears the service again and sees all workers of the room, at most so many
  seconds. Answers ``{"lost_links", "lost_peers", "away"}``: links that have ended or answer no more, peers that did not
  come back, and the longest time, in seconds, that one of them did not hear the service; and ``{"moved"}``: how many of
  them lost it for a moment.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.cli.running import run_async
from sleap_rtc.config.identity import Identity
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.jobs import JobList, JobListed
from sleap_rtc.session.link import LinkSettings, accept, dial
from sleap_rtc.session.session import Session
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.signaling.client import Registration, ServiceState, SignalingClient
from sleap_rtc.transport.engines import new_peer
from tests.bench.crowd_process import INFO

TIMEOUTS = Timeouts()
LOOK_EVERY = 0.2


@dataclass
class Heard:
    """Since when a peer does not hear the service, and for how long it did not at most."""

    lost_at: float | None = None
    longest: float = 0.0
    times: int = 0

    def note(self, state: ServiceState) -> None:
        """Take note of a change."""
        now = time.perf_counter()
        if not state.connected and self.lost_at is None:
            self.lost_at = now
            self.times += 1
        elif state.connected and self.lost_at is not None:
            self.longest = max(self.longest, now - self.lost_at)
            self.lost_at = None


@dataclass
class Couple:
    """A worker and a client of its room, each with what it heard, and the client's end of their link."""

    worker: SignalingClient
    client: SignalingClient
    heard: list[Heard] = field(default_factory=list)
    session: Session | None = None


class Linked:
    """Everybody in this process.

    Args:
        url: the service.
        stack: what ends them.
    """

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack
        self._rooms: list[list[Couple]] = []

    async def link(self, link: list[dict[str, str]], pairs: int) -> dict[str, Any]:
        """Let them come in and link, one after the other."""
        for room in link:
            self._rooms.append([await self._couple(room) for _ in range(pairs)])
        number = len(link) * pairs
        return {"links": number, "peers": 2 * number}

    async def settle(self, within: float) -> dict[str, Any]:
        """Wait until all is as it was, and tell what is not."""
        until = time.perf_counter() + within
        lost_peers = lost_links = 0
        for room in self._rooms:
            for couple in room:
                back = await _sees(couple.client, len(room), until)
                lost_peers += (not back) + (couple.heard[0].lost_at is not None)
                lost_links += not await _answers(couple.session)
        heard = [each for room in self._rooms for couple in room for each in couple.heard]
        away = max(each.longest for each in heard)
        return {
            "lost_links": lost_links,
            "lost_peers": lost_peers,
            "away": away,
            "moved": sum(h.times > 0 for h in heard),
        }

    async def _couple(self, room: dict[str, str]) -> Couple:
        key = Ed25519PrivateKey.generate()
        identity = Identity(key)
        heard = [Heard(), Heard()]
        worker = SignalingClient(
            self._url, room["worker"], timeouts=TIMEOUTS, patient=True, on_state=heard[0].note,
            registration=Registration(identity.public_key, identity.sign, "gpu", INFO),
        )  # fmt: skip
        client = SignalingClient(
            self._url, room["client"], room=room["room"], timeouts=TIMEOUTS, patient=True, on_state=heard[1].note
        )
        for peer in (worker, client):
            await self._stack.enter_async_context(peer)
            await peer.welcome()
        couple = Couple(worker, client, heard)
        couple.session = await self._stack.enter_async_context(_linked(worker, client, identity))
        return couple


@asynccontextmanager
async def _linked(worker: SignalingClient, client: SignalingClient, identity: Identity) -> AsyncIterator[Session]:
    settings = LinkSettings(lambda: new_peer(timeouts=TIMEOUTS), timeouts=TIMEOUTS, handlers={JobList: _nothing})
    boards = Switchboard(worker), Switchboard(client)

    async def serve() -> None:
        offer = await boards[0].offers.get()
        async with accept(boards[0], offer, identity, settings) as session:
            await session.wait_closed()

    tasks = [asyncio.create_task(each) for each in (boards[0].run(), boards[1].run(), serve())]
    try:
        async with dial(boards[1], client.principal, identity.worker_id, settings) as session:
            yield session
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing(_: Session, message: JobList) -> Message:
    return JobListed(jobs=(), more=False)


async def _sees(client: SignalingClient, workers: int, until: float) -> bool:
    """Whether a client sees so many workers of its room, sooner or later."""
    while True:
        with suppress(SleapRTCError):
            if len(await client.workers()) >= workers:
                return True
        if time.perf_counter() > until:
            return False
        await asyncio.sleep(LOOK_EVERY)


async def _answers(session: Session | None) -> bool:
    try:
        return session is not None and (await session.request(JobList(), JobListed)).jobs == ()
    except SleapRTCError:
        return False


async def main(url: str) -> None:
    """Do what the lines of standard input say, to their end."""
    async with AsyncExitStack() as stack:
        linked = Linked(url, stack)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            answer = await (linked.settle(asked["settle"]) if "settle" in asked else linked.link(**asked))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    run_async(main(sys.argv[1]))
