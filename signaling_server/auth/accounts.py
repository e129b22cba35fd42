"""Accounts of the service's own: made, enrolled, disabled. Every function takes the database session first."""

import re
import secrets
from dataclasses import dataclass

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload

from signaling_server.auth import logins, users
from signaling_server.lifetimes import DAY_MS
from signaling_server.models import Enrolment, LocalAccount, Login, User
from signaling_server.security import hash_token
from sleap_rtc.errors import AuthenticationError, ConflictError, NotFoundError, UsageError
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.tokens import RANDOM_BYTES, check_token, make_token

LOCAL = "local"
"""The provider of accounts of our own."""
FIRST = "admin"
"""The account that a service makes by itself at its first start."""
ENROLMENT_MS = DAY_MS
BAD_ENROLMENT = (
    "This link does not work: it was used already, is older than a day, or was not copied whole. Ask the operator of "
    "this service for a new one."
)
"""Said alike for every link that lets nobody in."""
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Listed:
    """A user as the operator sees them.

    Attributes:
        enrolled: whether a local account has a password; None for a user of another provider.
        logins: how many logins of theirs are alive.
    """

    user_id: str
    name: str
    provider: str
    created_at: int
    disabled_at: int | None
    enrolled: bool | None
    logins: int


async def create(session: AsyncSession, name: str, *, now: int) -> User:
    """Make an account, without a password yet.

    Args:
        session: the database session.
        name: what its holder will type and others see; capitals do not matter for the first.
        now: the time.

    Raises:
        UsageError: if that is no name.
        ConflictError: if it is taken.
    """
    username = name.lower()
    if not _NAME.fullmatch(username):
        raise UsageError(
            "A name has 1 to 64 of the letters a to z, digits, '.', '_', '@' and '-', and begins with a letter or a "
            "digit."
        )
    if await session.scalar(select(LocalAccount.user_id).where(LocalAccount.username == username)) is not None:
        raise ConflictError(f"There is an account '{username}'. A new link for it: sleap-rtc server user reset")
    user = await users.user_of(session, provider=LOCAL, subject=username, name=name, now=now)
    try:
        async with session.begin_nested():
            session.add(LocalAccount(user_id=user.id, username=username))
    except IntegrityError as error:
        raise ConflictError(f"There is an account '{username}' since this very moment.") from error
    return user


async def invite(session: AsyncSession, pepper: bytes, user: User, *, now: int) -> str:
    """The secret of a new link by which the holder of a local account chooses a password; older ones end."""
    await session.execute(delete(Enrolment).where(Enrolment.user_id == user.id))
    text = make_token("enrolment", secrets.token_bytes(RANDOM_BYTES))
    session.add(
        Enrolment(
            id="e_" + secrets.token_hex(16),
            user_id=user.id,
            hash=hash_token(pepper, text),
            created_at=now,
            expires_at=now + ENROLMENT_MS,
        )
    )
    await session.flush()
    return text


async def invite_first(session: AsyncSession, pepper: bytes, *, now: int) -> str | None:
    """The secret of a link for the first account of a service; None where somebody has one already."""
    accounts = list(await session.scalars(select(LocalAccount).options(joinedload(LocalAccount.user))))
    if not accounts:
        return await invite(session, pepper, await create(session, FIRST, now=now), now=now)
    if [(account.username, account.password_hash) for account in accounts] == [(FIRST, None)]:
        return await invite(session, pepper, accounts[0].user, now=now)  # it was told once, and nobody used it
    return None


async def find_enrolment(session: AsyncSession, pepper: bytes, text: str, *, now: int) -> User:
    """Whose password may be chosen with the secret `text`.

    Raises:
        AuthenticationError: with one sentence, whatever is wrong with it.
    """
    query = select(Enrolment).options(joinedload(Enrolment.user)).where(Enrolment.hash == _hash(pepper, text))
    found = (await session.scalars(query)).one_or_none()
    if found is None or found.used_at is not None or found.expires_at <= now or found.user.disabled_at is not None:
        raise AuthenticationError(BAD_ENROLMENT)
    return found.user


