"""A service that is started anew while peers are there: what of theirs is lost."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.signaling.address import service_address
from sleap_rtc.signaling.api import ServiceAPI
from sleap_rtc.signaling.grants import Refusal, refresh
from tests.bench.crowds import Room, make_rooms, peers_in, say
from tests.bench.served import Served

ROOMS, PAIRS = 25, 4
"""Rooms, and of each so many workers, each with a client that has a link to it."""
INVITES = 4
"""Of each room; each is for one person."""
SETTLE = 60.0


@dataclass(frozen=True)
class Restarted:
    """What was lost of what, and the longest time in seconds that a peer did not hear the service."""

    lost: dict[str, int]
    away: float


def restart_under_peers(served: Served, folder: Path) -> Restarted:
    """Link peers, start the service anew under them, and look at what they have left."""
    rooms = asyncio.run(make_rooms(served.url, ROOMS))
    codes = asyncio.run(_invite(served.url, rooms))
    with peers_in("linked_process", served.url, folder, "linked") as peers:
        there = peers.ask(link=rooms, pairs=PAIRS)
        served.restart()
        told = peers.ask(settle=SETTLE)
    lost = {"links": told["lost_links"], "peers": told["lost_peers"]}
    lost["invites"] = asyncio.run(_count_lost_invites(served.url, codes))
    lost["logins"] = asyncio.run(_count_lost_logins(served.url, rooms))
    kept = f"{there['links']} links, {len(codes)} invites, {len(rooms)} logins"
    named = f"{served.workers} process{'es' if served.workers > 1 else ''}"
    gone = ", ".join(f"{number} {what}" for what, number in lost.items())
    say("restart", f"{named}, {there['peers']} peers", f"{kept}; lost: {gone}; away {told['away']:.2f} s at most")
    say("", f"{told['moved']} peers had to come back")
    return Restarted(lost, round(told["away"], 2))


async def _invite(url: str, rooms: list[Room]) -> list[str]:
    return [
        (await ServiceAPI(url, room["client"]).create_invite(room["room"])).code
        for room in rooms
        for _ in range(INVITES)
    ]


async def _count_lost_invites(url: str, codes: list[str]) -> int:
    lost = 0
    for number, code in enumerate(codes):
        guest = await ServiceAPI(url).login_dev(f"guest-{number}")
        try:
            await ServiceAPI(url, guest.access_token).redeem_invite(code)
        except SleapRTCError:
            lost += 1
    return lost


async def _count_lost_logins(url: str, rooms: list[Room]) -> int:
    lost = 0
    for room in rooms:
        try:
            await ServiceAPI(url, room["client"]).me()
            lost += isinstance(await refresh(service_address(url), room["refresh"], Timeouts()), Refusal)
        except SleapRTCError:
            lost += 1
    return lost
