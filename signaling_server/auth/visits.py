"""Browsers on their way to a provider and back. Every function takes the database session first."""

import secrets
from dataclasses import dataclass, field

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import ProviderVisit
from signaling_server.security import hash_token
from sleap_rtc.errors import AuthenticationError

LIFETIME_MS = 600_000
"""How long a browser may stay at the provider."""
STRAY = (
    "This login did not begin in this browser, was used already, or took longer than ten minutes. Begin again from "
    "the login page."
)
"""Said alike for a state that is missing, unknown, used, expired, or of another browser."""


@dataclass(frozen=True)
class Departure:
    """What a browser takes along, and what it must bring back.

    Attributes:
        state: handed back by the provider (RFC 6749 §10.12).
        nonce: repeated in the ID token (OpenID Connect Core §3.1.2.1).
        verifier: shown at the token endpoint (RFC 7636 §4.1).
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def new(cls) -> "Departure":
        """Fresh secrets, 256 bits each."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48))


async def begin(
    session: AsyncSession, pepper: bytes, departure: Departure, *, provider: str, browser: str, return_to: str, now: int
) -> None:
    """Remember a browser that is sent to `provider`.

    Args:
        session: the database session.
        pepper: the key secrets are hashed under.
        departure: what it takes along.
        provider: where it goes.
        browser: its cookie; no other browser may come back for it.
        return_to: the page of ours to show afterwards.
        now: the time.
    """
    session.add(
        ProviderVisit(
            hash=hash_token(pepper, departure.state),
            provider=provider,
            browser_hash=hash_token(pepper, browser),
            nonce=departure.nonce,
            verifier=departure.verifier,
            return_to=return_to,
            created_at=now,
            expires_at=now + LIFETIME_MS,
        )
    )
    await session.flush()


async def end(
    session: AsyncSession, pepper: bytes, *, state: str, provider: str, browser: str, now: int
) -> ProviderVisit | None:
    """Take the visit that `state` belongs to: it is deleted, whoever asks, so that a state is good once.

    Returns:
        the visit; None if it is not this browser's, not of this provider, too old, or not there.
    """
    known = select(ProviderVisit.provider).where(ProviderVisit.hash == hash_token(pepper, state))
    if await session.scalar(known) is None:  # what strangers make up is refused without a lock
        return None
    # one statement takes it: of two requests with one state, one gets it
    taken = await session.scalars(
        delete(ProviderVisit)
        .where(ProviderVisit.hash == hash_token(pepper, state))
        .returning(ProviderVisit)
        .execution_options(synchronize_session=False)
    )
    visit = taken.one_or_none()
    if visit is None or visit.expires_at <= now or visit.provider != provider:
        return None
    if not secrets.compare_digest(visit.browser_hash, hash_token(pepper, browser)):
        return None
    return visit


def stray() -> AuthenticationError:
    """What a browser is told that comes back with no visit of its own."""
    return AuthenticationError(STRAY)
