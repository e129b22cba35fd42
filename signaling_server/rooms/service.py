"""Rooms and who belongs to them: made, shown, ended. Every function takes the database session first."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import ScalarSelect, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, joinedload

from signaling_server.audit import service as audit
from signaling_server.audit.service import Action
from signaling_server.lifetimes import GRACE_MS
from signaling_server.models import Membership, Room, User
from signaling_server.tokens import service as tokens
from signaling_server.wording import ago, lasting, shown, within
from sleap_rtc.errors import ConflictError, ForbiddenError, NotFoundError
from sleap_rtc.protocol.ids import is_id, new_id

NO_SUCH_ROOM = "There is no such room, or you do not belong to it. Your rooms: sleap-rtc room list"
"""Said alike for a room that is not there and for one of other people."""


@dataclass(frozen=True)
class AnonymousRoom:
    """A room behind a session string, with the only copies of its tokens."""

    room_id: str
    worker_token: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: int


@dataclass(frozen=True)
class Seat:
    """A room as one of its members sees it."""

    room: Room
    role: str
    members: int


async def create_anonymous(
    session: AsyncSession, pepper: bytes, *, name: str, now: int, lifetime_ms: int
) -> AnonymousRoom:
    """Make a room with one worker token and one client token; unused, it ends after `lifetime_ms`."""
    expires_at = now + lifetime_ms
    room = _room(name=name, kind="anonymous", now=now, expires_at=expires_at)
    session.add(room)
    worker = await tokens.create(
        session, pepper, room=room, kind="worker", name=name or "worker", now=now, expires_at=None
    )
    guest = await tokens.create(
        session, pepper, room=room, kind="session", name="guest", now=now, expires_at=expires_at
    )
    return AnonymousRoom(room.id, worker.text, guest.text, expires_at)


async def create(
    session: AsyncSession, *, owner: User, name: str, now: int, expires_at: int | None, limit: int
) -> Seat:
    """Make a room that belongs to `owner`, who may own `limit` of them.

    Raises:
        ConflictError: if that many are there.
    """
    # one at a time for each owner: two that count at once would both find room for one more
    await session.execute(select(User.id).where(User.id == owner.id).with_for_update(key_share=True))
    if await owned_by(session, owner) >= limit:
        raise ConflictError(
            f"You own {limit} rooms, the most this service allows. Delete one that is no longer needed: "
            "sleap-rtc room delete"
        )
    room = _room(name=name, kind="room", now=now, expires_at=expires_at)
    session.add(room)
    session.add(Membership(room_id=room.id, user_id=owner.id, role="owner", created_at=now))
    await session.flush()
    audit.record(session, room, Action.ROOM_CREATED, by=owner, now=now, subject=name, detail=lasting(expires_at, now))
    return Seat(room, "owner", 1)


async def owned_by(session: AsyncSession, user: User) -> int:
    """How many rooms `user` owns."""
    query = select(func.count()).select_from(Membership)
    return await session.scalar(query.where(Membership.user_id == user.id, Membership.role == "owner")) or 0


async def owners(session: AsyncSession, room_ids: Collection[str]) -> dict[str, str]:
    """Who owns which of these rooms, by ids; nobody owns an anonymous one."""
    query = select(Membership).where(Membership.room_id.in_(room_ids), Membership.role == "owner")
    return {each.room_id: each.user_id for each in await session.scalars(query)}


async def seats(session: AsyncSession, user: User) -> list[Seat]:
    """The rooms `user` belongs to, the oldest first."""
    query = (
        select(Membership, _members())
        .options(joinedload(Membership.room))
        .join(Membership.room)
        .where(Membership.user_id == user.id)
        .order_by(Room.created_at, Room.id)
    )
    return [Seat(membership.room, membership.role, members) for membership, members in await session.execute(query)]


async def seat(session: AsyncSession, user: User, room_id: str, *, lock: bool = False) -> Seat:
    """The room `room_id`, if `user` belongs to it, be it expired or not.

    Args:
        session: the database session.
        user: who asks.
        room_id: the room they name.
        lock: whether others wait with what they change there until the session ends.

    Raises:
        NotFoundError: if not; the same for a room of others and for none.
    """
    if not is_id("room", room_id):
        raise NotFoundError(NO_SUCH_ROOM)
    if lock:  # before anything is read: what was read earlier may have changed while this waited
        await session.execute(select(Room.id).where(Room.id == room_id).with_for_update(key_share=True))
    query = select(Membership, _members()).options(joinedload(Membership.room))
    query = query.where(Membership.user_id == user.id, Membership.room_id == room_id)
    found = (await session.execute(query)).one_or_none()
    if found is None:
        raise NotFoundError(NO_SUCH_ROOM)
    membership, members = found
    return Seat(membership.room, membership.role, members)


async def open_seat(session: AsyncSession, user: User, room_id: str, *, now: int) -> Seat:
    """The room `room_id`, if `user` belongs to it and it has not expired.

    Raises:
        NotFoundError: as `seat` does.
        ConflictError: if it has expired.
    """
    found = await seat(session, user, room_id)
    check_open(found.room, now)
    return found


def check_owner(seat: Seat) -> None:
    """Check that `seat` is the owner's.

    Raises:
        ForbiddenError: if it is a member's.
    """
    if seat.role != "owner":
        raise ForbiddenError(f"Only the owner of the room {shown(seat.room.name)} may do that. Ask them.")


def check_open(room: Room, now: int) -> None:
    """Check that `room` has not expired.

    Raises:
        ConflictError: if it has.
    """
    reason = why_closed(room, now)
    if reason is not None:
        raise ConflictError(reason)


def why_closed(room: Room, now: int) -> str | None:
    """The sentence for a member of an expired room; None if it is open."""
    if room.expires_at is None or room.expires_at > now:
        return None
    left = within(room.expires_at + GRACE_MS, now)
    return (
        f"The room {shown(room.name)} expired {ago(room.expires_at, now)}, so it takes no new connections. "
        f"For {left} more it is kept, and its owner can bring it back: sleap-rtc room extend"
    )


def rename(session: AsyncSession, room: Room, name: str, *, by: User, now: int) -> None:
    """Call `room` otherwise."""
    if name != room.name:
        audit.record(session, room, Action.ROOM_RENAMED, by=by, now=now, subject=name, detail=f"was {room.name}")
        room.name = name


def extend(session: AsyncSession, room: Room, expires_at: int | None, *, by: User, now: int) -> None:
    """Let `room` live until `expires_at` (None for ever), also if it expired within the last week.

    Raises:
        NotFoundError: if it expired before that, and is about to be forgotten.
        ConflictError: if it lives that long already.
    """
    if room.expires_at is not None and room.expires_at + GRACE_MS <= now:
        raise NotFoundError(NO_SUCH_ROOM)
    if room.expires_at is None or (expires_at is not None and expires_at <= room.expires_at):
        end = lasting(room.expires_at, now)
        raise ConflictError(f"The room {shown(room.name)} lives {end} already. Give it more days, or leave it so.")
    room.expires_at = expires_at
    audit.record(
        session, room, Action.ROOM_EXTENDED, by=by, now=now, subject=room.name, detail=lasting(expires_at, now)
    )


async def people(session: AsyncSession, room: Room) -> list[Membership]:
    """Who belongs to `room`, the oldest membership first, each with its user."""
    query = select(Membership).options(joinedload(Membership.user)).where(Membership.room_id == room.id)
    return list(await session.scalars(query.order_by(Membership.created_at, Membership.user_id)))


async def remove(session: AsyncSession, room: Room) -> None:
    """Delete `room` with its memberships and tokens."""
    await session.execute(delete(Room).where(Room.id == room.id))


def _members() -> ScalarSelect[int]:
    counted = aliased(Membership)
    return select(func.count()).where(counted.room_id == Membership.room_id).scalar_subquery()


def _room(*, name: str, kind: str, now: int, expires_at: int | None) -> Room:
    return Room(id=new_id("room", secrets.token_bytes(20)), name=name, kind=kind, created_at=now, expires_at=expires_at)
