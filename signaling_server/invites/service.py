"""Invites: made, listed, redeemed, revoked. Every function takes the database session first."""

import secrets
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.audit import service as audit
from signaling_server.audit.service import Action
from signaling_server.models import Invite, Membership, Room, User
from signaling_server.security import hash_token
from signaling_server.wording import shown
from sleap_rtc.errors import ConflictError, NotFoundError
from sleap_rtc.protocol.ids import is_invite_id
from sleap_rtc.protocol.invites import RANDOM_BYTES as CODE_BYTES
from sleap_rtc.protocol.invites import make_code, read_code
from sleap_rtc.protocol.tokens import RANDOM_BYTES, make_token

# an ended invite stays a month in its room's list
DISPLAYED = 3
UNKNOWN_INVITE = (
    "This invite is not good: mistyped, unknown, expired, revoked, or used by others already. Check it, or ask who "
    "gave it to you for a new one."
)
"""Said for every invite that lets nobody in alike, so that nobody learns which there were."""


@dataclass(frozen=True)
class Issued:
    """A new invite, with the only copies of its two forms."""

    invite_id: str
    code: str = field(repr=False)
    link_token: str = field(repr=False)


@dataclass(frozen=True)
class Redeemed:
    """The room that an invite leads to.

    Attributes:
        display: how lists show the invite.
        role: what the user is there already; then nothing was used up. None for who is to join.
    """

    room: Room
    display: str
    role: str | None


@dataclass(frozen=True)
class ListedInvite:
    """An invite as its room's owner sees it."""

    invite_id: str
    display: str
    created_by: str
    created_at: int
    expires_at: int
    uses: int
    used: int
    state: Literal["open", "used", "expired", "revoked"]


async def create(
    session: AsyncSession, pepper: bytes, *, room: Room, by: User, now: int, expires_at: int, uses: int, limit: int
) -> Issued:
    """Make an invite to `room`, which may have `limit` open ones; its code is stored nowhere.

    Raises:
        ConflictError: if that many are open.
    """
    await _make_space(session, room, limit=limit, now=now)
    code = make_code(secrets.token_bytes(CODE_BYTES))
    link = make_token("invite", secrets.token_bytes(RANDOM_BYTES))
    invite = Invite(
        id="i_" + secrets.token_hex(16),
        room_id=room.id,
        code_hash=hash_token(pepper, code),
        link_hash=hash_token(pepper, link),
        display=code[:DISPLAYED],
        created_by=by.id,
        created_at=now,
        expires_at=expires_at,
        uses=uses,
        used=0,
    )
    session.add(invite)
    detail = f"for {uses} {'person' if uses == 1 else 'people'}"
    audit.record(session, room, Action.INVITE_MADE, by=by, now=now, subject=_shown(invite.display), detail=detail)
    await session.flush()
    return Issued(invite.id, code, link)


async def redeem(session: AsyncSession, pepper: bytes, text: str, *, user: User, now: int) -> Redeemed:
    """Use up one use of the invite `text`, a code or a link's token; its room is locked until the session ends.

    What it does for an invite that is not good does not depend on why that is so.

    Raises:
        NotFoundError: if it lets nobody in.
    """
    wanted = hash_token(pepper, read_code(text) or text.strip())
    query = select(Invite, Room).join(Room, Room.id == Invite.room_id).with_for_update(of=Room, key_share=True)
    row = (await session.execute(query.where(or_(Invite.code_hash == wanted, Invite.link_hash == wanted)))).first()
    invite_id, room_id = (row.Invite.id, row.Room.id) if row else ("", "")
    belongs = await session.get(Membership, (room_id, user.id))
    if row is not None and belongs is not None:
        return Redeemed(row.Room, _shown(row.Invite.display), belongs.role)
    room_open = select(Room.id).where(or_(Room.expires_at.is_(None), Room.expires_at > now))
    taken = (
        update(Invite)
        .where(Invite.id == invite_id, _is_open(now), Invite.room_id.in_(room_open))
        .values(used=Invite.used + 1)
        .returning(Invite.id)
        .execution_options(synchronize_session=False)
    )
    used = (await session.execute(taken)).one_or_none()
    if row is None or used is None:
        raise NotFoundError(UNKNOWN_INVITE)
    return Redeemed(row.Room, _shown(row.Invite.display), None)


async def listed(session: AsyncSession, room: Room, *, now: int) -> list[ListedInvite]:
    """The invites of `room`, the oldest first."""
    query = select(Invite, User.name).outerjoin(User, User.id == Invite.created_by).where(Invite.room_id == room.id)
    return [
        ListedInvite(
            invite_id=invite.id,
            display=invite.display,
            created_by=creator or "",
            created_at=invite.created_at,
            expires_at=invite.expires_at,
            uses=invite.uses,
            used=invite.used,
            state=_state(invite, now),
        )
        for invite, creator in await session.execute(query.order_by(Invite.created_at, Invite.id))
    ]


async def revoke(session: AsyncSession, room: Room, invite_id: str, *, by: User, now: int) -> None:
    """End an invite of `room`; who has joined with it stays.

    Raises:
        NotFoundError: if `room` has no such invite.
    """
    query = select(Invite).where(Invite.id == invite_id, Invite.room_id == room.id)
    found = (await session.scalars(query)).one_or_none() if is_invite_id(invite_id) else None
    if found is None:
        raise NotFoundError("The room has no such invite. Its invites: sleap-rtc room invite --list")
    if found.revoked_at is None:
        _end(session, room, found, by=by, now=now)


async def revoke_open(session: AsyncSession, room: Room, *, by: User, now: int) -> int:
    """End every invite of `room` that is open, and return how many there were."""
    found = list(await session.scalars(select(Invite).where(Invite.room_id == room.id, _is_open(now))))
    for invite in found:
        _end(session, room, invite, by=by, now=now)
    return len(found)


async def _make_space(session: AsyncSession, room: Room, *, limit: int, now: int) -> None:
    counted = select(func.count()).select_from(Invite).where(Invite.room_id == room.id)
    if (await session.scalar(counted) or 0) < limit:
        return
    await session.execute(
        delete(Invite).where(Invite.room_id == room.id, ~_is_open(now)).execution_options(synchronize_session=False)
    )
    if (await session.scalar(counted) or 0) >= limit:
        raise ConflictError(
            f"The room {shown(room.name)} has {limit} open invites, the most this service allows. Revoke one: "
            "sleap-rtc room invite --revoke"
        )


def _is_open(now: int) -> ColumnElement[bool]:
    return and_(Invite.used < Invite.uses, Invite.revoked_at.is_(None), Invite.expires_at > now)


def _end(session: AsyncSession, room: Room, invite: Invite, *, by: User, now: int) -> None:
    invite.revoked_at = now
    audit.record(session, room, Action.INVITE_REVOKED, by=by, now=now, subject=_shown(invite.display))


def _shown(display: str) -> str:
    return f"{display}…"


def _state(invite: Invite, now: int) -> Literal["open", "used", "expired", "revoked"]:
    if invite.revoked_at is not None:
        return "revoked"
    if invite.used >= invite.uses:
        return "used"
    return "open" if invite.expires_at > now else "expired"
