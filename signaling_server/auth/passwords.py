"""Passwords of local accounts: hashed and checked by argon2id (RFC 9106), each in a thread of its own."""

import asyncio
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sleap_rtc.errors import UsageError

SHORTEST = 12
LONGEST = 256
"""Characters of a password; the longest so that nobody makes us hash megabytes."""
# each takes 64 MiB and a core for a moment
_AT_ONCE = 4
_HASHER = PasswordHasher()


class Passwords:
    """Hashes and checks passwords, a few at once."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def make_hash(self, password: str) -> str:
        """What the database stores for `password`."""
        async with self._turn:
            return await asyncio.to_thread(_HASHER.hash, password)

    async def matches(self, password: str, known: str | None) -> bool:
        """Whether `password` is the one that `known` was made of; without one the same work is done in vain."""
        async with self._turn:
            return await asyncio.to_thread(_matches, password, known)


def is_outdated(known: str) -> bool:
    """Whether a stored hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(known)


def check_form(password: str) -> None:
    """Refuse a password that is too short or too long; what it is made of is its owner's business.

    Raises:
        UsageError: with the sentence for who typed it.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise UsageError(f"A password has {SHORTEST} to {LONGEST} characters. A few words in a row make a good one.")


def _matches(password: str, known: str | None) -> bool:
    # a stranger must not learn from the time of an answer which accounts there are
    if len(password) > LONGEST:
        password, known = "", None
    try:
        _HASHER.verify(_dummy() if known is None else known, password)
    except (VerificationError, InvalidHashError):
        return False
    return known is not None


@cache
def _dummy() -> str:
    return _HASHER.hash("nobody's password")
