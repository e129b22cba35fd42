"""How long credentials live, and what outlives a restart."""

from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from websockets.exceptions import InvalidStatus

from signaling_server.housekeeping import clean_up, recheck
from signaling_server.models import Room, Token
from tests.service.peers import Key, open_room, peer, worker
from tests.service.running import RunningService, running_service

ONE = Key(1)
HOUR = 3_600_000
DAY = 24 * HOUR


class Clock:
    """The service's clock, moved by hand."""

    def __init__(self, service: RunningService) -> None:
        self.now = service.service.clock()
        service.service.clock = lambda: self.now


async def answer_to(service: RunningService, token: str) -> str:
    with pytest.raises(InvalidStatus) as caught:
        async with peer(service, token):
            pass
    assert caught.value.response.status_code == 401
    return bytes(caught.value.response.body).decode()


async def test_an_unused_session_string_ends_after_two_hours(service: RunningService) -> None:
    clock = Clock(service)
    room = await open_room(service)
    assert room.expires_at == clock.now + 2 * HOUR
    clock.now = room.expires_at - 1
    async with worker(service, room, ONE):
        pass
    clock.now = room.expires_at
    assert "restart `sleap-rtc worker`" in await answer_to(service, room.session_token)
    assert "Restart `sleap-rtc worker`" in await answer_to(service, room.worker_token)


async def test_a_redeemed_one_lives_as_long_as_its_worker_is_seen(service: RunningService) -> None:
    clock = Clock(service)
    room = await open_room(service)
    async with peer(service, room.session_token):
        pass
    for _ in range(3):
        clock.now += 29 * DAY
        async with worker(service, room, ONE), peer(service, room.session_token):
            pass
    clock.now += 30 * DAY
    assert "has expired" in await answer_to(service, room.session_token)


async def test_a_connected_worker_keeps_its_room_alive(service: RunningService) -> None:
    clock = Clock(service)
    room = await open_room(service)
    async with peer(service, room.session_token):
        pass
    async with worker(service, room, ONE) as gpu:
        for _ in range(3):
            clock.now += 29 * DAY
            await recheck(service.service)
        async with peer(service, room.session_token) as client:
            assert await client.silent()
        assert await gpu.silent()


async def test_who_is_connected_when_the_credential_ends_is_sent_away(service: RunningService) -> None:
    clock = Clock(service)
    room, other = await open_room(service), await open_room(service)
    async with (
        worker(service, room, ONE) as expired,
        peer(service, other.session_token) as revoked,
        worker(service, other, ONE) as bystander,
    ):
        clock.now += 2 * HOUR
        async with service.service.database.transaction() as session:
            ended = update(Token).where(Token.room_id == other.room_id, Token.kind == "session")
            await session.execute(ended.values(revoked_at=clock.now))
        await recheck(service.service)
        assert await expired.closed() == 4403
        assert await revoked.closed() == 4403
        assert await bystander.silent()
    assert "was revoked" in await answer_to(service, other.session_token)


async def test_dead_rooms_are_forgotten_after_a_week(service: RunningService) -> None:
    clock = Clock(service)
    room = await open_room(service)
    clock.now = room.expires_at + 7 * DAY
    await clean_up(service.service)
    assert "has expired" in await answer_to(service, room.session_token)
    clock.now += 1
    await clean_up(service.service)
    assert "unknown" in await answer_to(service, room.session_token)
    async with service.service.database.transaction() as session:
        assert (await session.scalar(select(func.count()).select_from(Room))) == 0
        assert (await session.scalar(select(func.count()).select_from(Token))) == 0


async def test_a_row_of_the_database_is_no_credential(service: RunningService) -> None:
    room = await open_room(service)
    async with service.service.database.transaction() as session:
        rows = list(await session.scalars(select(Token)))
    for row in rows:
        assert room.session_token not in vars(row).values()
        for text in (row.hash.hex(), row.display, row.id):
            assert "unknown" in await answer_to(service, text)


async def test_a_restart_loses_no_room_and_no_token(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        room = await open_room(service)
        async with worker(service, room, ONE), peer(service, room.session_token) as client:
            user = client.welcome["principal"]["user"]
    async with (
        running_service(tmp_path) as service,
        worker(service, room, ONE),
        peer(service, room.session_token) as client,
    ):
        assert client.welcome["principal"]["user"] == user
        [present] = (await client.ask("workers", id=1))["workers"]
        assert present["worker_id"] == ONE.worker_id
