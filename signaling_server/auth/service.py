"""Users and their logins: made, recognised, ended. Every function takes the database session first."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from typing import NoReturn

from sqlalchemy import delete, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from signaling_server.models import AccessToken, Login, User
from signaling_server.security import UNKNOWN_CREDENTIAL, hash_token, token_kind
from signaling_server.tokens import service as tokens
from signaling_server.wording import ago
from sleap_rtc.errors import AuthenticationError, ForbiddenError
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.tokens import RANDOM_BYTES, make_token

HOUR_MS = 3_600_000
# an ended login stays a week, so that its holder is told what ended it
KEPT_MS = 7 * 24 * HOUR_MS
LOGIN_PREFIX = "a_"
"""What the id of a login begins with."""
DEV = "dev"
"""The provider of logins by name alone."""
_AGAIN = "Log in again: sleap-rtc login"


@dataclass(frozen=True)
class Grant:
    """A new login, with the only copy of its token."""

    token: str
    expires_at: int


async def user_of(session: AsyncSession, *, provider: str, subject: str, name: str, now: int) -> User:
    """The user whom `provider` calls `subject`; made if nobody was called so before."""
    query = select(User).where(User.provider == provider, User.subject == subject)
    found = (await session.scalars(query)).one_or_none()
    if found is not None:
        return found
    user = User(
        id=new_id("user", secrets.token_bytes(20)), provider=provider, subject=subject, name=name, created_at=now
    )
    try:
        async with session.begin_nested():
            session.add(user)
    except IntegrityError:  # the same person in the same instant, at a database with room for both
        return (await session.scalars(query)).one()
    return user


async def log_in(
    session: AsyncSession, pepper: bytes, *, user: User, address: str, now: int, lifetime_ms: int
) -> Grant:
    """Make a login of `user`, with its access token."""
    text = make_token("access", secrets.token_bytes(RANDOM_BYTES))
    expires_at = now + lifetime_ms
    login = Login(
        id=LOGIN_PREFIX + secrets.token_hex(16),
        user_id=user.id,
        kind="dev",
        device="",
        address=address[:64],
        created_at=now,
        expires_at=expires_at,
    )
    session.add(login)
    token = AccessToken(
        id="at_" + secrets.token_hex(16),
        login_id=login.id,
        kind="bearer",
        hash=hash_token(pepper, text),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(token)
    await session.flush()
    return Grant(text, expires_at)


async def authenticate(session: AsyncSession, pepper: bytes, text: str, *, now: int) -> Login:
    """Tell who holds the access token `text`.

    Raises:
        AuthenticationError: with one sentence for everything unknown, and the reason for a token that exists.
        ForbiddenError: for a good token that is no person's.
    """
    if token_kind(text) != "access":
        await _refuse_other(session, pepper, text, now)
    query = select(AccessToken).options(joinedload(AccessToken.login).joinedload(Login.user))
    query = query.where(AccessToken.hash == hash_token(pepper, text), AccessToken.kind == "bearer")
    token = (await session.scalars(query)).one_or_none()
    if token is None:
        raise AuthenticationError(UNKNOWN_CREDENTIAL)
    login = token.login
    reason = why_dead(login, now)
    if reason is not None:
        raise AuthenticationError(reason)
    if login.last_used_at is None or now - login.last_used_at >= HOUR_MS:
        login.last_used_at = now
    return login


def why_dead(login: Login, now: int) -> str | None:
    """The sentence for the holder of an ended login; None if it is alive."""
    if login.revoked_at is not None:
        return f"This login was ended {ago(login.revoked_at, now)}. {_AGAIN}"
    if login.expires_at <= now:
        return f"This login expired {ago(login.expires_at, now)}. {_AGAIN}"
    return None


async def log_out(session: AsyncSession, login_id: str, *, now: int) -> None:
    """End a login."""
    await session.execute(
        update(Login).where(Login.id == login_id, Login.revoked_at.is_(None)).values(revoked_at=now, reason="logout")
    )


async def revoke_provider(session: AsyncSession, provider: str, *, now: int) -> None:
    """End every login that `provider` vouched for."""
    theirs = select(User.id).where(User.provider == provider)
    await session.execute(
        update(Login)
        .where(Login.user_id.in_(theirs), Login.revoked_at.is_(None))
        .values(revoked_at=now, reason="revoked")
        .execution_options(synchronize_session=False)
    )


async def dead(session: AsyncSession, login_ids: Collection[str], *, now: int) -> dict[str, str]:
    """Which of these logins have ended, each with its sentence."""
    query = select(Login).where(Login.id.in_(login_ids))
    found = {login.id: why_dead(login, now) for login in await session.scalars(query)}
    reasons = {login_id: found.get(login_id, UNKNOWN_CREDENTIAL) for login_id in login_ids}
    return {login_id: reason for login_id, reason in reasons.items() if reason is not None}


async def forget_ended(session: AsyncSession, *, now: int) -> None:
    """Delete logins that ended more than a week ago, with their tokens."""
    before = now - KEPT_MS
    await session.execute(delete(Login).where(or_(Login.expires_at < before, Login.revoked_at < before)))


async def _refuse_other(session: AsyncSession, pepper: bytes, text: str, now: int) -> NoReturn:
    # only the holder of a token that exists learns that it is of the wrong kind
    await tokens.authenticate(session, pepper, text, now=now)
    raise ForbiddenError("This is a worker's or a guest's credential, which does not allow this. " + _AGAIN)
