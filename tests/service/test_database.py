import asyncio
import json
import os
import stat
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from signaling_server.app import create_app
from signaling_server.db import Database, downgrade, upgrade
from signaling_server.keys import load_pepper
from signaling_server.models import Base, Membership, Room
from signaling_server.settings import Settings
from signaling_server.settings_reading import load_settings
from sleap_rtc.errors import ConfigError, ConflictError, StorageError
from tests.service.databases import PEPPER, empty_database

TABLES = set(Base.metadata.tables)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


async def tables(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def insert(database: Database, table: str, **values: Any) -> None:
    columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
    async with database.transaction() as session:
        await session.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({marks})"), values)


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    async with database.transaction() as session:
        return [tuple(row) for row in await session.execute(text(query))]


async def test_migrations_go_up_and_down_and_match_the_models(tmp_path: Path) -> None:
    def drift(connection: Connection) -> list[object]:
        options = {"render_as_batch": True, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))

    url = empty_database(tmp_path)
    async with opened(url) as database:
        await upgrade(url)
        await upgrade(url)
        assert await tables(database) == TABLES | {"alembic_version"}
        async with database.engine.connect() as connection:
            assert await connection.run_sync(drift) == []
        await downgrade(url, "base")
        assert await tables(database) == {"alembic_version"}
        await upgrade(url)
        assert await tables(database) >= TABLES


async def test_a_step_keeps_what_is_there(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url, "0001")
    async with opened(url) as database:
        await insert(database, "rooms", id="r_aaaaaaaa", name="lab", kind="anonymous", created_at=1)
        token = {"kind": "worker", "hash": bytes(1), "display": "slp_", "principal_user": "u_aaaaaaaa", "name": "gpu"}
        await insert(database, "tokens", id="t_1", room_id="r_aaaaaaaa", created_at=2, **token)
        for step in (upgrade, downgrade, upgrade):
            await step(url, "0001" if step is downgrade else "0002")
            kept = await rows(database, "SELECT name, hash, created_at, expires_at FROM tokens")
            assert kept == [("gpu", bytes(1), 2, None)]
        assert await rows(database, "DELETE FROM rooms RETURNING id") == [("r_aaaaaaaa",)]
        assert await rows(database, "SELECT count(*) FROM tokens") == [(0,)]


async def test_logins_stay_through_a_step_that_changes_their_tables(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url, "0002")
    async with opened(url) as database:
        await insert(database, "users", id="u_a", provider="dev", subject="a", name="ada", created_at=1)
        token = {"hash": bytes(1), "display": "slpu_", "created_at": 1, "expires_at": 9, "revoked_at": 5}
        await insert(database, "access_tokens", id="a_1", user_id="u_a", **token)
        for step in (upgrade, downgrade, upgrade):
            await step(url, "0002" if step is downgrade else "0003")
            source = "access_tokens" if step is downgrade else "logins"
            kept = await rows(database, f"SELECT id, user_id, created_at, expires_at, revoked_at FROM {source}")
            assert kept == [("a_1", "u_a", 1, 9, 5)]
            assert await rows(database, "SELECT count(*) FROM access_tokens") == [(1,)]


async def test_models_stay_through_the_step_that_knows_them_by_their_digest(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url, "0006")
    async with opened(url) as database:
        await insert(database, "rooms", id="r_a", name="lab", kind="room", created_at=1)
        facts = '{"model_type": "centroid", "loss": 0.5, "worker_name": "gpu-%s"}'
        row = {"room_id": "r_a", "version": "1", "size": 7, "job_id": "j_1", "created_at": 2, "updated_at": 3}
        for worker in ("w_1", "w_2"):
            await insert(
                database,
                "room_models",
                worker_id=worker,
                name="centroid",
                digest="a" * 64,
                **row,
                facts=facts % worker[-1],
            )
        # the same files told under two names
        await insert(database, "room_models", worker_id="w_1", name="copy", digest="a" * 64, **row, facts=facts % 1)
        await upgrade(url, "0007")
        query = "SELECT digest, size, job_id, user_id, created_at, updated_at, deleted_at, facts FROM room_models"
        (model,) = await rows(database, query)
        assert model[:-1] == ("a" * 64, 7, "j_1", "", 2, 3, None)
        assert json.loads(model[-1]) == {"types": ["centroid"], "loss": 0.5}
        held = "SELECT worker_id, worker_name, digest, format, source, size FROM model_holdings ORDER BY worker_id"
        same = ("a" * 64, "sleap-nn", "a" * 64, 7)
        assert await rows(database, held) == [("w_1", "gpu-1", *same), ("w_2", "gpu-2", *same)]
        await insert(database, "model_names", room_id="r_a", name="fly", folded="fly", last_version=1, created_at=4)
        by = {"created_by": "u_a", "created_by_name": "ada", "created_at": 4}
        await insert(database, "model_versions", room_id="r_a", name="fly", version=1, digest="a" * 64, **by)
        moved = {"moved_by": "u_a", "moved_at": 4}
        await insert(database, "model_aliases", room_id="r_a", name="fly", alias="best", version=1, **moved)
        await downgrade(url, "0006")
        query = "SELECT worker_id, version, digest, size, job_id, created_at, updated_at, facts FROM room_models"
        back = await rows(database, query + " ORDER BY worker_id")
        assert [each[:-1] for each in back] == [
            (worker, "a" * 32, "a" * 64, 7, "j_1", 2, 3) for worker in ("w_1", "w_2")
        ]
        assert json.loads(back[1][-1]) == {"model_type": "centroid", "loss": 0.5, "worker_name": "gpu-2"}
        await upgrade(url)
        assert await rows(database, "SELECT count(*) FROM model_holdings") == [(2,)]
        assert await rows(database, "DELETE FROM rooms RETURNING id") == [("r_a",)]
        assert await rows(database, "SELECT count(*) FROM room_models") == [(0,)]


