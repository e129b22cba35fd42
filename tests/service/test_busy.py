"""A database that is busy or full is said so, everywhere, and nothing stops for good."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import delete, event, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from websockets.exceptions import InvalidStatus

from signaling_server import db
from signaling_server.db_errors import UNUSABLE
from signaling_server.models import Room
from signaling_server.security import UNKNOWN_CREDENTIAL
from signaling_server.signaling import routes
from sleap_rtc.errors import StorageError
from sleap_rtc.protocol.tokens import make_token
from tests.service.browsers import Browser
from tests.service.oauth import poll, refresh
from tests.service.peers import browser, open_room, peer
from tests.service.people import dev_service, person
from tests.service.running import RunningService, running_service

pytestmark = pytest.mark.one_database  # how SQLite is busy: PostgreSQL has test_postgres.py


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 20)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Somebody else writes all the while."""
    with closing(sqlite3.connect(folder / "service.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


async def refusal(service: RunningService, token: str) -> tuple[int, bytes]:
    with pytest.raises(InvalidStatus) as caught:
        await peer(service, token).__aenter__()
    response = caught.value.response
    return response.status_code, bytes(response.body or b"")


async def test_a_busy_database_is_a_sentence_and_passes(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await open_room(service)
        with held(tmp_path):
            headers = {"Authorization": f"Bearer {ada.token}"}
            answer = await client.post("/api/v1/rooms", headers=headers, json={"name": "lab"})
            assert (answer.status_code, answer.json()["error"]) == (503, {"code": "storage", "sentence": UNUSABLE})
            status, body = await refusal(service, room.session_token)
            assert (status, UNUSABLE.encode() in body) == (503, True)
        assert (await ada.api.me()).name == "ada"
        async with peer(service, room.session_token) as again:
            assert await again.silent()


async def test_who_only_reads_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 60_000)
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await ada.room()
        unknown = make_token("access", bytes(32)), make_token("worker", bytes(32))
        with held(tmp_path):
            async with asyncio.timeout(30):
                for path in ("/me", "/rooms", f"/rooms/{room.room_id}", f"/rooms/{room.room_id}/tokens"):
                    answers = [
                        await client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
                        for token in (ada.token, *unknown)
                    ]
                    assert [answer.status_code for answer in answers] == [200, 401, 401]
                for token in unknown:
                    status, body = await refusal(service, token)
                    assert (status, UNKNOWN_CREDENTIAL.encode() in body) == (401, True)
                assert (await client.get("/metrics")).status_code == 200


async def test_what_strangers_make_up_keeps_nobody_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(db, "BUSY_TIMEOUT_MS", 60_000)
    github = {"kind": "github", "client_id": "ours", "client_secret": "0123456789abcdef"}
    settings = {"local_accounts": True, "providers": [github], "public_url": "http://127.0.0.1:8000"}
    async with running_service(tmp_path, **settings) as service, Browser(service, "http://127.0.0.1:8000") as chrome:
        cookie = {"Cookie": f"sleap-rtc-8000-visit={'x' * 43}"}
        with held(tmp_path):
            async with asyncio.timeout(30):
                answers = [
                    (await poll(service, "slpd_" + "0" * 64)).refused,
                    (await refresh(service, make_token("refresh", bytes(32)))).refused,
                    (await chrome.send("/login/local", username="ada", password="a guess")).status_code,
                    (await chrome.send("/enrol", code=make_token("enrolment", bytes(32)))).status_code,
                    (await chrome.client.get("/login/github/callback?state=x", headers=cookie)).status_code,
                ]
        assert answers == ["invalid_grant", "invalid_grant", 401, 401, 401]


async def test_what_is_for_reading_writes_nothing(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        database = service.service.database

        async def work(session: AsyncSession) -> None:
            began.append(session)
            session.add(Room(id="r_aaaaaaaa", name="lab", kind="room", created_at=1))

        began: list[AsyncSession] = []
        await database.read_first(work)
        assert len(began) == 2
        async with database.reading() as session:
            (room,) = await session.scalars(select(Room))
            assert room.name == "lab"
        locked = select(Room).with_for_update()
        for statement in (delete(Room), update(Room).values(name="x"), insert(Room).values(id="r_bbbbbbbb"), locked):
            with pytest.raises(db.WantsToWriteError):
                async with database.reading() as session:
                    await session.execute(statement)


async def test_the_second_look_of_the_handshake_is_refused_too(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise StorageError(UNUSABLE)

    room = await open_room(service)
    monkeypatch.setattr(routes, "end_if_ended", busy)
    status, body = await refusal(service, room.session_token)
    assert (status, UNUSABLE.encode() in body) == (503, True)
    assert not await service.service.hub.here.holders()


async def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        with pytest.raises(StorageError, match="busy, full or away"):
            await _fill(service.service.database)


async def _fill(database: db.Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("PRAGMA max_page_count=1"))
        await session.execute(text("CREATE TABLE big AS SELECT zeroblob(1000000)"))


async def test_a_pool_with_nothing_left_is_a_sentence(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        engine = create_async_engine(service.settings.database_url, pool_size=1, max_overflow=0, pool_timeout=0.01)
        database = db.Database(service.settings.database_url)
        await database.close()
        database.engine = engine
        database._sessions.configure(bind=engine)
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            with pytest.raises(StorageError, match="busy"):
                await _ask(database)
        await database.close()


async def _ask(database: db.Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("SELECT 1"))


async def test_housekeeping_goes_on_after_it(tmp_path: Path) -> None:
    async with running_service(tmp_path, recheck_seconds=0.02) as service:
        room = await open_room(service)
        committed = asyncio.Event()
        # somebody has to be there whose credential is looked at
        async with peer(service, room.worker_token):
            event.listen(service.service.database.engine.sync_engine, "commit", lambda _: committed.set())
            with held(tmp_path):
                await asyncio.sleep(0.3)
                committed.clear()
            async with asyncio.timeout(30):
                await committed.wait()


async def test_a_service_that_cannot_write_at_its_start_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def done(_url: str) -> None: ...

    async with running_service(tmp_path):
        pass
    monkeypatch.setattr("signaling_server.server.upgrade", done)
    with held(tmp_path), pytest.raises(StorageError, match="busy"):
        async with running_service(tmp_path):
            pass
