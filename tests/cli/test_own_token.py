"""A link outlives the token of its worker, and the login's access token of its client."""

import asyncio
from pathlib import Path

from signaling_server.housekeeping import recheck
from sleap_rtc.client.client import Client
from sleap_rtc.client.link import LinkState
from sleap_rtc.signaling.account import Account
from sleap_rtc.worker.own_token import OwnToken
from tests.cli.room_lab import RoomLab, room_lab
from tests.roles.worker_process import TIMEOUTS
from tests.service.people import DAY, Clock


async def until_tokens(lab: RoomLab, number: int) -> None:
    """Wait until a room has so many worker tokens."""
    async with asyncio.timeout(30):
        while True:
            if len(await lab.api.tokens(lab.room.room_id)) == number and await lab.api.workers(lab.room.room_id):
                return
            await asyncio.sleep(0.05)


async def test_a_link_does_not_notice_that_tokens_were_renewed(tmp_path: Path) -> None:
    async with room_lab(tmp_path) as lab:
        clock = Clock(lab.service)
        token = OwnToken(lab.service.url, lab.api, lab.room, "gpu-1")
        account = Account(lab.service.url)
        heard: list[LinkState] = []
        async with (
            lab.worker("gpu-1", 8, token=token) as worker,
            Client.join(lab.service.url, account, room=lab.room.room_id, timeouts=TIMEOUTS) as client,
        ):
            (present,) = await client.workers()
            dialled = client.dial(present.worker_id, on_state=lambda state, reason: heard.append(state))
            async with dialled as remote:
                before = await remote.link.session()
                clock.now += 8 * DAY
                await recheck(lab.service.service)
                await until_tokens(lab, 3)  # the room's first one, and the worker's two
                assert await remote.jobs() == []
                assert await remote.link.session() is before
        assert heard == [LinkState.CONNECTED]
        assert worker.board.queued == 0


async def test_a_worker_whose_room_was_deleted_hears_what_the_service_said(tmp_path: Path) -> None:
    async with room_lab(tmp_path) as lab:
        token = OwnToken(lab.service.url, lab.api, lab.room, "gpu-1")
        made = await token.make_good()
        await lab.api.delete_room(lab.room.room_id)
        assert await token.renewed(made.token, connected=True) is None
