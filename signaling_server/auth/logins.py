"""Logins and their tokens: made, recognised, renewed, ended. Every function takes the database session first."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, NoReturn, Self

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from signaling_server.lifetimes import DAY_MS, HOUR_MS
from signaling_server.models import AccessToken, DeviceCode, Login, RefreshToken, User
from signaling_server.security import UNKNOWN_CREDENTIAL, hash_token, token_kind
from signaling_server.settings import Settings
from signaling_server.tokens import service as tokens
from signaling_server.wording import ago
from sleap_rtc.errors import AuthenticationError, ForbiddenError, NotFoundError
from sleap_rtc.protocol.ids import is_login_id
from sleap_rtc.protocol.tokens import RANDOM_BYTES, TokenKind, make_token

# an ended login stays a week and a dead access token a day, so that its holder is told what ended it
LOGIN_PREFIX = "a_"
"""What the id of a login begins with."""
LoginKind = Literal["device", "browser", "dev"]
AccessKind = Literal["bearer", "cookie"]
WITH_COOKIE: frozenset[LoginKind] = frozenset({"browser"})
WITH_HEADER: frozenset[LoginKind] = frozenset({"device", "dev"})
"""The kinds of login by how they are shown, and so by whose terms they live."""
Reason = Literal["logout", "revoked", "reuse"]
AGAIN = "Log in again: sleap-rtc login"
LOGGED_OUT = f"You logged out. {AGAIN}"
LOGGED_OUT_ELSEWHERE = f"This login was ended from elsewhere. {AGAIN}"
DISABLED = "The operator of this service lets you in no longer. Ask them about it."

_FORMS: dict[AccessKind, TokenKind] = {"bearer": "access", "cookie": "cookie"}
CAUSES = {
    "logout": "",
    "revoked": " from elsewhere",
    "reuse": ", because a token of it was renewed twice: somebody else may have had a copy",
}


@dataclass(frozen=True)
class Terms:
    """How long what is handed out is good for, in milliseconds.

    Attributes:
        access: an access token.
        login: a login that is not used.
        grace: a refresh token, once it was exchanged.
    """

    access: int
    login: int
    grace: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the operator set."""
        return cls(
            access=int(settings.access_minutes * 60_000),
            login=int(settings.login_days * DAY_MS),
            grace=int(settings.refresh_grace_seconds * 1000),
        )


@dataclass(frozen=True)
class Grant:
    """A login with the only copies of its tokens.

    Attributes:
        expires_at: when the access token ends.
        login_expires_at: when the login ends unless it is used before.
    """

    login: Login
    user: User
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: int
    login_expires_at: int


async def log_in(
    session: AsyncSession,
    pepper: bytes,
    *,
    user: User,
    kind: LoginKind,
    device: str,
    address: str,
    now: int,
    terms: Terms,
) -> Grant:
    """Make a login of `user` for a command line, with its first pair of tokens."""
    login = await new_login(session, user=user, kind=kind, device=device, address=address, now=now, terms=terms)
    return await new_pair(session, pepper, login, user, now=now, terms=terms)


async def new_login(
    session: AsyncSession, *, user: User, kind: LoginKind, device: str, address: str, now: int, terms: Terms
) -> Login:
    """Make a login of `user` that nothing proves yet.

    Args:
        session: the database session.
        user: whose it is.
        kind: what it was made for.
        device: what the device calls itself.
        address: where it came from.
        now: the time.
        terms: how long it lives.
    """
    login = Login(
        id=LOGIN_PREFIX + secrets.token_hex(16),
        user_id=user.id,
        kind=kind,
        device=device[:128],
        address=address[:64],
        created_at=now,
        expires_at=now + terms.login,
    )
    session.add(login)
    await session.flush()
    return login


async def new_access(
    session: AsyncSession, pepper: bytes, login: Login, *, kind: AccessKind, now: int, expires_at: int
) -> str:
    """Make an access token of `login`; its text is stored nowhere."""
    text = make_token(_FORMS[kind], secrets.token_bytes(RANDOM_BYTES))
    token = AccessToken(
        id="at_" + secrets.token_hex(16),
        login_id=login.id,
        kind=kind,
        hash=hash_token(pepper, text),
        created_at=now,
        expires_at=expires_at,
    )
    session.add(token)
    await session.flush()
    return text


async def new_pair(session: AsyncSession, pepper: bytes, login: Login, user: User, *, now: int, terms: Terms) -> Grant:
    """Make an access and a refresh token of `login`."""
    expires_at = now + terms.access
    access = await new_access(session, pepper, login, kind="bearer", now=now, expires_at=expires_at)
    refresh = make_token("refresh", secrets.token_bytes(RANDOM_BYTES))
    token = RefreshToken(
        id="rt_" + secrets.token_hex(16),
        login_id=login.id,
        hash=hash_token(pepper, refresh),
        created_at=now,
        expires_at=now + terms.login,
    )
    session.add(token)
    await session.flush()
    return Grant(login, user, access, refresh, expires_at, now + terms.login)


