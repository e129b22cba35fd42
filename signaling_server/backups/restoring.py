"""Bringing a backup back: in one transaction, so that there is the database of before or the one of the backup."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from alembic import command
from sqlalchemy import Connection, MetaData, Table, func, inspect, select, text

from signaling_server.backups.archive import Archive, Manifest, reading
from signaling_server.backups.saving import OURS, VERSIONS, back_up, tables_of
from signaling_server.db import APPLICATION, explained, make_engine, make_file, revisions, run_step
from signaling_server.settings import ENVIRONMENT_PREFIX, Settings
from sleap_rtc.errors import ConfigError, ConflictError, PackageError

_AT_ONCE = 500
_SERVICES = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name = :name AND pid <> pg_backend_pid()"
)
_RUNNING = "A service is using this database. Stop it, and restore again."


@dataclass(frozen=True)
class Restored:
    """What was brought back.

    Attributes:
        manifest: the backup's.
        before: the backup of what was there before; None if nothing was.
    """

    manifest: Manifest
    before: Path | None


async def restore(settings: Settings, path: Path, *, replace: bool, now: int) -> Restored:
    """Make the service's database what it was in the backup `path`, and up to date.

    Args:
        settings: which service. Its database may be of another kind than the one of the backup.
        path: the backup.
        replace: whether a database that holds something is replaced. It is backed up first, beside `path`.
        now: UTC milliseconds.

    Raises:
        ConflictError: if the database is in use, or holds something and `replace` is not given.
        PackageError: if the backup is damaged, or of a newer version.
        ConfigError: if the service has another pepper.
        StorageError: if the database cannot be written.
    """
    database = settings.database_file
    with reading(path) as archive:
        if archive.manifest.revision not in revisions():
            raise PackageError(f"The backup {path} was made by a newer version of sleap-rtc; upgrade it here.")
        _check_pepper(settings, archive, path)
        is_new = database is not None and not database.exists()
        _check_unused_file(database)
        before = None
        if not is_new and await _holds_something(settings.database_url):
            if not replace:
                raise ConflictError(
                    "The database holds something already. Add --replace to put the backup in its place."
                )
            moment = datetime.fromtimestamp(now / 1000, UTC)
            before = path.with_name(f"{path.stem}-before-{moment:%Y%m%dT%H%M%S}.zip")
            await back_up(settings, before, now=now)
        await _fill(settings, archive)
        return Restored(archive.manifest, before)


def _check_pepper(settings: Settings, archive: Archive, path: Path) -> None:
    given = settings.pepper.get_secret_value().encode() if settings.pepper is not None else None
    if given == archive.pepper or (given is None and settings.pepper_file is not None):
        return
    raise ConfigError(
        f"Set {ENVIRONMENT_PREFIX}PEPPER to the pepper of the backup, for the restore and for the service: without it "
        f"no token works any more. It is the file 'pepper' in the archive: unzip -p {path} pepper"
    )


def _check_unused_file(database: Path | None) -> None:
    if database is None or not database.exists():
        return
    # every open connection to a database in WAL mode keeps it from leaving that mode
    try:
        with closing(sqlite3.connect(database, timeout=0)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.OperationalError as error:
        raise ConflictError(_RUNNING) from error
    except sqlite3.DatabaseError:  # no database at all: said when it is opened
        return


async def _holds_something(url: str) -> bool:
    def look(connection: Connection) -> bool:
        postgres = connection.dialect.name == "postgresql"
        if postgres and connection.execute(_SERVICES, {"name": APPLICATION}).scalar_one():
            raise ConflictError(_RUNNING)
        foreign = set(inspect(connection).get_table_names()) - OURS - {VERSIONS}
        if foreign:
            raise ConflictError(
                f"The database holds a table of something else: {min(foreign)}. Give the service a database of its own."
            )
        tables = tables_of(connection).sorted_tables
        return any(connection.execute(select(table).limit(1)).first() for table in tables)

    with explained(url):
        engine = make_engine(url)
        try:
            async with engine.begin() as connection:
                return await connection.run_sync(look)
        finally:
            await engine.dispose()


async def _fill(settings: Settings, archive: Archive) -> None:
    url = settings.database_url

    def fill(connection: Connection) -> None:
        there = MetaData()
        there.reflect(connection, only=sorted(set(inspect(connection).get_table_names()) & (OURS | {VERSIONS})))
        there.drop_all(connection)
        run_step(connection, lambda config: command.upgrade(config, archive.manifest.revision))
        tables = {table.name: table for table in tables_of(connection).sorted_tables}
        if set(tables) != set(archive.manifest.tables):
            raise PackageError("The backup does not hold the tables that its version has. Take another one.")
        for table in tables.values():
            _insert(connection, table, archive)
        run_step(connection, lambda config: command.upgrade(config, "head"))

    with explained(url):
        make_file(url)
        engine = make_engine(url, migrating=True)
        try:
            with _pepper_replaced(settings, archive.pepper):
                async with engine.begin() as connection:
                    await connection.run_sync(fill)
        finally:
            await engine.dispose()


def _insert(connection: Connection, table: Table, archive: Archive) -> None:
    columns = {column.name for column in table.columns}
    rows = archive.rows(table.name)
    while batch := list(islice(rows, _AT_ONCE)):
        if any(set(row) != columns for row in batch):
            raise PackageError(f"The backup's table {table.name} has other columns than its version. Take another one.")
        connection.execute(table.insert(), batch)
    numbered = [
        column for column in table.primary_key if connection.dialect.name == "postgresql" and column.server_default
    ]
    for column in numbered:  # the next row's number comes from a sequence, which knows nothing of these
        sequence = func.pg_get_serial_sequence(table.name, column.name)
        connection.execute(select(func.setval(sequence, func.coalesce(func.max(column), 0) + 1, False)))


@contextmanager
def _pepper_replaced(settings: Settings, pepper: bytes) -> Iterator[None]:
    """The pepper's file holds `pepper` from before the commit on; if that fails, what it held before."""
    path = settings.pepper_file
    if settings.pepper is not None or path is None:
        yield
        return
    old = path.read_bytes() if path.exists() else None
    _write_secret(path, pepper)
    try:
        yield
    except BaseException:
        path.unlink() if old is None else _write_secret(path, old)
        raise


def _write_secret(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