async def test_services_that_start_at_once_bring_the_database_up_to_date_once(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(upgrade(url))
    async with opened(url) as database:
        assert await tables(database) == TABLES | {"alembic_version"}
        assert len(await rows(database, "SELECT version_num FROM alembic_version")) == 1


@pytest.mark.one_database
async def test_sqlite_is_set_up_for_a_service(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url)
    async with opened(url) as database:
        for session_of in (database.transaction, database.reading):
            async with session_of() as session:
                for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 5000)):
                    assert (await session.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value


@pytest.mark.one_database
@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
async def test_a_database_that_is_made_is_its_owners_alone(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url)
    async with opened(url) as database, database.transaction() as session:
        session.add(Room(id="r_aaaaaaaa", name="", kind="room", created_at=0))
        await session.flush()
        files = list((tmp_path / "deep").iterdir())
        assert len(files) > 1
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


async def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url)

    async def fail(database: Database) -> None:
        async with database.transaction() as session:
            session.add(Room(id="r_aaaaaaaa", name="", kind="room", created_at=0))
            await session.flush()
            raise ZeroDivisionError

    async with opened(url) as database:
        with pytest.raises(ZeroDivisionError):
            await fail(database)
        assert await rows(database, "SELECT count(*) FROM rooms") == [(0,)]


async def test_what_refers_to_nothing_by_now_is_a_conflict(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url)
    async with opened(url) as database:
        with pytest.raises(ConflictError, match="at the very same moment"):
            async with database.transaction() as session:
                session.add(Membership(room_id="r_aaaaaaaa", user_id="u_aaaaaaaa", role="owner", created_at=0))


async def test_a_newer_database_is_a_sentence(tmp_path: Path) -> None:
    url = empty_database(tmp_path)
    await upgrade(url)
    async with opened(url) as database:
        assert await rows(database, "UPDATE alembic_version SET version_num = '9999' RETURNING 1") == [(1,)]
    with pytest.raises(StorageError, match="written by a newer version of sleap-rtc; upgrade it here"):
        await upgrade(url)


@pytest.mark.one_database
async def test_a_database_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file where a folder must be")
    with pytest.raises(StorageError, match="cannot be opened"):
        await upgrade(empty_database(tmp_path))
    (tmp_path / "noise.db").write_bytes(b"this is no database " * 100)
    with pytest.raises(StorageError, match="not a database"):
        await upgrade(f"sqlite+aiosqlite:///{tmp_path / 'noise.db'}")


@pytest.mark.one_database
def test_the_pepper_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    pepper = load_pepper(settings)
    file = tmp_path / "service.pepper"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert load_pepper(settings) == pepper
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_pepper(settings)
    file.chmod(0o600)
    file.write_text("short")
    with pytest.raises(ConfigError, match="damaged"):
        load_pepper(settings)


def test_another_database_needs_a_given_pepper() -> None:
    database = "postgresql+asyncpg://db/x"
    with pytest.raises(ConfigError, match="SLEAP_RTC_SERVER_PEPPER"):
        load_pepper(Settings(database_url=database))
    given = load_settings({"SLEAP_RTC_SERVER_PEPPER": PEPPER}, database_url=database)
    assert load_pepper(given) == PEPPER.encode()


