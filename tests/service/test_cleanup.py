"""What ended long ago is forgotten, whatever table it is in."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, event, func, insert, select

from signaling_server import expiry
from signaling_server.housekeeping import clean_up
from signaling_server.models import Base
from tests.service.people import DAY
from tests.service.running import RunningService, running_service

NOW = 1_800_000_000_000
LONG = 400 * DAY
ENDING = [table for table in Base.metadata.sorted_tables if "expires_at" in table.columns]


def row(table: Table, number: int, *, expires_at: int) -> dict[str, Any]:
    """A row of any table; all that it refers to has the same number."""
    made: dict[str, Any] = {}
    for column in table.columns:
        kind = column.type.python_type
        if column.name == "expires_at":
            made[column.name] = expires_at
        elif column.name in WORDS:
            made[column.name] = WORDS[column.name][table.name]
        elif column.primary_key or column.foreign_keys or not column.nullable:
            text = f"{number:016d}"
            made[column.name] = text if kind is str else text.encode() if kind is bytes else number
    return made


WORDS: dict[str, dict[str, str]] = {
    "kind": {"rooms": "room", "logins": "dev", "access_tokens": "bearer", "tokens": "worker"},
    "state": {"device_codes": "pending"},
}


async def fill(service: RunningService, numbers: range, expires_at: int) -> None:
    async with service.service.database.transaction() as session:
        needed = {key.column.table for table in ENDING for key in table.foreign_keys} | set(ENDING)
        for table in Base.metadata.sorted_tables:
            if table in needed:
                await session.execute(insert(table), [row(table, n, expires_at=expires_at) for n in numbers])


async def counted(service: RunningService) -> dict[str, int]:
    async with service.service.database.transaction() as session:
        return {table.name: await session.scalar(select(func.count()).select_from(table)) or 0 for table in ENDING}


async def test_what_expired_long_ago_is_gone_from_every_table_and_the_rest_stays(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.service.clock = lambda: NOW
        await fill(service, range(2), NOW - LONG)
        await fill(service, range(2, 5), NOW + LONG)
        assert set((await counted(service)).values()) == {5}
        await clean_up(service.service)
        assert await counted(service) == {table.name: 3 for table in ENDING}


async def test_what_just_expired_is_still_there_to_be_told_of(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        service.service.clock = lambda: NOW
        await fill(service, range(1), NOW - DAY)
        await clean_up(service.service)
        assert {name: number for name, number in (await counted(service)).items() if name in KEPT} == KEPT


KEPT = {"rooms": 1, "tokens": 1, "logins": 1}


async def test_it_goes_in_small_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "AT_ONCE", 10)
    async with running_service(tmp_path) as service:
        service.service.clock = lambda: NOW
        await fill(service, range(25), NOW - LONG)
        commits: list[object] = []
        event.listen(service.service.database.engine.sync_engine, "commit", commits.append)
        await clean_up(service.service)
        assert set((await counted(service)).values()) == {0}
        assert len(commits) > 3 * len({"rooms", "logins", "tokens"})
