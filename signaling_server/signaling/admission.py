"""From a credential to a place in a room, and when that place is lost. Functions take the database session first."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from signaling_server.auth import logins
from signaling_server.auth.logins import AccessKind, Terms
from signaling_server.models import Login, Membership, Token
from signaling_server.rooms import service as rooms
from signaling_server.security import UNKNOWN_CREDENTIAL, token_kind
from signaling_server.signaling.members import Holder
from signaling_server.signaling.tickets import Ticket
from signaling_server.tokens import service as tokens
from sleap_rtc.errors import AuthenticationError, ForbiddenError, UsageError
from sleap_rtc.protocol.signaling import Role
from sleap_rtc.protocol.text import printable

_LEFT = "You no longer belong to this room, or it was deleted. Your rooms: sleap-rtc room list"
_ROLES: dict[str, Role] = {"worker": "worker", "session": "client"}


@dataclass(frozen=True)
class Admission:
    """Who may connect, and as what.

    Attributes:
        ends_at: when a worker's token or its room ends; None never, or for others.
        guest: whether nobody vouches for them: the room is one that anybody may open.
    """

    token_id: str
    user: str
    name: str
    role: Role
    room_id: str
    room_name: str
    owner: bool = False
    ends_at: int | None = None
    guest: bool = False


async def admit(
    session: AsyncSession, pepper: bytes, text: str, *, room_id: str | None, now: int, idle_ms: int, terms: Terms
) -> Admission:
    """Tell what the credential `text` allows, and note its use.

    Args:
        session: the database session.
        pepper: the key tokens are hashed under.
        text: the credential.
        room_id: the room the peer names: a user's login needs one, a room's token is only checked against it.
        now: the time.
        idle_ms: how long an anonymous room outlives its worker's last visit.
        terms: how long a login of this kind lives.

    Raises:
        AuthenticationError: if the credential is unknown, or ended.
        SleapRTCError: if it is good, but not for that room.
    """
    kind = token_kind(text)
    if kind in ("access", "cookie"):
        shown: AccessKind = "cookie" if kind == "cookie" else "bearer"
        login = await logins.authenticate(session, pepper, text, now=now, terms=terms, kind=shown)
        return await _admit_login(session, login, room_id=room_id, now=now)
    credential = await tokens.authenticate(session, pepper, text, now=now)
    if room_id is not None and room_id != credential.room_id:
        named = " ".join(printable(room_id, limit=40).split())
        raise ForbiddenError(
            f"This credential is for the room '{credential.room_name}' ({credential.room_id}), not for '{named}'. "
            "Name that room or none, or use a credential of the other one."
        )
    await tokens.use(session, credential, now=now, idle_ms=idle_ms)
    return Admission(
        token_id=credential.token_id,
        user=credential.user,
        name=credential.name,
        role=_ROLES[credential.kind],
        room_id=credential.room_id,
        room_name=credential.room_name,
        # an anonymous room's end moves with every visit
        ends_at=credential.ends_at if credential.room_kind == "room" else None,
        guest=credential.room_kind != "room",
    )


async def admit_ticket(session: AsyncSession, ticket: Ticket | None, *, room_id: str | None, now: int) -> Admission:
    """Tell what a ticket allows that was just taken.

    Raises:
        AuthenticationError: if there is none, it is for another room than the one named, or its login has ended.
        SleapRTCError: if its user may not enter the room any more.
    """
    if ticket is None or room_id not in (None, ticket.room_id):
        raise AuthenticationError(UNKNOWN_CREDENTIAL)
    for reason in (await logins.dead(session, {ticket.login_id}, now=now)).values():
        raise AuthenticationError(reason)
    login = await session.get_one(Login, ticket.login_id, options=[joinedload(Login.user)])
    return await _admit_login(session, login, room_id=ticket.room_id, now=now)


async def _admit_login(session: AsyncSession, login: Login, *, room_id: str | None, now: int) -> Admission:
    if room_id is None:
        raise UsageError("A login can enter many rooms: name the one to enter, as ?room= and its id.")
    seat = await rooms.open_seat(session, login.user, room_id, now=now)
    return Admission(
        token_id=login.id,
        user=login.user.id,
        name=login.user.name,
        role="client",
        room_id=seat.room.id,
        room_name=seat.room.name,
        owner=seat.role == "owner",
    )


async def ended(session: AsyncSession, holders: Collection[Holder], *, now: int) -> dict[Holder, str]:
    """Which of these may no longer be connected, each with the sentence for it."""
    logged_in = [holder for holder in holders if holder.token_id.startswith(logins.LOGIN_PREFIX)]
    others = {holder.token_id for holder in holders if not holder.token_id.startswith(logins.LOGIN_PREFIX)}
    reasons = await tokens.dead(session, others, now=now)
    reasons |= await logins.dead(session, {holder.token_id for holder in logged_in}, now=now)
    found = {holder: reasons[holder.token_id] for holder in holders if holder.token_id in reasons}
    # the last has the say: who does not belong to the room is nobody there, whose login concerns no worker
    return found | await _outside(session, logged_in, now=now) | await _misnamed(session, holders)


async def _misnamed(session: AsyncSession, holders: Collection[Holder]) -> dict[Holder, str]:
    # a worker may ask about anybody: a credential says nothing of another user, nor of another room
    ids = {holder.token_id for holder in holders}
    theirs = await session.execute(select(Login.id, Login.user_id).where(Login.id.in_(ids)))
    others = await session.execute(select(Token.id, Token.room_id, Token.principal_user).where(Token.id.in_(ids)))
    of_users = {(id_, user) for id_, user in theirs}
    of_rooms = {Holder(*row) for row in others}
    return {
        holder: _LEFT for holder in holders if holder not in of_rooms and (holder.token_id, holder.user) not in of_users
    }


async def _outside(session: AsyncSession, holders: Collection[Holder], *, now: int) -> dict[Holder, str]:
    pairs = {(holder.room, holder.user) for holder in holders}
    query = select(Membership).options(joinedload(Membership.room))
    query = query.where(tuple_(Membership.room_id, Membership.user_id).in_(pairs))
    closed = {(seat.room_id, seat.user_id): rooms.why_closed(seat.room, now) for seat in await session.scalars(query)}
    reasons = {holder: closed.get((holder.room, holder.user), _LEFT) for holder in holders}
    return {holder: reason for holder, reason in reasons.items() if reason is not None}
