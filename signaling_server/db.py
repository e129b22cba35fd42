"""The database: one engine, short transactions, and migrations run from code."""

import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from sleap_rtc.errors import StorageError

logger = logging.getLogger(__name__)

BUSY_TIMEOUT_MS = 5000
UNUSABLE = "The service's database is busy or its disk is full. Try again in a moment."


class Database:
    """One engine and the only way to a transaction.

    Args:
        url: SQLAlchemy's URL.
    """

    def __init__(self, url: str) -> None:
        self.engine = make_engine(url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed at the end, or undone by an error. Nothing on the network inside.

        Raises:
            StorageError: if the database is busy, full or away; the log says which.
        """
        try:
            async with self._sessions.begin() as session:
                yield session
        except (OperationalError, PoolTimeoutError) as error:
            # the first line alone: the others are the statement and its values
            logger.error("the database refused: %s", str(error).splitlines()[0])
            raise StorageError(UNUSABLE) from error

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def make_engine(url: str, *, foreign_keys: bool = True) -> AsyncEngine:
    """An engine for `url`; on SQLite with WAL, foreign keys and a busy timeout.

    Args:
        url: SQLAlchemy's URL.
        foreign_keys: whether SQLite enforces them. A migration that rebuilds a table drops the old one, and with them
            on SQLite then deletes every row that refers to it.
    """
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "connect", partial(_prepare_sqlite, foreign_keys=foreign_keys))
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database's schema to `revision`, making the database if there is none.

    Raises:
        StorageError: if the database cannot be opened or changed, or a newer version wrote it.
    """
    await _migrate(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, revision: str) -> None:
    """Take the database's schema back to `revision` (``base`` for nothing at all)."""
    await _migrate(url, lambda config: command.downgrade(config, revision))


async def _migrate(url: str, step: Any) -> None:
    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(files("signaling_server") / "migrations"))
        config.attributes["connection"] = connection
        step(config)
        if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
            raise StorageError("The service's database holds rows that refer to nothing; it was left as it was.")

    engine = None
    try:
        _make_folder(url)
        engine = make_engine(url, foreign_keys=False)
        async with engine.begin() as connection:
            await connection.run_sync(run)
    except CommandError as error:  # it is at a revision that is not among ours
        raise StorageError(
            "The service's database was written by a newer version of sleap-rtc; upgrade it here."
        ) from error
    except (SQLAlchemyError, OSError, sqlite3.Error) as error:
        raise StorageError(
            f"The service's database at {make_url(url).render_as_string()} cannot be opened or brought up to date: "
            f"{str(error).splitlines()[0]}. Check that its folder is writable and that no other version uses it."
        ) from error
    finally:
        if engine is not None:
            await engine.dispose()


def _make_folder(url: str) -> None:
    parsed = make_url(url)
    if parsed.drivername.startswith("sqlite") and parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True, mode=0o700)


def _prepare_sqlite(connection: Any, _record: Any, *, foreign_keys: bool) -> None:
    # the driver's own idea of when a transaction begins leaves schema changes outside it; we begin ours ourselves
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads and then writes would otherwise fail at once when another wrote in between
    connection.exec_driver_sql("BEGIN IMMEDIATE")
