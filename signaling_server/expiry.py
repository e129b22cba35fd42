"""Forgetting what ended by itself, in every table that says when: the last broom, behind those of the slices.

A slice that knows more about its rows (revoked, used, too many) forgets those itself; what only grows old goes here,
so that a new table cannot be overlooked.
"""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import Base

AT_ONCE = 500
"""Rows deleted in one transaction: others wait for it."""
DAY_MS = 86_400_000
# whoever comes with something that ended is told what it was, for as long as its row stays
_KEPT_DAYS = {"invites": 30, "tokens": 30}
_USUALLY_KEPT_DAYS = 7


def tables() -> Iterator[Table]:
    """The tables whose rows end by themselves, those first that others do not refer to."""
    return (table for table in reversed(Base.metadata.sorted_tables) if "expires_at" in table.columns)


async def forget_expired(session: AsyncSession, table: Table, *, now: int) -> int:
    """Delete rows of `table` that ended long ago, `AT_ONCE` at most; how many."""
    kept = _KEPT_DAYS.get(table.name, _USUALLY_KEPT_DAYS) * DAY_MS
    return await delete_some(session, table, table.columns.expires_at < now - kept)


async def delete_some(session: AsyncSession, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete rows of `table` to which `condition` applies, `AT_ONCE` at most; how many."""
    key = tuple_(*table.primary_key)
    chosen = select(*table.primary_key).where(condition).limit(AT_ONCE)
    gone = await session.execute(delete(table).where(key.in_(chosen)).returning(*table.primary_key))
    return len(gone.all())