@pytest.mark.one_database
def test_settings_come_from_flags_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "sleap-rtc-server.toml"
    file.write_text('host = "10.0.0.1"\nport = 1\nanonymous_rooms = false\n[limits]\nrate = 5\nburst = 7\n')
    environ = {
        "SLEAP_RTC_SERVER_PORT": "2",
        "SLEAP_RTC_SERVER_HOST": "10.0.0.2",
        "SLEAP_RTC_SERVER_LIMITS__RATE": "6",
        "SLEAP_RTC_SERVER_ICE_SERVERS": '[{"urls": ["stun:s.example"]}]',
        "PATH": "/bin",
    }
    settings = load_settings(environ, file, port=3, host=None)
    assert (settings.host, settings.port, settings.anonymous_rooms) == ("10.0.0.2", 3, False)
    assert (settings.limits.rate, settings.limits.burst) == (6, 7)
    assert settings.ice_servers[0].urls == ["stun:s.example"]


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"SLEAP_RTC_SERVER_PORT": "70000"}, "port"),
        ({"SLEAP_RTC_SERVER_PORTT": "1"}, "portt"),
        ({"SLEAP_RTC_SERVER_DATABASE_URL": "nonsense"}, "database_url"),
        ({"SLEAP_RTC_SERVER_DATABASE_URL": "mysql://x"}, "database_url"),
        ({"SLEAP_RTC_SERVER_PEPPER": "changeme"}, "at least 32"),
        ({"SLEAP_RTC_SERVER_PEPPER": "change-me-to-a-random-key-please-123"}, "'pepper'.*openssl rand"),
        ({"SLEAP_RTC_SERVER_PEPPER": "0123" * 16}, "'pepper'.*openssl rand"),
        ({"SLEAP_RTC_SERVER_TRUSTED_PROXIES": '["*"]', "SLEAP_RTC_SERVER_HOST": "0.0.0.0"}, "name the proxy"),
        ({"SLEAP_RTC_SERVER_TRUSTED_PROXIES": '["0.0.0.0/0"]', "SLEAP_RTC_SERVER_HOST": "::"}, "name the proxy"),
        ({"SLEAP_RTC_SERVER_LOG_LEVEL": "loud"}, "log_level"),
        ({"SLEAP_RTC_SERVER_LIMITS__QUEUE": "-1"}, "SLEAP_RTC_SERVER_LIMITS__QUEUE"),
        ({"SLEAP_RTC_SERVER_ICE_SERVERS": "[1"}, "ice_servers"),
        ({"SLEAP_RTC_SERVER_ICE_SERVERS": '[{"urls": ["turn:t"], "credential": "changeme"}]'}, "TURN.*openssl rand"),
        ({"SLEAP_RTC_SERVER_DEV": "true", "SLEAP_RTC_SERVER_HOST": "0.0.0.0"}, "'dev'.*127.0.0.1"),
        ({"SLEAP_RTC_SERVER_DEV": "true", "SLEAP_RTC_SERVER_HOST": "::"}, "'dev'.*127.0.0.1"),
        ({"SLEAP_RTC_SERVER_DEV": "true", "SLEAP_RTC_SERVER_HOST": "localhost.evil.example"}, "'dev'.*127.0.0.1"),
        ({"SLEAP_RTC_SERVER_DEV": "true", "SLEAP_RTC_SERVER_TRUSTED_PROXIES": '["127.0.0.1"]'}, "'dev'.*proxy"),
        ({"SLEAP_RTC_SERVER_MAX_TOKEN_DAYS": "0"}, "max_token_days"),
    ],
)
def test_unsafe_or_unknown_settings_are_refused(environ: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_settings(environ)


@pytest.mark.one_database
def test_what_the_service_is_made_of_shows_no_secret(tmp_path: Path) -> None:
    turn = {"urls": ["turn:t.lab.example"], "credential": "hunter3"}
    url = f"sqlite+aiosqlite://ada:hunter2@/{tmp_path / 'x.db'}"
    settings = Settings.model_validate({"database_url": url, "pepper": PEPPER, "ice_servers": [turn]})
    assert settings.database_url == url
    shown = repr(create_app(settings.model_copy(update={"database_url": "sqlite+aiosqlite://"})).state.service)
    for secret in ("hunter2", "hunter3", PEPPER):
        assert secret not in repr(settings) + shown


@pytest.mark.one_database
def test_a_settings_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings({}, tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("port = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings({}, tmp_path / "bad.toml")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("line", "held"),
    [
        (f'pepper = "{PEPPER}"', "pepper"),
        ('ice_servers = [{urls = ["turn:t.example"], username = "a", credential = "b"}]', "credential"),
        ('database_url = "postgresql+asyncpg://ada:hunter2@db.example/lab"', "database_url"),
    ],
)
def test_a_file_that_holds_a_secret_is_for_its_owner_alone(tmp_path: Path, line: str, held: str) -> None:
    file = tmp_path / "sleap-rtc-server.toml"
    file.write_text(line)
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=f"'{held}' must stay secret. Run: chmod 600"):
        load_settings({}, file)
    file.chmod(0o600)
    load_settings({}, file)
    file.write_text('ice_servers = [{urls = ["stun:s.example"]}]\ndatabase_url = "postgresql+asyncpg://db.example/lab"')
    file.chmod(0o644)
    load_settings({}, file)


@pytest.mark.one_database
def test_services_that_start_at_once_have_one_pepper(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load_pepper, [settings] * 32))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["service.pepper"]
