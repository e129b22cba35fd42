"""The STUN and TURN servers that the service names to this user."""

import time
from collections.abc import Sequence

from sleap_rtc.cli.doctor.check import Scene
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import Room, ServiceAPI
from sleap_rtc.signaling.client import SignalingClient


async def ice_servers(scene: Scene) -> tuple[list[IceServer], str]:
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
