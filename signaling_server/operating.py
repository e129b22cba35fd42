"""What an operator does to the service's database from the same machine, be the service running or not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.auth import accounts
from signaling_server.auth.accounts import Listed
from signaling_server.db import Database, upgrade
from signaling_server.deps import utc_ms
from signaling_server.keys import load_pepper
from signaling_server.models import User
from signaling_server.settings import Settings
from sleap_rtc.errors import ConfigError

ENROL = "/enrol"


@dataclass(frozen=True)
class Invited:
    """A user with the only copy of the link by which they choose a password."""

    user_id: str
    name: str
    link: str = field(repr=False)
    expires_at: int


async def add_user(settings: Settings, name: str) -> Invited:
    """Make a local account.

    Raises:
        ConfigError: if the service has no accounts of its own.
        SleapRTCError: as `accounts.create`, and if the database cannot be used.
    """
    _check_local(settings)
    now = utc_ms()
    async with _transaction(settings) as session:
        user = await accounts.create(session, name, now=now)
        secret = await accounts.invite(session, load_pepper(settings), user, now=now)
    return _invited(settings, user, secret, now)


async def reset_user(settings: Settings, name: str) -> Invited:
    """End a local account's password and logins, and make a new link for it.

    Raises:
        ConfigError: if the service has no accounts of its own.
        SleapRTCError: as `accounts.named` and `accounts.reset`, and if the database cannot be used.
    """
    _check_local(settings)
    now = utc_ms()
    async with _transaction(settings) as session:
        user = await accounts.named(session, name)
        secret = await accounts.reset(session, load_pepper(settings), user, now=now)
    return _invited(settings, user, secret, now)


async def disable_user(settings: Settings, name: str) -> User:
    """Let a user in no longer; a running service sends them away when it next looks.

    Raises:
        SleapRTCError: as `accounts.named`, and if the database cannot be used.
    """
    async with _transaction(settings) as session:
        user = await accounts.named(session, name)
        await accounts.disable(session, user, now=utc_ms())
    return user


async def enable_user(settings: Settings, name: str) -> User:
    """Let a user in again.

    Raises:
        SleapRTCError: as `accounts.named`, and if the database cannot be used.
    """
    async with _transaction(settings) as session:
        user = await accounts.named(session, name)
        await accounts.enable(session, user)
    return user


async def list_users(settings: Settings) -> list[Listed]:
    """Every user, the oldest first.

    Raises:
        StorageError: if the database cannot be used.
    """
    async with _transaction(settings) as session:
        return await accounts.listed(session, now=utc_ms())


async def first_link(settings: Settings, url: str) -> str | None:
    """The link that makes the first account; None unless nobody has one yet.

    Args:
        settings: the service's.
        url: where it is reached, unless its settings say it.

    Raises:
        SleapRTCError: if the database cannot be used, or the pepper.
    """
    if not settings.local_accounts:
        return None
    database = Database(settings.database_url)
    try:
        async with database.transaction() as session:
            secret = await accounts.invite_first(session, load_pepper(settings), now=utc_ms())
    finally:
        await database.close()
    return None if secret is None else enrolment_link(settings.public_url or url, secret)


def enrolment_link(base: str, secret: str) -> str:
    """The link that brings `secret` to the page; what stands behind the # is sent to no server."""
    return f"{base}{ENROL}#{secret}"


@asynccontextmanager
async def _transaction(settings: Settings) -> AsyncIterator[AsyncSession]:
    await upgrade(settings.database_url)
    database = Database(settings.database_url)
    try:
        async with database.transaction() as session:
            yield session
    finally:
        await database.close()


def _check_local(settings: Settings) -> None:
    if not settings.local_accounts:
        raise ConfigError(
            "This service has no accounts of its own. Set local_accounts = true in sleap-rtc-server.toml, or "
            "SLEAP_RTC_SERVER_LOCAL_ACCOUNTS=true, and start it again."
        )


def _invited(settings: Settings, user: User, secret: str, now: int) -> Invited:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    base = settings.public_url or f"http://{host}:{settings.port}"
    return Invited(user.id, user.name, enrolment_link(base, secret), now + accounts.ENROLMENT_MS)