async def authenticate(
    session: AsyncSession, pepper: bytes, text: str, *, now: int, terms: Terms, kind: AccessKind = "bearer"
) -> Login:
    """Tell who holds the access token `text`, and note that their login is in use.

    Args:
        session: the database session.
        pepper: the key tokens are hashed under.
        text: the token.
        now: the time.
        terms: how long the login lives on from here.
        kind: where the token came from; one for a header is worth nothing in a cookie, nor the other way round.

    Raises:
        AuthenticationError: with one sentence for everything unknown, and the reason for a token that exists.
        ForbiddenError: for a good token that is no person's.
    """
    if token_kind(text) != _FORMS[kind]:
        await _refuse_other(session, pepper, text, now)
    query = select(AccessToken).options(joinedload(AccessToken.login).joinedload(Login.user))
    query = query.where(AccessToken.hash == hash_token(pepper, text), AccessToken.kind == kind)
    token = (await session.scalars(query)).one_or_none()
    if token is None:
        raise AuthenticationError(UNKNOWN_CREDENTIAL)
    reason = why_dead(token.login, now)
    if reason is None and token.expires_at <= now:
        reason = f"This access token expired {ago(token.expires_at, now)}. Renew it, or log in again: sleap-rtc login"
    if reason is not None:
        raise AuthenticationError(reason)
    if token.login.last_used_at is None or now - token.login.last_used_at >= HOUR_MS:
        await touch(session, [token.login_id], now=now, terms=terms)
    return token.login


def why_dead(login: Login, now: int) -> str | None:
    """The sentence for the holder of an ended login (its user loaded); None if it is alive."""
    if login.user.disabled_at is not None:
        return DISABLED
    if login.revoked_at is not None:
        return f"This login was ended {ago(login.revoked_at, now)}{CAUSES.get(login.reason or '', '')}. {AGAIN}"
    if login.expires_at <= now:
        return f"This login expired {ago(login.expires_at, now)}. {AGAIN}"
    return None


async def touch(
    session: AsyncSession,
    login_ids: Collection[str],
    *,
    now: int,
    terms: Terms,
    kinds: Collection[LoginKind] = WITH_HEADER | WITH_COOKIE,
) -> None:
    """Note that those of these logins are in use that are of these kinds: they live on."""
    await session.execute(
        update(Login)
        .where(Login.id.in_(login_ids), Login.kind.in_(kinds))
        .values(last_used_at=now, expires_at=now + terms.login)
        .execution_options(synchronize_session=False)
    )


async def listed(session: AsyncSession, user: User, *, now: int) -> list[Login]:
    """The living logins of `user`, the newest first."""
    query = select(Login).where(Login.user_id == user.id, Login.revoked_at.is_(None), Login.expires_at > now)
    return list(await session.scalars(query.order_by(Login.created_at.desc(), Login.id)))


async def end(session: AsyncSession, login_id: str, reason: Reason, *, now: int) -> None:
    """End a login; one that has ended stays as it is."""
    await _end(session, Login.id == login_id, reason, now)


async def end_own(session: AsyncSession, user: User, login_id: str, *, now: int) -> None:
    """End a login of `user` from another one.

    Raises:
        NotFoundError: if `user` has no such login.
    """
    own = select(Login.id).where(Login.id == login_id, Login.user_id == user.id)
    if not is_login_id(login_id) or await session.scalar(own) is None:
        raise NotFoundError("You have no such login. Your logins: sleap-rtc whoami --devices")
    await _refuse_waiting(session, DeviceCode.user_id == user.id)
    await _end(session, Login.id == login_id, "revoked", now)


async def end_all(session: AsyncSession, user: User, *, now: int) -> None:
    """End every login of `user`, and those that are about to begin."""
    await _refuse_waiting(session, DeviceCode.user_id == user.id)
    await _end(session, Login.user_id == user.id, "logout", now)


async def revoke_provider(session: AsyncSession, provider: str, *, now: int) -> None:
    """End every login that `provider` vouched for, and those that are about to begin."""
    users = select(User.id).where(User.provider == provider)
    await _refuse_waiting(session, DeviceCode.user_id.in_(users))
    await _end(session, Login.user_id.in_(users), "revoked", now)


async def ends(session: AsyncSession) -> tuple[int | None, ...]:
    """What changes whenever a login is ended before its time, or a user is locked out: by whichever process."""
    users = await session.execute(select(func.count(User.disabled_at), func.max(User.disabled_at)))
    ended = await session.execute(select(func.count(Login.revoked_at), func.max(Login.revoked_at)))
    return (*users.one(), *ended.one())


async def dead(session: AsyncSession, login_ids: Collection[str], *, now: int) -> dict[str, str]:
    """Which of these logins have ended, each with its sentence."""
    query = select(Login).options(joinedload(Login.user)).where(Login.id.in_(login_ids))
    found = {login.id: why_dead(login, now) for login in await session.scalars(query)}
    reasons = {login_id: found.get(login_id, UNKNOWN_CREDENTIAL) for login_id in login_ids}
    return {login_id: reason for login_id, reason in reasons.items() if reason is not None}


async def forget_used(session: AsyncSession, *, now: int) -> None:
    """Delete exchanged refresh tokens with which a thief could come no more."""
    await session.execute(delete(RefreshToken).where(RefreshToken.used_at.is_not(None), RefreshToken.expires_at < now))


async def _refuse_waiting(session: AsyncSession, which: ColumnElement[bool]) -> None:
    # whoever had the login that ends may have let a command line in with it, which has not asked again yet. First of
    # all: this waits for one that asks at this very moment, and its login is then there to be ended with the others
    await session.execute(
        update(DeviceCode)
        .where(which, DeviceCode.state == "approved")
        .values(state="denied")
        .execution_options(synchronize_session=False)
    )


async def _end(session: AsyncSession, which: ColumnElement[bool], reason: Reason, now: int) -> None:
    await session.execute(
        update(Login)
        .where(which, Login.revoked_at.is_(None))
        .values(revoked_at=now, reason=reason)
        .execution_options(synchronize_session=False)
    )


async def _refuse_other(session: AsyncSession, pepper: bytes, text: str, now: int) -> NoReturn:
    # only the holder of a token that exists learns that it is of the wrong kind
    await tokens.authenticate(session, pepper, text, now=now)
    raise ForbiddenError("This is a worker's or a guest's credential, which does not allow this. " + AGAIN)
