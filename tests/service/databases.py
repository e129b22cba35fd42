"""Which database the services under test keep their things in: a file of SQLite's, or one of a PostgreSQL server's."""

import asyncio
import getpass
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
from sqlalchemy.engine import URL, make_url

from signaling_server.db import Database, upgrade
from signaling_server.models import Base

VARIABLE = "SLEAP_RTC_TEST_POSTGRES"
PEPPER = "0123456789abcdefghijklmnopqrstuvwxyz"


def settings_for(folder: Path) -> dict[str, Any]:
    """The settings of the service that lies in `folder`: the same folder, the same database.

    Its tables are there, and empty at first; how they come about is what the tests of `empty_database` look at.
    """
    if not _chosen:
        path = folder / "service.db"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_bytes(_sqlite_template())
        return {"database_url": f"sqlite+aiosqlite:///{path}"}
    return {"database_url": _chosen[-1].url_for(folder), "pepper": PEPPER}


def empty_database(folder: Path) -> str:
    """The URL of a database in which nothing is, not even a table."""
    return _chosen[-1].new() if _chosen else f"sqlite+aiosqlite:///{folder / 'deep' / 'service.db'}"


@cache
def _sqlite_template() -> bytes:
    """A database in which all migrations were done: they take ten times as long as the rest of a service's start."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "template.db"
        run(upgrade(f"sqlite+aiosqlite:///{path}"))
        return path.read_bytes()


class Postgres:
    """A PostgreSQL server with a pool of databases for one process of tests.

    To make a database costs the server half a second, to empty one nothing: they are used again.
    """

    def __init__(self, server: URL) -> None:
        self._server = server
        self._prefix = f"sleap_rtc_test_{secrets.token_hex(4)}"
        self._made: list[str] = []
        self._free: list[str] = []
        self._taken: dict[Path, str] = {}
        self._bare_free: list[str] = []
        self._bare_taken: list[str] = []

    def url_for(self, folder: Path) -> str:
        """The URL of the database that belongs to `folder`; its tables are there, and empty at first."""
        if folder not in self._taken:
            self._taken[folder] = self._free.pop() if self._free else self._create(template=self._template())
        return self._url(self._taken[folder])

    def new(self) -> str:
        """The URL of a database without any table."""
        name = self._bare_free.pop() if self._bare_free else self._create(template="template0")
        self._bare_taken.append(name)
        return self._url(name)

    def give_back(self) -> None:
        """End the test: what it used is emptied for the next."""
        run(self._give_back())

    def close(self) -> None:
        """Drop everything that was made here."""
        run(self._drop(self._made))

    def execute(self, statement: str) -> None:
        """Do something at the server, outside every database of the tests."""
        run(self._execute([statement]))

    async def _give_back(self) -> None:
        taken, self._taken = list(self._taken.values()), {}
        for name in taken:
            async with connected(self._server.set(database=name)) as connection:
                await connection.execute("SET lock_timeout = 5000")
                tables = [table.name for table in reversed(Base.metadata.sorted_tables)]
                await connection.execute(";".join(f'DELETE FROM "{table}"' for table in tables))
            self._free.append(name)
        taken, self._bare_taken = self._bare_taken, []
        for name in taken:
            async with connected(self._server.set(database=name)) as connection:
                await connection.execute("SET lock_timeout = 5000; DROP SCHEMA public CASCADE; CREATE SCHEMA public")
            self._bare_free.append(name)

    def _template(self) -> str:
        name = f"{self._prefix}_template"
        if name not in self._made:
            self._create(template="template0", name=name)
            run(upgrade(self._url(name)))
        return name

    def _create(self, *, template: str, name: str | None = None) -> str:
        name = name or f"{self._prefix}_{len(self._made)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        # a commit waits for no disk: what a server's own crash would leave is not what is tested here
        self.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        self._made.append(name)
        return name

    async def _drop(self, names: list[str]) -> None:
        await self._execute([f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' for name in names])
        names.clear()

    async def _execute(self, statements: list[str]) -> None:
        async with connected(self._server) as connection:
            for statement in statements:
                await connection.execute(statement)

    def _url(self, name: str) -> str:
        return self._server.set(drivername="postgresql+asyncpg", database=name).render_as_string(hide_password=False)


_chosen: list[Postgres] = []


@contextmanager
def on(postgres: Postgres) -> Iterator[None]:
    """Services that begin while the block runs keep their things in `postgres`."""
    _chosen.append(postgres)
    try:
        yield
    finally:
        _chosen.remove(postgres)
        postgres.give_back()


@cache
def server() -> URL | str:
    """A PostgreSQL server whose databases these tests may make and drop; or why there is none."""
    given = os.environ.get(VARIABLE)
    user = getpass.getuser()
    candidates = [make_url(given)] if given else [
        URL.create("postgresql", who, host=host, port=port, database="postgres", query=query)
        for who in dict.fromkeys((user, "postgres"))
        for host, port, query in ((None, None, {"host": "/var/run/postgresql"}), ("127.0.0.1", 5432, {}))
    ]  # fmt: skip
    reason = ""
    for url in candidates:
        try:
            run(_may_create(url))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, PermissionError) as error:
            reason = f"{type(error).__name__}: {error}"
        else:
            return url
    return f"no PostgreSQL server answers ({reason}); name one: {VARIABLE}=postgresql://user@host/postgres"


async def _may_create(url: URL) -> None:
    async with connected(url) as connection:
        if not await connection.fetchval("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"):
            raise PermissionError(f"{url.username} may make no database")


@asynccontextmanager
async def connected(url: URL | str) -> AsyncIterator[Any]:
    """A connection of the tests' own, beside those of the service."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    connection = await asyncpg.connect(plain, timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


async def everything_in(database: Database) -> str:
    """What is in every table, as text that tells two databases apart by their rows alone."""
    async with database.transaction() as session:
        tables = [await session.execute(table.select()) for table in Base.metadata.sorted_tables]
    return "\n".join(sorted(repr(row) for rows in tables for row in rows))


def run(work: Any) -> None:
    """Run a coroutine to its end, also where a loop runs already."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()
