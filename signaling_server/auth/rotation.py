"""Refresh tokens, each exchanged once for the next (RFC 6749 §6, §10.4; RFC 9700 §4.14)."""

from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from signaling_server.auth import logins
from signaling_server.auth.logins import Grant, Terms
from signaling_server.auth.oauth import Refusal
from signaling_server.models import Login, RefreshToken
from signaling_server.security import hash_token
from signaling_server.wording import ago

UNKNOWN = f"This refresh token is unknown. {logins.AGAIN}"


@dataclass(frozen=True)
class Reused(Refusal):
    """A refresh token came again that was exchanged a while ago: its login was ended, whoever holds it.

    Attributes:
        login_id: of the login that was ended.
    """

    login_id: str


async def rotate(session: AsyncSession, pepper: bytes, text: str, *, now: int, terms: Terms) -> Grant | Refusal:
    """Exchange a refresh token for a new pair of tokens of the same login.

    For a moment after its exchange it is good for another pair: its holder may not have heard the answer, or several
    commands of one user may have come at once. After that only a thief, or who was stolen from, has it still.

    Args:
        session: the database session.
        pepper: the key tokens are hashed under.
        text: the refresh token.
        now: the time.
        terms: how long the new tokens live, and the old one yet.
    """
    query = select(RefreshToken).options(joinedload(RefreshToken.login).joinedload(Login.user))
    token = (await session.scalars(query.where(RefreshToken.hash == hash_token(pepper, text)))).one_or_none()
    if token is None:
        return Refusal("invalid_grant", UNKNOWN)
    login = token.login
    reason = logins.why_dead(login, now)
    if reason is not None:
        return Refusal("invalid_grant", reason)
    if token.expires_at <= now:
        return Refusal("invalid_grant", f"This refresh token expired {ago(token.expires_at, now)}. {logins.AGAIN}")
    used_at = await _exchanged_at(session, token.id, now)
    if now - used_at > terms.grace:
        await logins.end(session, login.id, "reuse", now=now)
        return Reused("invalid_grant", f"This login was ended{logins.CAUSES['reuse']}. {logins.AGAIN}", login.id)
    await logins.touch(session, [login.id], now=now, terms=terms)
    return await logins.new_pair(session, pepper, login, login.user, now=now, terms=terms)


async def _exchanged_at(session: AsyncSession, token_id: str, now: int) -> int:
    # one statement decides who was first, on databases where transactions run side by side as well
    await session.execute(
        update(RefreshToken)
        .where(RefreshToken.id == token_id, RefreshToken.used_at.is_(None))
        .values(used_at=now)
        .execution_options(synchronize_session=False)
    )
    used_at = await session.scalar(select(RefreshToken.used_at).where(RefreshToken.id == token_id))
    return now if used_at is None else used_at
