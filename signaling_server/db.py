"""The database: one engine, short transactions, and migrations run from code."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.pool import AsyncAdaptedQueuePool

from signaling_server.db_errors import UNANSWERED, first_line, translated
from sleap_rtc.errors import StorageError

T = TypeVar("T")
APPLICATION = "sleap-rtc"
"""What a service calls itself to PostgreSQL."""
BUSY_TIMEOUT_MS = 5000
READERS = 8
"""Connections at once that read from SQLite; each is a thread."""
MIGRATION_SECONDS = 300
"""How long a service that starts waits for another one that brings the same database up to date."""
_POSTGRES_POOL: dict[str, Any] = {"pool_size": 10, "max_overflow": 10, "pool_pre_ping": True}
_POOL_SECONDS = 10
_MIGRATIONS = str(files("signaling_server") / "migrations")
_MIGRATION_LOCK = 0x51EA9
_READ_ONLY = {"postgresql_readonly": True, "sqlite_begin": "DEFERRED"}


class WantsToWriteError(Exception):
    """What is done in a session for reading needs one that may write."""


class Database:
    """One engine and the only ways to a session.

    Args:
        url: SQLAlchemy's URL.
        on_error: called each time the database cannot serve.
    """

    def __init__(self, url: str, *, on_error: Callable[[], None] = lambda: None) -> None:
        self._on_error = on_error
        self.engine = make_engine(url)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        # SQLite's one writer is a pool of one, where the others queue; who only reads waits for none of them
        self._pool = make_engine(url, pool=READERS) if self.engine.dialect.name == "sqlite" else self.engine
        readers = self._pool.execution_options(**_READ_ONLY)
        self._readers = async_sessionmaker(readers, sync_session_class=_Reader, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session whose work is committed at the end, or undone by an error. Nothing on the network inside.

        Raises:
            StorageError: if the database is busy, full or away; the log says which.
            ConflictError: if what was read here was changed meanwhile.
        """
        with self._translated():
            async with self._sessions.begin() as session:
                yield session

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session that sees one state of the database, changes nothing and waits for nobody who does.

        Raises:
            StorageError: if the database is away.
        """
        with self._translated():
            async with self._readers.begin() as session:
                yield session

    async def read_first(self, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """Do `work` in a session for reading; if it turns out that it writes, begin again in a transaction.

        For what writes now and then, and is asked by strangers: they get their refusal without a lock.

        Args:
            work: what to do. It may be begun twice, and what it wrote counts once.
        """
        try:
            async with self.reading() as session:
                return await work(session)
        except WantsToWriteError:
            async with self.transaction() as session:
                return await work(session)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            with translated():
                yield
        except StorageError as error:
            if error.__cause__ is not None:  # the database's own: what was translated
                self._on_error()
            raise

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        await self._pool.dispose()


class _Reader(Session):
    """A session that refuses to write, on every database alike."""


@event.listens_for(_Reader, "before_flush")
def _refuse_flush(session: Session, *_: Any) -> None:
    if session.new or session.deleted or any(session.is_modified(each) for each in session.dirty):
        raise WantsToWriteError


@event.listens_for(_Reader, "do_orm_execute")
def _refuse_statement(state: ORMExecuteState) -> None:
    # PostgreSQL lets nobody lock a row who only reads
    locks = getattr(state.statement, "_for_update_arg", None) is not None
    if state.is_insert or state.is_update or state.is_delete or locks:
        raise WantsToWriteError


def make_engine(url: str, *, pool: int = 1, migrating: bool = False) -> AsyncEngine:
    """An engine for `url`: bounded in connections and in time; on SQLite with WAL and foreign keys.

    Args:
        url: SQLAlchemy's URL.
        pool: connections at once to SQLite.
        migrating: whether it changes the schema. That waits longer for its turn, and SQLite must not enforce foreign
            keys: a migration that rebuilds a table drops the old one, and with it every row that refers to it.
    """
    patience = MIGRATION_SECONDS * 1000 if migrating else BUSY_TIMEOUT_MS
    # the values of a statement are hashes, names and what proves a login: nothing for a log
    common: dict[str, Any] = {"hide_parameters": True, "pool_timeout": _POOL_SECONDS}
    if make_url(url).get_backend_name() == "postgresql":
        return create_async_engine(url, connect_args=_to_postgres(patience), **common, **_POSTGRES_POOL)
    engine = create_async_engine(url, poolclass=AsyncAdaptedQueuePool, pool_size=pool, max_overflow=0, **common)
    event.listen(engine.sync_engine, "connect", partial(_prepare_sqlite, patience=patience, foreign_keys=not migrating))
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _to_postgres(patience: int) -> dict[str, Any]:
    return {
        "timeout": 5,
        "command_timeout": patience / 1000 + 10,
        "server_settings": {
            "application_name": APPLICATION,
            "lock_timeout": str(patience),
            "idle_in_transaction_session_timeout": str(patience + 60_000),
        },
    }


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database's schema to `revision`, making the database if there is none.

    Raises:
        StorageError: if the database cannot be opened or changed, or a newer version wrote it.
    """
    await migrate(url, lambda config: command.upgrade(config, revision))


