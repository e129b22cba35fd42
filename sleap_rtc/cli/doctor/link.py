"""Checks of what links are made of: addresses to be reached at, and an engine that carries data."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from sleap_rtc.cli.doctor.check import Finding, Scene, ok, warn
from sleap_rtc.cli.doctor.servers import ice_servers
from sleap_rtc.cli.formats import format_rate, format_size
from sleap_rtc.errors import ungrouped
from sleap_rtc.protocol.sdp import Candidate, IceServer, candidates_in
from sleap_rtc.transport.channel import Channel, Peer
from sleap_rtc.transport.engines import new_peer, preload
from sleap_rtc.transport.paths import NetworkPath

MESSAGES = 128
"""Messages sent over the loopback link, each as large as a link allows: 8 MiB."""
SLOW = 1_000_000
"""Bytes a second below which a link would hold back any upload."""

_TYPE = re.compile(r"candidate:\S+ \d+ \S+ \d+ (?P<host>\S+) \d+ typ (?P<type>\w+)")
_KINDS = {"srflx": "reflexive", "prflx": "reflexive"}


async def check_ice(scene: Scene) -> Finding:
    """At which addresses can other machines reach this one, with the service's STUN and TURN servers?"""
    servers, remark = await ice_servers(scene)
    await asyncio.to_thread(preload, scene.engine)
    kinds = await _gather(scene, servers)
    schemes = {url.partition(":")[0].removesuffix("s") for server in servers for url in server.urls}
    details = {**kinds, "stun": "stun" in schemes, "turn": "turn" in schemes}
    found = (
        f"{kinds['host']} of this machine, {kinds['reflexive']} seen by STUN or TURN, {kinds['relay']} relayed by TURN"
    )
    if "turn" in schemes and not kinds["relay"]:
        return warn(
            f"The service's TURN server gave no address (found: {found}). Where both sides are behind firewalls, "
            "links will fail: tell the service's admin.",
            **details,
        )
    if "stun" in schemes and not kinds["reflexive"]:
        return warn(
            f"The service's STUN server did not answer (found: {found}): a firewall may block UDP here.", **details
        )
    if not kinds["host"]:
        return warn("This machine has no network address but its own loopback: only itself can reach it.", **details)
    return ok(f"Addresses to be reached at: {found}.{remark}", **details)


async def check_link(scene: Scene) -> Finding:
    """Does a link of this machine with itself come up, and how fast is it?"""
    engine = await asyncio.to_thread(preload, scene.engine)
    found = await self_link(scene)
    details = {
        "engine": engine,
        "seconds_to_open": round(found.opened, 3),
        "bytes": found.size,
        "bytes_per_second": round(found.rate),
        "way": found.path.way if found.path else None,
    }
    said = (
        f"A link of this machine with itself ({engine}{f', {found.path}' if found.path else ''}) was up after "
        f"{found.opened * 1000:.0f} ms and carried {format_size(found.size)} at {format_rate(found.rate)}"
    )
    if found.rate < SLOW:
        return warn(f"{said}: this machine is too busy or too slow for large packages.", **details)
    return ok(f"{said}.", **details)


@dataclass(frozen=True)
class SelfLink:
    """A link of this machine with itself, and what it carried.

    Attributes:
        opened: seconds until it was up.
        size: bytes that arrived.
        seconds: in which they did.
        path: which way it went.
    """

    opened: float
    size: int
    seconds: float
    path: NetworkPath | None

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.size / self.seconds


async def self_link(
    scene: Scene, *, servers: Sequence[IceServer] = (), relay_only: bool = False, seconds: float | None = None
) -> SelfLink:
    """Link this machine with itself and send `MESSAGES`, for at most so many seconds.

    Raises:
        UnreachableError: if the link does not come up.
    """

    def peer() -> Peer:
        return new_peer(scene.engine, ice_servers=servers, timeouts=scene.timeouts, relay_only=relay_only)

    began = time.monotonic()
    with ungrouped():
        async with peer() as one, peer() as other, asyncio.TaskGroup() as tasks:
            await one.accept_answer(await other.accept_offer(await one.create_offer()))
            passing = [tasks.create_task(_pass_on(*ends)) for ends in ((one, other), (other, one))]
            sender, receiver = await one.wait_open(), await other.wait_open()
            opened = time.monotonic() - began
            size, took = await _measure(sender, receiver, seconds)
            path = await one.path()
            for task in passing:
                task.cancel()
    return SelfLink(opened, size, took, path)


async def _measure(sender: Channel, receiver: Channel, seconds: float | None) -> tuple[int, float]:
    """Send bytes until the last one arrived or the time is over; return how many did, and the seconds it took."""
    message, arrived = bytes(sender.max_message_size), 0

    async def send() -> None:
        for _ in range(MESSAGES):
            await sender.send(message)

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        sending = tasks.create_task(send())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in range(MESSAGES):
                    arrived += len(await receiver.receive())
        sending.cancel()
    return arrived, time.monotonic() - began


async def _pass_on(one: Peer, other: Peer) -> None:
    async for candidate in one.candidates():
        await other.add_candidate(candidate)


async def _gather(scene: Scene, servers: Sequence[IceServer]) -> dict[str, int]:
    """Count the kinds of candidates; loopback addresses, which lead nowhere else, are left out."""
    found: list[str] = []
    async with new_peer(scene.engine, ice_servers=servers, timeouts=scene.timeouts, allow_loopback=False) as peer:
        found += candidates_in(await peer.create_offer())
        try:
            async with asyncio.timeout(scene.timeouts.gathering * 2):
                async for candidate in peer.candidates():
                    found.append(_text(candidate))
        except TimeoutError:
            pass  # a server that does not answer; what was found counts
    matches = [match for text in set(found) if (match := _TYPE.match(text))]
    # an address counts once, whatever protocol it is offered with
    addresses = {(_KINDS.get(match["type"], match["type"]), match["host"]) for match in matches}
    counted = Counter(kind for kind, _ in addresses)
    return {kind: counted[kind] for kind in ("host", "reflexive", "relay")}


def _text(candidate: Candidate) -> str:
    return candidate.candidate
