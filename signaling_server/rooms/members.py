"""Who belongs to a room: joined, left, removed, made its owner. Every function takes the database session first.

The room is locked by whoever calls these, so that its owner is always exactly one.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from signaling_server.audit import service as audit
from signaling_server.audit.service import Action
from signaling_server.invites import service as invites
from signaling_server.models import Membership, Room, User
from signaling_server.rooms import service as rooms
from signaling_server.rooms.service import Seat
from signaling_server.tokens import owners as tokens
from signaling_server.wording import shown
from sleap_rtc.errors import ConflictError, NotFoundError
from sleap_rtc.protocol.ids import is_id

NO_SUCH_MEMBER = "The room has no such member. Its members: sleap-rtc room members"


@dataclass(frozen=True)
class Removal:
    """What a removal leaves to do.

    Attributes:
        invites_revoked: how many invites ended with it, so that nobody comes back with an old code.
        tokens_left: how many worker tokens the removed member made that can be used still.
    """

    invites_revoked: int
    tokens_left: int


async def join(session: AsyncSession, room: Room, user: User, *, invite: str, now: int, limit: int) -> None:
    """Make `user` a member of `room`, which may have `limit` of them.

    Args:
        session: the database session.
        room: the room.
        user: who joins.
        invite: how lists show the invite that lets them in.
        now: the time.
        limit: how many people may belong to it.

    Raises:
        ConflictError: if that many do.
    """
    count = select(func.count()).select_from(Membership).where(Membership.room_id == room.id)
    if (await session.scalar(count) or 0) >= limit:
        raise ConflictError(
            f"The room {shown(room.name)} has {limit} members, the most this service allows. Ask its owner to make "
            "room for you: the invite is still good."
        )
    session.add(Membership(room_id=room.id, user_id=user.id, role="member", created_at=now))
    audit.record(session, room, Action.MEMBER_JOINED, by=user, now=now, subject=user.name, detail=f"invite {invite}")


async def leave(session: AsyncSession, seat: Seat, user: User, *, now: int) -> None:
    """End the membership of `user`, whose `seat` it is.

    Raises:
        ConflictError: if they own the room.
    """
    if seat.role == "owner":
        raise ConflictError(
            f"You own the room {shown(seat.room.name)}, and a room needs an owner. Hand it over first, with "
            "sleap-rtc room transfer, or delete it: sleap-rtc room delete"
        )
    await session.delete(await _membership(session, seat.room, user.id))
    audit.record(session, seat.room, Action.MEMBER_LEFT, by=user, now=now, subject=user.name)


async def remove(session: AsyncSession, room: Room, user_id: str, *, by: User, now: int) -> Removal:
    """End the membership of `user_id` and the invites that are open.

    Raises:
        NotFoundError: if `room` has no such member.
        ConflictError: if that is its owner.
    """
    if user_id == by.id:
        raise ConflictError(
            "Nobody removes themselves. Hand the room over first, with sleap-rtc room transfer, or delete it: "
            "sleap-rtc room delete"
        )
    membership = await _membership(session, room, user_id)
    await session.delete(membership)
    name = membership.user.name
    audit.record(session, room, Action.MEMBER_REMOVED, by=by, now=now, subject=name, detail=user_id)
    revoked = await invites.revoke_open(session, room, by=by, now=now)
    return Removal(revoked, await tokens.alive_of(session, room, user_id, now=now))


async def transfer(session: AsyncSession, room: Room, user_id: str, *, by: User, now: int, limit: int) -> None:
    """Make the member `user_id` the owner of `room`, and its owner `by` a member.

    Raises:
        NotFoundError: if `room` has no such member.
        ConflictError: if they own it already, or own `limit` rooms.
    """
    if user_id == by.id:
        raise ConflictError(f"You own the room {shown(room.name)} already.")
    heir = await _membership(session, room, user_id)
    if await rooms.owned_by(session, heir.user) >= limit:
        raise ConflictError(
            f"{heir.user.name} owns {limit} rooms, the most this service allows, and must first give one away."
        )
    (await _membership(session, room, by.id)).role = "member"
    heir.role = "owner"
    audit.record(session, room, Action.ROOM_TRANSFERRED, by=by, now=now, subject=heir.user.name, detail=user_id)


async def _membership(session: AsyncSession, room: Room, user_id: str) -> Membership:
    query = select(Membership).options(joinedload(Membership.user))
    query = query.where(Membership.room_id == room.id, Membership.user_id == user_id)
    found = (await session.scalars(query)).one_or_none() if is_id("user", user_id) else None
    if found is None:
        raise NotFoundError(NO_SUCH_MEMBER)
    return found
