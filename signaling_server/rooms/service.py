"""Rooms: made, ended. Every function takes the database session first."""

import secrets
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import Room
from signaling_server.tokens import service as tokens
from sleap_rtc.protocol.ids import new_id

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
# an expired room stays a week, so that the holder of its string is told "expired", not "unknown"
GRACE_MS = 7 * DAY_MS


@dataclass(frozen=True)
class AnonymousRoom:
    """A room behind a session string, with the only copies of its tokens."""

    room_id: str
    worker_token: str
    session_token: str
    expires_at: int


async def create_anonymous(
    session: AsyncSession, pepper: bytes, *, name: str, now: int, lifetime_ms: int
) -> AnonymousRoom:
    """Make a room with one worker token and one client token; unused, it ends after `lifetime_ms`."""
    expires_at = now + lifetime_ms
    room = Room(
        id=new_id("room", secrets.token_bytes(20)), name=name, kind="anonymous", created_at=now, expires_at=expires_at
    )
    session.add(room)
    worker_token = await tokens.create(
        session, pepper, room=room, kind="worker", user=_new_user(), name=name or "worker", now=now, expires_at=None
    )
    session_token = await tokens.create(
        session, pepper, room=room, kind="session", user=_new_user(), name="guest", now=now, expires_at=expires_at
    )
    return AnonymousRoom(room.id, worker_token, session_token, expires_at)


async def forget_expired(session: AsyncSession, *, now: int) -> None:
    """Delete anonymous rooms that ended more than a week ago, with their tokens."""
    await session.execute(delete(Room).where(Room.kind == "anonymous", Room.expires_at < now - GRACE_MS))


def _new_user() -> str:
    return new_id("user", secrets.token_bytes(20))
