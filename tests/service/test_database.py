import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from signaling_server.db import Database, downgrade, upgrade
from signaling_server.models import Base
from signaling_server.settings import Settings, load_pepper, load_settings
from sleap_rtc.errors import ConfigError, StorageError

pytestmark = pytest.mark.one_database
TABLES = set(Base.metadata.tables)


def url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'deep' / 'service.db'}"


async def tables(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


async def test_migrations_go_up_and_down_and_match_the_models(tmp_path: Path) -> None:
    def drift(connection: Connection) -> list[object]:
        options = {"render_as_batch": True, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))

    database = Database(url(tmp_path))
    await upgrade(url(tmp_path))
    await upgrade(url(tmp_path))
    assert await tables(database) == TABLES | {"alembic_version"}
    async with database.engine.connect() as connection:
        assert await connection.run_sync(drift) == []
    await downgrade(url(tmp_path), "base")
    assert await tables(database) == {"alembic_version"}
    await upgrade(url(tmp_path))
    assert await tables(database) >= TABLES
    await database.close()


async def test_a_step_keeps_what_is_there(tmp_path: Path) -> None:
    await upgrade(url(tmp_path), "0001")
    database = Database(url(tmp_path))
    async with database.transaction() as session:
        await session.execute(
            text("INSERT INTO rooms (id, name, kind, created_at) VALUES ('r_aaaaaaaa', 'lab', 'anonymous', 1)")
        )
        await session.execute(
            text(
                "INSERT INTO tokens (id, room_id, kind, hash, display, principal_user, name, created_at) "
                "VALUES ('t_1', 'r_aaaaaaaa', 'worker', x'00', 'slp_', 'u_aaaaaaaa', 'gpu', 2)"
            )
        )
    for step in (upgrade, downgrade, upgrade):
        await step(url(tmp_path), "0001" if step is downgrade else "0002")
        async with database.transaction() as session:
            kept = (await session.execute(text("SELECT name, hash, created_at, expires_at FROM tokens"))).all()
            assert [tuple(row) for row in kept] == [("gpu", b"\x00", 2, None)]
    async with database.transaction() as session:
        await session.execute(text("DELETE FROM rooms"))
        assert (await session.execute(text("SELECT count(*) FROM tokens"))).scalar_one() == 0
    await database.close()


async def test_logins_stay_through_a_step_that_changes_their_tables(tmp_path: Path) -> None:
    await upgrade(url(tmp_path), "0002")
    database = Database(url(tmp_path))
    async with database.transaction() as session:
        await session.execute(
            text("INSERT INTO users (id, provider, subject, name, created_at) VALUES ('u_a', 'dev', 'a', 'ada', 1)")
        )
        await session.execute(
            text(
                "INSERT INTO access_tokens (id, user_id, hash, display, created_at, expires_at, revoked_at) "
                "VALUES ('a_1', 'u_a', x'00', 'slpu_', 1, 9, 5)"
            )
        )
    for step in (upgrade, downgrade, upgrade):
        await step(url(tmp_path), "0002" if step is downgrade else "0003")
        source = "access_tokens" if step is downgrade else "logins"
        async with database.transaction() as session:
            kept = await session.execute(text(f"SELECT id, user_id, created_at, expires_at, revoked_at FROM {source}"))
            assert [tuple(row) for row in kept] == [("a_1", "u_a", 1, 9, 5)]
            assert (await session.execute(text("SELECT count(*) FROM access_tokens"))).scalar_one() == 1
    await database.close()


async def test_sqlite_is_set_up_for_a_service(tmp_path: Path) -> None:
    await upgrade(url(tmp_path))
    database = Database(url(tmp_path))
    async with database.transaction() as session:
        for pragma, value in (("journal_mode", "wal"), ("foreign_keys", 1), ("busy_timeout", 5000)):
            assert (await session.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value
    await database.close()


async def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    await upgrade(url(tmp_path))
    database = Database(url(tmp_path))
    insert = text("INSERT INTO rooms (id, name, kind, created_at) VALUES ('r_aaaaaaaa', '', 'room', 0)")

    async def fail() -> None:
        async with database.transaction() as session:
            await session.execute(insert)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.transaction() as session:
        assert (await session.execute(text("SELECT count(*) FROM rooms"))).scalar_one() == 0
    await database.close()


async def test_a_newer_database_is_a_sentence(tmp_path: Path) -> None:
    await upgrade(url(tmp_path))
    database = Database(url(tmp_path))
    async with database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    await database.close()
    with pytest.raises(StorageError, match="written by a newer version of sleap-rtc; upgrade it here"):
        await upgrade(url(tmp_path))


async def test_a_database_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file where a folder must be")
    with pytest.raises(StorageError, match="cannot be opened"):
        await upgrade(url(tmp_path))
    (tmp_path / "noise.db").write_bytes(b"this is no database " * 100)
    with pytest.raises(StorageError, match="not a database"):
        await upgrade(f"sqlite+aiosqlite:///{tmp_path / 'noise.db'}")


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
    assert load_pepper(load_settings({"SLEAP_RTC_SERVER_PEPPER": "p" * 32}, database_url=database)) == b"p" * 32


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


@pytest.mark.parametrize(
    ("environ", "reason"),
    [
        ({"SLEAP_RTC_SERVER_PORT": "70000"}, "port"),
        ({"SLEAP_RTC_SERVER_PORTT": "1"}, "portt"),
        ({"SLEAP_RTC_SERVER_DATABASE_URL": "nonsense"}, "database_url"),
        ({"SLEAP_RTC_SERVER_DATABASE_URL": "mysql://x"}, "database_url"),
        ({"SLEAP_RTC_SERVER_PEPPER": "changeme"}, "at least 32"),
        ({"SLEAP_RTC_SERVER_LIMITS__QUEUE": "-1"}, "SLEAP_RTC_SERVER_LIMITS__QUEUE"),
        ({"SLEAP_RTC_SERVER_ICE_SERVERS": "[1"}, "ice_servers"),
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


def test_a_settings_file_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings({}, tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("port = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings({}, tmp_path / "bad.toml")
