"""PostgreSQL goes away, comes back, makes somebody wait: the service says so and serves on."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select
from sqlalchemy.engine import URL, make_url

from signaling_server import db
from signaling_server.db_errors import NO_TEXT, UNUSABLE
from signaling_server.models import User
from sleap_rtc.errors import StorageError, UsageError
from tests.service.databases import PEPPER, Postgres, connected, settings_for
from tests.service.peers import browser
from tests.service.people import dev_service, person
from tests.service.running import running_service

pytestmark = pytest.mark.postgres


@pytest_asyncio.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Any]:
    """A connection of somebody else to the database of the service."""
    async with connected(settings_for(tmp_path)["database_url"]) as connection:
        yield connection


END_THE_OTHERS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def test_a_restarted_server_is_not_noticed(tmp_path: Path, beside: Any) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        for _ in range(3):
            assert await beside.fetchval(END_THE_OTHERS) > 0
            assert (await ada.api.me()).name == "ada"
            assert (await ada.room()).name == "lab"


async def test_a_server_that_is_away_is_a_sentence_until_it_is_back(
    tmp_path: Path, beside: Any, postgres_server: Postgres
) -> None:
    name = make_url(settings_for(tmp_path)["database_url"]).database
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        headers = {"Authorization": f"Bearer {ada.token}"}
        await asyncio.to_thread(postgres_server.execute, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            await beside.fetchval(END_THE_OTHERS)
            for answer in (
                await client.get("/api/v1/me", headers=headers),
                await client.post("/api/v1/rooms", headers=headers, json={"name": "lab"}),
            ):
                error = answer.json()["error"]
                assert (answer.status_code, error) == (503, {"code": "storage", "sentence": UNUSABLE})
            assert (await client.get("/health")).status_code == 200
            ready = await client.get("/ready")
            assert (ready.status_code, ready.json()) == (503, {"status": "not_ready", "problems": [UNUSABLE]})
        finally:
            await asyncio.to_thread(postgres_server.execute, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert (await ada.api.me()).name == "ada"


async def test_a_zero_character_is_refused_with_a_sentence(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        with pytest.raises(UsageError) as refused:
            async with service.service.database.reading() as session:
                await session.execute(select(User.id).where(User.name == "a\0"))
    assert refused.value.sentence == NO_TEXT


async def test_somebody_who_keeps_a_lock_is_a_sentence_for_those_who_need_it(
    tmp_path: Path, beside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 50)
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        async with beside.transaction():
            await beside.execute("SELECT * FROM users FOR UPDATE")
            with pytest.raises(StorageError, match="busy"):
                await ada.room("another")
            assert [each.room_id for each in await ada.api.rooms()] == [room.room_id]
        assert (await ada.room("another")).name == "another"


async def test_two_that_wait_for_each_other_end_with_a_sentence_for_one(tmp_path: Path, beside: Any) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        database = service.service.database

        async def other_way_round() -> None:
            async with database.transaction() as session:
                connection = await session.connection()
                await connection.exec_driver_sql("SELECT id FROM rooms FOR UPDATE")
                await connection.exec_driver_sql("SELECT id FROM users FOR UPDATE")

        await beside.execute("SET deadlock_timeout = '1h'")
        transaction = beside.transaction()
        await transaction.start()
        await beside.execute("SELECT * FROM users FOR UPDATE")
        waiting = asyncio.create_task(other_way_round())
        mine = asyncio.create_task(_when_somebody_waits(beside, "SELECT * FROM rooms FOR UPDATE"))
        with pytest.raises(StorageError, match="Try again"):
            await waiting
        await mine
        await transaction.rollback()
        assert [each.room_id for each in await ada.api.rooms()] == [room.room_id]


async def _when_somebody_waits(connection: Any, statement: str) -> None:
    async with asyncio.timeout(30):
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await connection.execute(statement)


def nowhere() -> URL:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return URL.create("postgresql+asyncpg", "ada", "hunter2", "127.0.0.1", free.getsockname()[1], "lab")


async def test_a_service_says_that_its_server_is_away(tmp_path: Path) -> None:
    url = nowhere().render_as_string(hide_password=False)
    with pytest.raises(StorageError, match="Check that it runs") as caught:
        async with running_service(tmp_path, database_url=url, pepper=PEPPER):
            pass
    assert "hunter2" not in caught.value.sentence


async def test_a_service_says_that_its_database_is_not_there(tmp_path: Path) -> None:
    url = make_url(settings_for(tmp_path)["database_url"]).set(database="no_such").render_as_string(hide_password=False)
    with pytest.raises(StorageError, match='"no_such" does not exist'):
        async with running_service(tmp_path, database_url=url):
            pass