async def downgrade(url: str, revision: str) -> None:
    """Take the database's schema back to `revision` (``base`` for nothing at all)."""
    await migrate(url, lambda config: command.downgrade(config, revision))


async def bring_up_to_date(url: str) -> tuple[str | None, str]:
    """Upgrade the database; the revision it was at, None for an empty one, and the one it is at.

    Raises:
        StorageError: as `upgrade` does.
    """
    was: list[str | None] = []

    def step(config: Config) -> None:
        was.append(revision_in(config.attributes["connection"]))
        command.upgrade(config, "head")

    await migrate(url, step)
    return was[0], revisions()[0]


def revision_in(connection: Connection) -> str | None:
    """The revision of the schema that `connection` sees."""
    return MigrationContext.configure(connection).get_current_revision()


def revisions() -> list[str]:
    """All revisions that this version knows, the newest first."""
    return [script.revision for script in ScriptDirectory(_MIGRATIONS).walk_revisions()]


async def migrate(url: str, step: Callable[[Config], None]) -> None:
    """Let alembic do `step`, in one transaction and while nobody else does one.

    Raises:
        StorageError: as `upgrade` does.
    """
    engine = None
    with explained(url):
        try:
            make_file(url)
            engine = make_engine(url, migrating=True)
            async with engine.begin() as connection:
                await connection.run_sync(partial(run_step, step=step))
        finally:
            if engine is not None:
                await engine.dispose()


def run_step(connection: Connection, step: Callable[[Config], None]) -> None:
    """Let alembic do `step` within the transaction of `connection`, whose engine was made for migrating.

    Raises:
        StorageError: if it leaves rows that refer to nothing.
    """
    if connection.dialect.name == "postgresql":  # on SQLite the transaction itself keeps others out
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.attributes["connection"] = connection
    step(config)
    if connection.dialect.name == "sqlite" and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
        raise StorageError("The service's database holds rows that refer to nothing; it was left as it was.")


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what goes wrong inside the block with the whole database into a sentence.

    Raises:
        StorageError: in place of what the database, its driver or alembic raise.
    """
    try:
        yield
    except CommandError as error:  # it is at a revision that is not among ours
        raise StorageError(
            "The service's database was written by a newer version of sleap-rtc; upgrade it here."
        ) from error
    except (SQLAlchemyError, sqlite3.Error, *UNANSWERED) as error:
        parsed = make_url(url)
        hint = (
            "Check that its folder is writable and that no other version uses it."
            if parsed.get_backend_name() == "sqlite"
            else "Check that it runs, that it is there, and that its user may change it."
        )
        raise StorageError(
            f"The service's database at {parsed.render_as_string()} cannot be opened or brought up to date: "
            f"{first_line(error)}. {hint}"
        ) from error


def make_file(url: str) -> None:
    """Make the file in which a SQLite database is to lie, for its owner alone, and the folder around it."""
    parsed = make_url(url)
    if parsed.drivername.startswith("sqlite") and parsed.database and parsed.database != ":memory:":
        path = Path(parsed.database)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():  # SQLite would let everybody read who did what, and from where; its own files follow this
            path.touch(mode=0o600)


def _prepare_sqlite(connection: Any, _record: Any, *, patience: int, foreign_keys: bool) -> None:
    # the driver's own idea of when a transaction begins leaves schema changes outside it; we begin ours ourselves
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={patience}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads and then writes would otherwise fail at once when another wrote in between
    mode = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    connection.exec_driver_sql(f"BEGIN {mode}")
