"""Logins of browsers, each with a cookie. Functions take the database session first."""

from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.auth import logins, users
from signaling_server.auth.logins import DISABLED, Terms
from signaling_server.auth.providers import Identity
from signaling_server.lifetimes import DAY_MS
from signaling_server.models import Login, User
from signaling_server.settings import Settings
from sleap_rtc.errors import ForbiddenError

# the login ends when it is not used, and its one cookie with it
_COOKIE_MS = 100 * 365 * DAY_MS


def terms_of(settings: Settings) -> Terms:
    """How long a browser's login lives from its last use."""
    return Terms(access=_COOKIE_MS, login=int(settings.browser_days * DAY_MS), grace=0)


async def log_in(
    session: AsyncSession, pepper: bytes, *, user: User, browser: str, address: str, now: int, terms: Terms
) -> str:
    """Make a login of `user` in a browser.

    Args:
        session: the database session.
        pepper: the key tokens are hashed under.
        user: who it is.
        browser: what the browser is, for the list of logins.
        address: where it is.
        now: the time.
        terms: how long the login lives.

    Returns:
        what goes into the cookie; stored nowhere.

    Raises:
        ForbiddenError: if the operator lets `user` in no longer.
    """
    if user.disabled_at is not None:
        raise ForbiddenError(DISABLED)
    login = await logins.new_login(
        session, user=user, kind="browser", device=browser, address=address, now=now, terms=terms
    )
    return await logins.new_access(session, pepper, login, kind="cookie", now=now, expires_at=now + terms.access)


async def authenticate(session: AsyncSession, pepper: bytes, text: str, *, now: int, terms: Terms) -> Login:
    """Tell whose cookie `text` is.

    Raises:
        AuthenticationError: if it is nobody's, or its login ended.
        ForbiddenError: if it is another credential.
    """
    return await logins.authenticate(session, pepper, text, now=now, terms=terms, kind="cookie")


async def user_of(session: AsyncSession, identity: Identity, *, now: int) -> User:
    """The user whom a provider vouches for, by the name they have there today."""
    user = await users.user_of(
        session, provider=identity.provider, subject=identity.subject, name=identity.name, now=now
    )
    user.name = identity.name
    return user
