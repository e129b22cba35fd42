"""Forgetting what ended, in every table that says when: one rule, so that a new table cannot be overlooked."""

from collections.abc import Iterator

from sqlalchemy import ColumnElement, Table, delete, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.lifetimes import DAY_MS, GRACE_MS, HOUR_MS
from signaling_server.models import Base

AT_ONCE = 500
"""Rows deleted in one transaction: others wait for it."""
# whoever comes with something that ended is told what it was, for as long as its row stays
_KEPT_MS = {
    "access_tokens": DAY_MS,
    "device_codes": HOUR_MS,
    "enrolments": 0,
    "invites": 30 * DAY_MS,
    "provider_visits": 0,
    "rooms": GRACE_MS,
    "tokens": 30 * DAY_MS,
}
_USUALLY_KEPT_MS = 7 * DAY_MS


def tables() -> Iterator[Table]:
    """The tables whose rows end by themselves, those first that others do not refer to."""
    return (table for table in reversed(Base.metadata.sorted_tables) if "expires_at" in table.columns)


async def forget_ended(session: AsyncSession, table: Table, *, now: int) -> int:
    """Delete rows of `table` that expired or were revoked long ago, `AT_ONCE` at most; how many."""
    before = now - _KEPT_MS.get(table.name, _USUALLY_KEPT_MS)
    ends = [table.columns[name] for name in ("expires_at", "revoked_at") if name in table.columns]
    return await _delete_some(session, table, or_(*(end < before for end in ends)))


async def _delete_some(session: AsyncSession, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete rows of `table` to which `condition` applies, `AT_ONCE` at most; how many."""
    key = tuple_(*table.primary_key)
    chosen = select(*table.primary_key).where(condition).limit(AT_ONCE)
    gone = await session.execute(delete(table).where(key.in_(chosen)).returning(*table.primary_key))
    return len(gone.all())
