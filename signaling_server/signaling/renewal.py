"""TURN credentials end after an hour and a WebSocket lives for days: peers are told new ones while they are here."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from signaling_server.signaling.members import Member
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.protocol.signaling import IceServers

SPREAD = 0.2
"""By which share a renewal may come early: thousands who came back together are not served together for ever."""


@contextmanager
def renewing(member: Member, servers: Callable[[], list[IceServer]], every: float | None) -> Iterator[None]:
    """Tell `member` its servers again and again while the block runs.

    A timer of the loop and no task: thousands of idle peers cost next to nothing. Who is being sent away gets no more.

    Args:
        member: the peer.
        servers: makes what it is told.
        every: seconds from one time to the next; None for a peer to whom there is nothing new to say.
    """
    if every is None:
        yield
        return
    pause, loop = every, asyncio.get_running_loop()
    timer: asyncio.TimerHandle

    def wait() -> asyncio.TimerHandle:
        return loop.call_later(pause * (1 - SPREAD * random.random()), renew)  # noqa: S311 - spreads load, hides nothing

    def renew() -> None:
        nonlocal timer
        if not member.outbox.ended.is_set():
            member.send(IceServers(ice_servers=servers()))
            timer = wait()

    timer = wait()
    try:
        yield
    finally:
        timer.cancel()