async def enrol(session: AsyncSession, pepper: bytes, text: str, password_hash: str, *, now: int) -> User:
    """Give an account the password that its holder chose; the link is used up.

    Raises:
        AuthenticationError: as `find_enrolment`, also for the later of two at once.
    """
    user = await find_enrolment(session, pepper, text, now=now)
    # one statement decides who was first
    used = await session.execute(
        update(Enrolment)
        .where(Enrolment.hash == _hash(pepper, text), Enrolment.used_at.is_(None))
        .values(used_at=now)
        .returning(Enrolment.id)
        .execution_options(synchronize_session=False)
    )
    if used.first() is None:
        raise AuthenticationError(BAD_ENROLMENT)
    await set_password(session, user.id, password_hash, now=now)
    return user


async def find(session: AsyncSession, username: str) -> LocalAccount | None:
    """The account that somebody names, with its user."""
    name = username.lower()
    if not _NAME.fullmatch(name):  # PostgreSQL would not even look for some that strangers type
        return None
    query = select(LocalAccount).options(joinedload(LocalAccount.user))
    return (await session.scalars(query.where(LocalAccount.username == name))).one_or_none()


async def set_password(session: AsyncSession, user_id: str, password_hash: str, *, now: int) -> None:
    """Store what a password was hashed to."""
    await session.execute(
        update(LocalAccount)
        .where(LocalAccount.user_id == user_id)
        .values(password_hash=password_hash, changed_at=now)
        .execution_options(synchronize_session=False)
    )


async def reset(session: AsyncSession, pepper: bytes, user: User, *, now: int) -> str:
    """End a local account's password and its logins, and return the secret of a new link.

    Raises:
        UsageError: if another provider vouches for `user`.
    """
    if user.provider != LOCAL:
        raise UsageError(f"'{user.name}' logs in with another provider, where their password is changed.")
    await session.execute(
        update(LocalAccount)
        .where(LocalAccount.user_id == user.id)
        .values(password_hash=None, changed_at=None)
        .execution_options(synchronize_session=False)
    )
    await logins.end_all(session, user, now=now)
    return await invite(session, pepper, user, now=now)


async def disable(session: AsyncSession, user: User, *, now: int) -> None:
    """Let `user` in no longer, and end their logins."""
    user.disabled_at = user.disabled_at or now
    await logins.end_all(session, user, now=now)
    await session.execute(delete(Enrolment).where(Enrolment.user_id == user.id))


async def enable(session: AsyncSession, user: User) -> None:
    """Let `user` in again."""
    user.disabled_at = None
    await session.flush()


async def named(session: AsyncSession, text: str) -> User:
    """The user whom an operator means: by id, by the name of a local account, or by a name that only one has.

    Raises:
        NotFoundError: if nobody is called so.
        ConflictError: if several are.
    """
    if is_id("user", text):
        found = await session.get(User, text)
        if found is not None:
            return found
    account = await find(session, text)
    if account is not None:
        return account.user
    called = list(await session.scalars(select(User).where(User.name == text).order_by(User.created_at)))
    if not called:
        raise NotFoundError(f"No user is called '{text}' here. All of them: sleap-rtc server user list")
    if len(called) > 1:
        ids = ", ".join(user.id for user in called)
        raise ConflictError(f"{len(called)} users are called '{text}'. Name one by its id: {ids}")
    return called[0]


async def listed(session: AsyncSession, *, now: int) -> list[Listed]:
    """Every user, the oldest first."""
    alive = (
        select(func.count())
        .where(Login.user_id == User.id, Login.revoked_at.is_(None), Login.expires_at > now)
        .scalar_subquery()
    )
    query = (
        select(User, LocalAccount, alive)
        .outerjoin(LocalAccount, LocalAccount.user_id == User.id)
        .order_by(User.created_at, User.id)
    )
    return [
        Listed(
            user_id=user.id,
            name=user.name,
            provider=user.provider,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
            enrolled=None if account is None else account.password_hash is not None,
            logins=count,
        )
        for user, account, count in await session.execute(query)
    ]


def _hash(pepper: bytes, text: str) -> bytes:
    try:
        whole = check_token(text) == "enrolment"
    except AuthenticationError:
        whole = False
    if not whole:
        raise AuthenticationError(BAD_ENROLMENT)
    return hash_token(pepper, text)
