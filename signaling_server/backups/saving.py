"""Making a backup, also while the service runs: it holds the one state of the moment it began."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, MetaData, Table, inspect, select
from sqlalchemy.engine import make_url

from signaling_server.backups.archive import Manifest, writing
from signaling_server.db import explained, make_engine, revision_in
from signaling_server.keys import load_pepper
from signaling_server.models import Base
from signaling_server.settings import ENVIRONMENT_PREFIX, Settings
from sleap_rtc.errors import ConfigError, NotFoundError

VERSIONS = "alembic_version"
OURS = frozenset(Base.metadata.tables)
"""The tables of a service; other ones beside them are somebody else's."""
# SQLite's transactions see one state anyhow
_SNAPSHOT: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "sqlite": {"sqlite_begin": "DEFERRED"},
}
_AT_ONCE = 1000


async def back_up(settings: Settings, path: Path, *, now: int) -> Manifest:
    """Write all that the service keeps, its pepper included, to the new file `path`.

    Args:
        settings: which service.
        path: where to; only its owner may read it.
        now: UTC milliseconds.

    Raises:
        NotFoundError: if there is nothing to back up.
        ConflictError: if the file is there already.
        ConfigError: if the pepper is missing.
        StorageError: if the database cannot be read or the file not written.
    """
    url = settings.database_url
    if settings.database_file is not None and not settings.database_file.exists():
        raise NotFoundError(f"There is no database at {settings.database_file}. Name the service's with --database.")
    if settings.pepper is None and settings.pepper_file is not None and not settings.pepper_file.exists():
        raise ConfigError(
            f"The pepper {settings.pepper_file} is missing, without which a backup is worth little: no token would "
            f"work. Bring it back, or set {ENVIRONMENT_PREFIX}PEPPER."
        )
    pepper = load_pepper(settings)

    def save(connection: Connection) -> Manifest:
        revision = revision_in(connection)
        if revision is None:
            raise NotFoundError(f"No service has used the database {make_url(url).render_as_string()} yet.")
        with writing(path) as archive:
            for table in tables_of(connection).sorted_tables:
                archive.add_table(table.name, _rows(connection, table))
            return archive.finish(version=version("sleap-rtc"), revision=revision, made_at=now, pepper=pepper)

    with explained(url):
        engine = make_engine(url)
        try:
            snapshot = engine.execution_options(**_SNAPSHOT[engine.dialect.name])
            async with snapshot.begin() as connection:
                return await connection.run_sync(save)
        finally:
            await engine.dispose()


def tables_of(connection: Connection) -> MetaData:
    """The service's tables as they are in the database, whatever its revision."""
    there = OURS.intersection(inspect(connection).get_table_names())
    metadata = MetaData()
    metadata.reflect(connection, only=sorted(there))
    return metadata


def _rows(connection: Connection, table: Table) -> Iterator[Mapping[str, Any]]:
    query = select(table).order_by(*table.primary_key)
    with connection.execute(query, execution_options={"yield_per": _AT_ONCE}) as found:
        for row in found.mappings():
            yield dict(row)
