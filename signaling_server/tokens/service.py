"""Tokens of rooms: made, recognised, used, ended. Every function takes the database session first."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import exists, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from signaling_server.models import Room, Token
from signaling_server.security import UNKNOWN_CREDENTIAL, display, hash_token, token_kind
from signaling_server.wording import ago, shown
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.tokens import RANDOM_BYTES, TokenKind, make_token

# an ended token stays a month, so that its holder is told what ended it and the list tells what was
_NEW_ONE = "Ask the room's owner for a new one: sleap-rtc token create"


@dataclass(frozen=True)
class Credential:
    """What an accepted token says about its holder.

    Attributes:
        ends_at: when it or its room ends, whichever is first; None never.
    """

    token_id: str
    kind: str
    room_id: str
    room_name: str
    room_kind: str
    user: str
    name: str
    ends_at: int | None


@dataclass(frozen=True)
class Issued:
    """A new token, with the only copy of its text."""

    token_id: str
    text: str = field(repr=False)


async def create(
    session: AsyncSession,
    pepper: bytes,
    *,
    room: Room,
    kind: TokenKind,
    name: str,
    now: int,
    expires_at: int | None,
    created_by: str | None = None,
) -> Issued:
    """Make a token of `room`; its text is stored nowhere."""
    text = make_token(kind, secrets.token_bytes(RANDOM_BYTES))
    token = Token(
        id="t_" + secrets.token_hex(16),
        room_id=room.id,
        kind=kind,
        hash=hash_token(pepper, text),
        display=display(text),
        principal_user=new_id("user", secrets.token_bytes(20)),
        name=name,
        created_by=created_by,
        created_at=now,
        expires_at=expires_at,
    )
    session.add(token)
    await session.flush()
    return Issued(token.id, text)


async def authenticate(session: AsyncSession, pepper: bytes, text: str, *, now: int) -> Credential:
    """Tell who holds the token `text`, if it is a room's and alive.

    Raises:
        AuthenticationError: with one sentence for everything unknown, and the reason for a token that exists.
    """
    token_kind(text)
    query = select(Token).options(joinedload(Token.room)).where(Token.hash == hash_token(pepper, text))
    token = (await session.scalars(query)).one_or_none()
    if token is None:
        raise AuthenticationError(UNKNOWN_CREDENTIAL)
    reason = why_dead(token, now)
    if reason is not None:
        raise AuthenticationError(reason)
    return Credential(
        token_id=token.id,
        kind=token.kind,
        room_id=token.room_id,
        room_name=token.room.name,
        room_kind=token.room.kind,
        user=token.principal_user,
        name=token.name,
        ends_at=min((end for end in (token.expires_at, token.room.expires_at) if end is not None), default=None),
    )


def why_dead(token: Token, now: int) -> str | None:
    """The sentence for the holder of a revoked or expired token (its room loaded); None if it is alive."""
    if token.room.kind == "anonymous":
        return _why_guest_dead(token, now)
    if token.revoked_at is not None:
        return f"The token {shown(token.name)} was revoked {ago(token.revoked_at, now)}. {_NEW_ONE}"
    if token.expires_at is not None and token.expires_at <= now and token.replaced_at is not None:
        return (
            f"The token {shown(token.name)} was replaced by a new one {ago(token.replaced_at, now)} and has ended. "
            "Ask the room's owner for the new one."
        )
    if token.expires_at is not None and token.expires_at <= now:
        return f"The token {shown(token.name)} expired {ago(token.expires_at, now)}. {_NEW_ONE}"
    if token.room.expires_at is not None and token.room.expires_at <= now:
        end = ago(token.room.expires_at, now)
        return (
            f"The room {shown(token.room.name)} of this token expired {end}. Ask its owner for a token of another room."
        )
    return None


def _why_guest_dead(token: Token, now: int) -> str | None:
    if token.revoked_at is not None:
        return "This credential was revoked. Restart `sleap-rtc worker` for a new one."
    ends = [end for end in (token.expires_at, token.room.expires_at) if end is not None]
    if not ends or min(ends) > now:
        return None
    if token.kind == "session":
        return "This session string has expired. Ask the worker's owner to restart `sleap-rtc worker` for a new one."
    return "The session string of this worker has expired. Restart `sleap-rtc worker` for a new one."


async def use(session: AsyncSession, credential: Credential, *, now: int, idle_ms: int) -> None:
    """Note that a peer connected with this token: a session token is redeemed, an anonymous room lives on.

    Args:
        session: the database session.
        credential: who connected.
        now: the time.
        idle_ms: how long a redeemed anonymous room outlives its worker's last visit.
    """
    if credential.kind == "session":
        # redeemed: from here on it ends with its room, not two hours after it was printed
        await session.execute(
            update(Token)
            .where(Token.id == credential.token_id, Token.redeemed_at.is_(None))
            .values(redeemed_at=now, expires_at=None)
        )
    await touch(session, [credential.token_id], now=now)
    if credential.room_kind == "anonymous":
        await keep_room(session, [credential.room_id], expires_at=now + idle_ms)


async def touch(session: AsyncSession, token_ids: Collection[str], *, now: int) -> None:
    """Note that these tokens are in use."""
    await session.execute(
        update(Token)
        .where(Token.id.in_(token_ids))
        .values(last_used_at=now)
        .execution_options(synchronize_session=False)
    )


async def keep_room(session: AsyncSession, room_ids: Collection[str], *, expires_at: int) -> None:
    """Let the anonymous rooms among `room_ids` whose string was redeemed live until `expires_at`."""
    redeemed = exists().where(Token.room_id == Room.id, Token.redeemed_at.is_not(None))
    await session.execute(
        update(Room)
        .where(Room.id.in_(room_ids), Room.kind == "anonymous", redeemed)
        .values(expires_at=expires_at)
        .execution_options(synchronize_session=False)
    )


async def dead(session: AsyncSession, token_ids: Collection[str], *, now: int) -> dict[str, str]:
    """Which of these tokens may no longer be used, each with its sentence."""
    query = select(Token).options(joinedload(Token.room)).where(Token.id.in_(token_ids))
    found = {token.id: why_dead(token, now) for token in await session.scalars(query)}
    reasons = {token_id: found.get(token_id, UNKNOWN_CREDENTIAL) for token_id in token_ids}
    return {token_id: reason for token_id, reason in reasons.items() if reason is not None}
