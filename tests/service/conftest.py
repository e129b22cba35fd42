"""Every test of the service runs on both databases, if it has a service: see `pytest_generate_tests`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.service import databases, redis_servers
from tests.service.redis_servers import shared_redis
from tests.service.running import RunningService, running_service

__all__ = ["shared_redis"]
BOTH: list[Any] = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
TWO = "two-processes"
"""Not a database: SQLite, and Redis between two processes of the service; peers connect to them in turn."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what has a folder, and so may have a service, on each database.

    Whoever has neither needs none; `@pytest.mark.one_database` says so of the others. `@pytest.mark.spread` runs it on
    a service of two processes as well.
    """
    has_service = {"tmp_path", "service"} & set(metafunc.fixturenames)
    marked = metafunc.definition.get_closest_marker
    spread = [TWO] if marked("spread") else []
    if has_service and not marked("one_database"):
        metafunc.parametrize("database", (BOTH[1:] if marked("postgres") else BOTH) + spread, indirect=True)
    elif has_service and spread:
        metafunc.parametrize("database", BOTH[:1] + spread, indirect=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[databases.Postgres]:
    """The databases of this process of tests."""
    server = databases.server()
    if isinstance(server, str):
        pytest.skip(server)
    postgres = databases.Postgres(server)
    yield postgres
    postgres.close()


@pytest.fixture(autouse=True)
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The database on which the services of this test run, by its name."""
    name = getattr(request, "param", "sqlite")
    if name == "sqlite":
        yield name
        return
    if name == TWO:
        with redis_servers.on_redis():
            yield name
        return
    with databases.on(request.getfixturevalue("postgres_server")):
        yield name


@pytest_asyncio.fixture
async def service(database: str, tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        yield running
