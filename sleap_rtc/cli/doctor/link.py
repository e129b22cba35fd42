"""Checks of what links are made of: addresses to be reached at, and an engine that carries data."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Sequence

from sleap_rtc.cli.doctor.check import Finding, Scene, ok, warn
from sleap_rtc.cli.formats import format_rate, format_size
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.sdp import Candidate, IceServer, candidates_in
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import Room, ServiceAPI
from sleap_rtc.signaling.client import SignalingClient
from sleap_rtc.transport.channel import Channel, Peer
from sleap_rtc.transport.engines import new_peer, preload

MESSAGES = 128
"""Messages sent over the loopback link, each as large as a link allows: 8 MiB."""
SLOW = 1_000_000
"""Bytes a second below which a link would hold back any upload."""

_TYPE = re.compile(r"candidate:\S+ \d+ \S+ \d+ (?P<host>\S+) \d+ typ (?P<type>\w+)")
_KINDS = {"srflx": "reflexive", "prflx": "reflexive"}


async def check_ice(scene: Scene) -> Finding:
    """At which addresses can other machines reach this one, with the service's STUN and TURN servers?"""
    servers, remark = await _ice_servers(scene)
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
    began = time.monotonic()
    async with (
        new_peer(scene.engine, timeouts=scene.timeouts) as one,
        new_peer(scene.engine, timeouts=scene.timeouts) as other,
        asyncio.TaskGroup() as tasks,
    ):
        await one.accept_answer(await other.accept_offer(await one.create_offer()))
        passing = [tasks.create_task(_pass_on(*ends)) for ends in ((one, other), (other, one))]
        sender, receiver = await one.wait_open(), await other.wait_open()
        opened = time.monotonic() - began
        size, took = await _measure(sender, receiver)
        for task in passing:
            task.cancel()
    rate = size / took
    details = {"engine": engine, "seconds_to_open": round(opened, 3), "bytes": size, "bytes_per_second": round(rate)}
    said = (
        f"A link of this machine with itself ({engine}) was up after {opened * 1000:.0f} ms and carried "
        f"{format_size(size)} at {format_rate(rate)}"
    )
    if rate < SLOW:
        return warn(f"{said}: this machine is too busy or too slow for large packages.", **details)
    return ok(f"{said}.", **details)


async def _measure(sender: Channel, receiver: Channel) -> tuple[int, float]:
    """Send bytes and wait until the last one arrived; return how many, and the seconds it took."""
    message = bytes(sender.max_message_size)

    async def send() -> None:
        for _ in range(MESSAGES):
            await sender.send(message)

    began = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(send())
        for _ in range(MESSAGES):
            await receiver.receive()
    return len(message) * MESSAGES, time.monotonic() - began


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


async def _ice_servers(scene: Scene) -> tuple[list[IceServer], str]:
    """The service's STUN and TURN servers, and what is to be said about having none."""
    if Credentials().login(scene.server) is None:
        return [], " STUN and TURN were not tried: the service names its servers only to who is logged in."
    try:
        account = Account(scene.server, timeouts=scene.timeouts)
        rooms = await ServiceAPI(scene.server, account, timeouts=scene.timeouts).rooms()
        room = _some_room(rooms, scene.settings.default_room)
        if room is None:
            return [], " STUN and TURN were not tried: the service names its servers in a room, and you have none."
        async with SignalingClient(scene.server, account, timeouts=scene.timeouts, room=room.room_id) as signaling:
            servers = (await signaling.welcome()).ice_servers
    except SleapRTCError as error:
        return [], f" STUN and TURN were not tried: {error.sentence}"
    if not servers:
        return [], " The service names no STUN or TURN server: peers behind different routers may not find each other."
    return list(servers), ""


def _some_room(rooms: Sequence[Room], default: str | None) -> Room | None:
    now = time.time() * 1000
    living = [room for room in rooms if room.expires_at is None or room.expires_at > now]
    wanted = [room for room in living if default in (room.room_id, room.name)]
    return next(iter(wanted or living), None)
