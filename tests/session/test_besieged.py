"""A hostile peer costs a link: the worker goes on, answers everybody else meanwhile, and takes no more memory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from sleap_rtc.errors import ConnectionLost
from sleap_rtc.protocol.link import Done
from sleap_rtc.session.session import Session
from sleap_rtc.transport.channel import Channel
from tests.peak_memory import forget_peak, peak_memory
from tests.session.besieged_worker import Besieged, besieged_worker
from tests.session.malicious_service import JOB
from tests.transport.hostile_peer import (
    MB,
    ask_for_channels,
    send_endless_message,
    send_large_message,
    send_pings,
    send_tiny_messages,
)
from tests.transport.meeting import REAL

MOST_MEMORY = 32 * MB
Attack = Callable[[Channel], Awaitable[None]]


async def keep_asking(session: Session) -> None:
    while True:
        await session.request(JOB, Done)


async def attacked(worker: Besieged, engine: str, attack: Attack, *, lane: bool = False) -> str:
    """Misuse a proven link until the worker has ended it; return why, as the worker says."""
    with suppress(ConnectionLost):
        async with worker.dialled(engine) as session:
            with await session.slot(1) as slot:
                channel = slot.lane.peer.channel if lane else session._channel
            attacking = asyncio.ensure_future(attack(channel))
            ended = asyncio.ensure_future(worker.ended.get())
            if attack is send_pings:
                await asyncio.wait([attacking, ended], return_when=asyncio.FIRST_COMPLETED)
            else:
                await ended
            attacking.cancel()
            await asyncio.gather(attacking, return_exceptions=True)
    return await ended


ATTACKS: dict[str, tuple[str, Attack, bool]] = {
    "a message of 2 MiB": ("hostile", send_large_message, False),
    "an endless message": ("hostile", send_endless_message, False),
    "a million tiny messages": ("libwebrtc", send_tiny_messages, False),
    "a million tiny messages over a lane": ("libwebrtc", send_tiny_messages, True),
    "pings without end": ("libwebrtc", send_pings, False),
    "200 channels": ("hostile", ask_for_channels, False),
}


@pytest.mark.parametrize("engine", REAL)
async def test_a_hostile_peer_costs_its_link_and_nobody_else_anything(engine: str) -> None:
    async with besieged_worker(engine) as worker, worker.dialled("libwebrtc") as honest:
        await honest.request(JOB, Done)
        for name, (attacker, attack, lane) in ATTACKS.items():
            before = forget_peak(worker.pid)
            asking = asyncio.ensure_future(keep_asking(honest))
            reason = await attacked(worker, attacker, attack, lane=lane)
            assert reason, name
            assert peak_memory(worker.pid) <= before + MOST_MEMORY, name
            assert not asking.done(), name
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await honest.request(JOB, Done)
        async with worker.dialled("libwebrtc") as another:
            await another.request(JOB, Done)
