"""Whoever connects and proves nothing holds up nobody."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from secrets import token_bytes

import pytest

from sleap_rtc.client.client import Client
from sleap_rtc.errors import BusyError
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.signaling import Offer
from sleap_rtc.session.link import _connect
from sleap_rtc.worker.worker import UNPROVEN_AT_ONCE
from tests.cli.room_lab import RoomLab, room_lab
from tests.roles.times import TIMEOUTS
from tests.service.people import join, person
from tests.transport.meeting import until_lost

PROOF = 2.0
"""Seconds until a silent connection is dropped: enough for five to be made."""


async def stay_silent(client: Client, worker_id: str, connected: asyncio.Semaphore) -> str:
    """Dial a worker, hear its challenge, and say nothing; return how that ended."""
    link = new_id("link", token_bytes(15))
    async with client._new_peer() as peer:
        with client._board.mailbox(link) as box:
            await client._board.send(Offer(link=link, worker_id=worker_id, sdp=await peer.create_offer()))
            channel = await _connect(client._board, link, box, peer, TIMEOUTS)
        assert json.loads(await channel.receive())["type"] == "hello"
        connected.release()
        return await until_lost(channel)


async def is_idle(lab: RoomLab) -> bool:
    (worker,) = await lab.api.workers(lab.room.room_id)
    return (worker.info.busy, worker.info.queued) == (0, 0)


async def test_five_silent_connections_leave_the_worker_idle_and_end_at_the_deadline(tmp_path: Path) -> None:
    async with room_lab(tmp_path) as lab, lab.worker("gpu", 8, timeouts=replace(TIMEOUTS, proof=PROOF)) as worker:
        mallory = await person(lab.service, "mallory")
        await join(lab.service, mallory, lab.room)
        connected = asyncio.Semaphore(0)
        async with Client.join(lab.service.url, mallory.token, room=lab.room.room_id, timeouts=TIMEOUTS) as client:
            [present] = await client.workers()
            silent = [
                asyncio.ensure_future(stay_silent(client, present.worker_id, connected))
                for _ in range(UNPROVEN_AT_ONCE)
            ]
            for _ in silent:
                await connected.acquire()
            with pytest.raises(BusyError, match="too many clients"):
                await stay_silent(client, present.worker_id, connected)
            assert await is_idle(lab)
            assert not [each for each in silent if each.done()]
            for reason in await asyncio.gather(*silent):
                assert "ended" in reason
            assert worker._unproven == 0
            assert await is_idle(lab)
            async with client.dial(present.worker_id) as honest:
                assert await honest.jobs() == []
