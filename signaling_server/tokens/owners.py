"""What the owner of a room does with its worker tokens. Every function takes the database session first."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import contains_eager, joinedload

from signaling_server.audit import service as audit
from signaling_server.audit.service import Action
from signaling_server.lifetimes import ends_soon
from signaling_server.models import Membership, Room, Token, User
from signaling_server.security import UNKNOWN_CREDENTIAL
from signaling_server.tokens import service as tokens
from signaling_server.tokens.service import Issued
from signaling_server.wording import lasting, shown, within
from sleap_rtc.errors import ConflictError, NotFoundError
from sleap_rtc.protocol.ids import is_token_id


@dataclass(frozen=True)
class ListedToken:
    """A worker token as its room's owner sees it; `expires_soon` says that it ends within a day."""

    token_id: str
    name: str
    display: str
    created_at: int
    created_by: str
    expires_at: int | None
    expires_soon: bool
    last_used_at: int | None
    replaced_at: int | None
    revoked_at: int | None
    state: Literal["active", "expired", "revoked"]


@dataclass(frozen=True)
class OwnedToken(ListedToken):
    """The same beside those of other rooms of its owner."""

    room_id: str
    room_name: str


@dataclass(frozen=True)
class Rotated:
    """A new token in the place of an old one.

    Attributes:
        name: what both are called.
        expires_at: when the new one ends.
        old_ends_at: when the old one does.
        reason: the sentence for who holds the old one; None while it still works.
    """

    issued: Issued
    name: str
    expires_at: int | None
    old_ends_at: int
    reason: str | None


async def create(
    session: AsyncSession,
    pepper: bytes,
    room: Room,
    name: str,
    *,
    by: User,
    now: int,
    expires_at: int | None,
    limit: int,
) -> Issued:
    """Make a worker token of `room`, which may have `limit` of them.

    Raises:
        ConflictError: if that many can be used.
    """
    await _make_space(session, room, limit=limit, now=now)
    audit.record(session, room, Action.TOKEN_MADE, by=by, now=now, subject=name, detail=lasting(expires_at, now))
    return await tokens.create(
        session, pepper, room=room, kind="worker", name=name, now=now, expires_at=expires_at, created_by=by.id
    )


async def listed(session: AsyncSession, room: Room, *, now: int) -> list[ListedToken]:
    """The worker tokens of `room`, the oldest first."""
    query = _with_makers().where(Token.room_id == room.id).order_by(Token.created_at, Token.id)
    return [ListedToken(**_shown(token, creator, room, now)) for token, creator in await session.execute(query)]


async def owned(session: AsyncSession, user: User, *, now: int) -> list[OwnedToken]:
    """The worker tokens of all rooms that `user` owns, room by room, the oldest first."""
    query = (
        _with_makers()
        .join(Token.room)
        .join(Membership, Membership.room_id == Token.room_id)
        .where(Membership.user_id == user.id, Membership.role == "owner")
        .options(contains_eager(Token.room))
        .order_by(Room.created_at, Room.id, Token.created_at, Token.id)
    )
    return [
        OwnedToken(**_shown(token, creator, token.room, now), room_id=token.room_id, room_name=token.room.name)
        for token, creator in await session.execute(query)
    ]


async def revoke(session: AsyncSession, room: Room, token_id: str, *, by: User, now: int) -> str:
    """End a worker token of `room`, once and for all, and return the sentence for who holds it.

    Raises:
        NotFoundError: if `room` has no such token.
    """
    found = await _of_room(session, room, token_id)
    if found.revoked_at is None:
        found.revoked_at = now
        audit.record(session, room, Action.TOKEN_REVOKED, by=by, now=now, subject=found.name, detail=found.display)
    return tokens.why_dead(found, now) or UNKNOWN_CREDENTIAL


