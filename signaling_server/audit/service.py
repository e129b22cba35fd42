"""What was done in a room, by whom: written with what it tells, in one transaction. Session first, as everywhere."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import Room, RoomEvent, User

_SUBJECT = 160
_DETAIL = 512


class Action(StrEnum):
    """All that is told of a room."""

    ROOM_CREATED = "room_created"
    ROOM_RENAMED = "room_renamed"
    ROOM_EXTENDED = "room_extended"
    ROOM_TRANSFERRED = "room_transferred"
    MEMBER_JOINED = "member_joined"
    MEMBER_LEFT = "member_left"
    MEMBER_REMOVED = "member_removed"
    INVITE_MADE = "invite_made"
    INVITE_REVOKED = "invite_revoked"
    TOKEN_MADE = "token_made"  # noqa: S105 - the word for it
    TOKEN_ROTATED = "token_rotated"  # noqa: S105 - the word for it
    MODEL_REGISTERED = "model_registered"
    MODEL_PROMOTED = "model_promoted"
    MODEL_DELETED = "model_deleted"
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - the word for it


@dataclass(frozen=True)
class Actor:
    """Who did something: a user, or a worker."""

    id: str
    name: str

    @classmethod
    def of(cls, user: User) -> Self:
        """A user, as they are called now."""
        return cls(user.id, user.name)


def record(
    session: AsyncSession,
    room: Room,
    action: Action,
    *,
    by: User | Actor,
    now: int,
    subject: str = "",
    detail: str = "",
) -> None:
    """Add a line to the log of `room`, which the database must know already.

    Args:
        session: the database session.
        room: where it was done.
        action: what was done.
        by: who did it; their name is kept as it is now.
        now: the time.
        subject: to whom or what.
        detail: what else there is to say.
    """
    session.add(
        RoomEvent(
            room_id=room.id,
            at=now,
            actor=by.id,
            actor_name=by.name,
            action=action,
            subject=subject[:_SUBJECT],
            detail=detail[:_DETAIL],
        )
    )


async def page(session: AsyncSession, room: Room, *, before: int | None, limit: int) -> tuple[list[RoomEvent], bool]:
    """The newest `limit` lines of the log of `room` (those before the line `before`), and whether older ones follow."""
    query = select(RoomEvent).where(RoomEvent.room_id == room.id)
    if before is not None:
        query = query.where(RoomEvent.id < before)
    found = list(await session.scalars(query.order_by(RoomEvent.id.desc()).limit(limit + 1)))
    return found[:limit], len(found) > limit


async def forget_old(session: AsyncSession, *, keep: int) -> None:
    """Delete of every room's log what is older than its newest `keep` lines."""
    long = select(RoomEvent.room_id).group_by(RoomEvent.room_id).having(func.count() > keep)
    for room_id in list(await session.scalars(long)):
        newest = select(RoomEvent.id).where(RoomEvent.room_id == room_id).order_by(RoomEvent.id.desc())
        first_too_old = await session.scalar(newest.offset(keep).limit(1))
        await session.execute(delete(RoomEvent).where(RoomEvent.room_id == room_id, RoomEvent.id <= first_too_old))
