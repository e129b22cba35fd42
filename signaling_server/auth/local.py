"""Logging in with a name and a password of this service, and choosing that password."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.auth import accounts, passwords
from signaling_server.deps import Service
from signaling_server.models import User
from sleap_rtc.errors import AuthenticationError

WRONG = "The name or the password is wrong."
"""Said alike for an account that is not there, one without a password yet, and a wrong password."""


@dataclass(frozen=True)
class Checked:
    """A password that was right a moment ago.

    Attributes:
        username: whose it is.
        known: the hash that it matched.
        fresh: a hash by today's parameters, if that one was made by others.
    """

    username: str
    known: str = field(repr=False)
    fresh: str | None = field(repr=False)


async def check(service: Service, username: str, password: str, address: str) -> Checked:
    """Check a password. It takes a while, so no database session may be open.

    Args:
        service: the service.
        username: the account's name as typed.
        password: the password as typed.
        address: where it was typed; wrong ones are counted by account and address.

    Raises:
        AuthenticationError: if it is wrong; in the same words and time, whether or not there is such an account.
        BusyError: after too many wrong ones.
    """
    async with service.limiters.passwords.guess(username.lower()[:64], address, service.clock()):
        async with service.database.reading() as session:
            account = await accounts.find(session, username)
        known = None if account is None else account.password_hash
        if not await service.passwords.matches(password, known):
            raise AuthenticationError(WRONG)
    assert account is not None and known is not None  # noqa: S101, PT018 - nothing matches without them
    fresh = await service.passwords.make_hash(password) if passwords.is_outdated(known) else None
    return Checked(account.username, known, fresh)


async def user_of(session: AsyncSession, checked: Checked, *, now: int) -> User:
    """Whose password was checked.

    Raises:
        AuthenticationError: if it was changed or reset since.
    """
    account = await accounts.find(session, checked.username)
    if account is None or account.password_hash != checked.known:
        raise AuthenticationError(WRONG)
    if checked.fresh is not None:
        await accounts.set_password(session, account.user_id, checked.fresh, now=now)
    return account.user


async def choose_password(service: Service, code: str, password: str) -> User:
    """Give an account the password that the holder of an enrolment link chose.

    Args:
        service: the service.
        code: the secret of the link.
        password: what was typed.

    Raises:
        UsageError: if the password is too short or too long; the link stays good.
        AuthenticationError: if the link is not.
    """
    async with service.database.reading() as session:
        await accounts.find_enrolment(session, service.pepper, code, now=service.clock())
    passwords.check_form(password)
    password_hash = await service.passwords.make_hash(password)
    async with service.database.transaction() as session:
        return await accounts.enrol(session, service.pepper, code, password_hash, now=service.clock())