async def rotate(
    session: AsyncSession,
    pepper: bytes,
    room: Room,
    token_id: str,
    *,
    by: User,
    now: int,
    grace_ms: int,
    limits: tuple[int, int | None],
) -> Rotated:
    """Make a new worker token of the same name and lifetime; the old one ends after `grace_ms`.

    Args:
        session: the database session.
        pepper: the key tokens are hashed under.
        room: the room of both.
        token_id: the old one.
        by: who asks.
        now: the time.
        grace_ms: how long the old one still works, unless it ends by itself before.
        limits: how many worker tokens the room may have, and how long one may live, in milliseconds; None for ever.

    Raises:
        NotFoundError: if `room` has no such token.
        ConflictError: if it has ended or was replaced already, or the room has too many.
    """
    old = await _of_room(session, room, token_id)
    if tokens.why_dead(old, now) is not None:
        raise ConflictError(f"The token {shown(old.name)} has ended. Make another one: sleap-rtc token create")
    if old.replaced_at is not None:
        raise ConflictError(f"The token {shown(old.name)} was replaced already, by a newer one of the same name.")
    most_tokens, longest = limits
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    lifetimes = [each for each in (lifetime, longest) if each is not None]
    expires_at = now + min(lifetimes) if lifetimes else None
    old.replaced_at = now
    old.expires_at = now + grace_ms if old.expires_at is None else min(old.expires_at, now + grace_ms)
    await session.flush()
    await _make_space(session, room, limit=most_tokens, now=now)
    issued = await tokens.create(
        session, pepper, room=room, kind="worker", name=old.name, now=now, expires_at=expires_at, created_by=by.id
    )
    detail = f"the old one ends in {within(old.expires_at, now)}" if grace_ms else "the old one ended at once"
    audit.record(session, room, Action.TOKEN_ROTATED, by=by, now=now, subject=old.name, detail=detail)
    return Rotated(issued, old.name, expires_at, old.expires_at, tokens.why_dead(old, now))


async def alive_of(session: AsyncSession, room: Room, user_id: str, *, now: int) -> int:
    """How many worker tokens of `room` that `user_id` made can be used."""
    query = select(func.count()).select_from(Token)
    query = query.where(Token.room_id == room.id, Token.kind == "worker", Token.created_by == user_id)
    alive = query.where(Token.revoked_at.is_(None), or_(Token.expires_at.is_(None), Token.expires_at > now))
    return await session.scalar(alive) or 0


async def _make_space(session: AsyncSession, room: Room, *, limit: int, now: int) -> None:
    """Check that `room` may have one more worker token; ended ones give way.

    Raises:
        ConflictError: if `limit` of them can be used.
    """
    of_room = (Token.room_id == room.id, Token.kind == "worker")
    counted = select(func.count()).select_from(Token).where(*of_room)
    if (await session.scalar(counted) or 0) < limit:
        return
    await session.execute(delete(Token).where(*of_room, or_(Token.revoked_at.is_not(None), Token.expires_at <= now)))
    if (await session.scalar(counted) or 0) >= limit:
        raise ConflictError(
            f"The room {shown(room.name)} has {limit} worker tokens, the most this service allows. "
            "Revoke one that is no longer needed: sleap-rtc token revoke"
        )


async def _of_room(session: AsyncSession, room: Room, token_id: str) -> Token:
    query = select(Token).options(joinedload(Token.room)).where(Token.id == token_id, Token.room_id == room.id)
    found = (
        (await session.scalars(query.where(Token.kind == "worker"))).one_or_none() if is_token_id(token_id) else None
    )
    if found is None:
        raise NotFoundError("The room has no such token. Its tokens: sleap-rtc token list")
    return found


def _with_makers() -> Select[Token, str]:
    query = select(Token, User.name).outerjoin(User, User.id == Token.created_by)
    return query.where(Token.kind == "worker")


def _shown(token: Token, creator: str | None, room: Room, now: int) -> dict[str, Any]:
    return {
        "token_id": token.id,
        "name": token.name,
        "display": token.display,
        "created_at": token.created_at,
        "created_by": creator or "",
        "expires_at": token.expires_at,
        "expires_soon": ends_soon(token.expires_at, now=now),
        "last_used_at": token.last_used_at,
        "replaced_at": token.replaced_at,
        "revoked_at": token.revoked_at,
        "state": _state(token, room, now),
    }


def _state(token: Token, room: Room, now: int) -> Literal["active", "expired", "revoked"]:
    if token.revoked_at is not None:
        return "revoked"
    ends = [end for end in (token.expires_at, room.expires_at) if end is not None]
    return "expired" if ends and min(ends) <= now else "active"
