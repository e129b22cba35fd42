"""The device flow (RFC 8628): a command line waits until somebody in a browser lets it in.

Every function takes the database session first.
"""

import re
import secrets
from dataclasses import dataclass, field

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.auth import logins
from signaling_server.auth.logins import Grant, Terms
from signaling_server.auth.oauth import Refusal
from signaling_server.models import DeviceCode, User
from signaling_server.security import hash_token
from sleap_rtc.errors import BusyError, NotFoundError
from sleap_rtc.protocol.tokens import DEVICE_CODE_PREFIX

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""Letters of a user code: no vowels, so that it spells nothing, and none that is taken for another (RFC 8628 §6.1)."""
CODE_LENGTH = 8
SLOWER = 5
"""Seconds that are added to the interval of who polls too fast (RFC 8628 §3.5)."""
# a code that has ended is remembered for a while, so that its command line is told so
WRONG_CODE = "This code is wrong, has expired or was used already. Type it as your terminal shows it."
"""Said alike for every code that lets nobody in."""

_FORM = re.compile(rf"[{ALPHABET}]{{{CODE_LENGTH}}}")
_BETWEEN = re.compile(r"[\s-]")
_ATTEMPTS = 3
_READ_AGAIN = {"populate_existing": True}


@dataclass(frozen=True)
class DeviceGrant:
    """The only copies of the two codes of a command line that waits.

    Attributes:
        device_code: what it polls with.
        user_code: what its user types in a browser, as ``XXXX-XXXX``.
    """

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)


async def begin(
    session: AsyncSession, pepper: bytes, *, device: str, address: str, now: int, lifetime_ms: int, interval: int
) -> DeviceGrant:
    """Let a command line wait.

    Args:
        session: the database session.
        pepper: the key codes are hashed under.
        device: what the machine calls itself; shown to who is asked to let it in.
        address: where it asks from; shown as well.
        now: the time.
        lifetime_ms: how long it may wait.
        interval: the seconds it must leave between two polls.

    Raises:
        BusyError: if no free user code was found, which needs billions of them in use.
    """
    for _ in range(_ATTEMPTS):
        device_code = DEVICE_CODE_PREFIX + secrets.token_hex(32)
        letters = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        code = DeviceCode(
            id="dc_" + secrets.token_hex(16),
            device_hash=hash_token(pepper, device_code),
            user_code_hash=_hash_user_code(pepper, letters),
            device=device[:128],
            address=address[:64],
            created_at=now,
            expires_at=now + lifetime_ms,
            interval=interval,
            state="pending",
        )
        try:
            async with session.begin_nested():
                session.add(code)
        except IntegrityError:  # another one waits with the same letters
            continue
        return DeviceGrant(device_code, f"{letters[:4]}-{letters[4:]}")
    raise BusyError("No free code was found. Try again.")


async def find_pending(session: AsyncSession, pepper: bytes, user_code: str, *, now: int) -> DeviceCode:
    """The command line whose code somebody typed; capitals, dashes and spaces do not matter.

    Whoever calls this for a person counts wrong codes: see `limits.GuessLimiter`.

    Raises:
        NotFoundError: for a code that is wrong, expired or used; the three look alike.
    """
    letters = _BETWEEN.sub("", user_code).upper()
    if not _FORM.fullmatch(letters):
        raise NotFoundError(WRONG_CODE)
    query = select(DeviceCode).where(
        DeviceCode.user_code_hash == _hash_user_code(pepper, letters),
        DeviceCode.state == "pending",
        DeviceCode.expires_at > now,
    )
    found = (await session.scalars(query)).one_or_none()
    if found is None:
        raise NotFoundError(WRONG_CODE)
    return found


async def decide(session: AsyncSession, code: DeviceCode, *, user: User, approve: bool, now: int) -> None:
    """Let a command line in as `user`, or turn it away; the first decision stands.

    Raises:
        NotFoundError: if the code has ended or was decided about meanwhile.
    """
    state = "approved" if approve else "denied"
    decided = await session.execute(
        update(DeviceCode)
        .where(DeviceCode.id == code.id, DeviceCode.state == "pending", DeviceCode.expires_at > now)
        .values(state=state, user_id=user.id)
        .returning(DeviceCode.id)
        .execution_options(synchronize_session=False)
    )
    if decided.first() is None:
        raise NotFoundError(WRONG_CODE)


async def poll(session: AsyncSession, pepper: bytes, device_code: str, *, now: int, terms: Terms) -> Grant | Refusal:
    """Answer a command line that asks whether it may come in (RFC 8628 §3.4, §3.5).

    Args:
        session: the database session.
        pepper: the key codes are hashed under.
        device_code: what it asks with.
        now: the time.
        terms: how long its login and tokens live.
    """
    wanted = select(DeviceCode).where(DeviceCode.device_hash == hash_token(pepper, device_code))
    code = (await session.scalars(wanted)).one_or_none()
    if code is not None and code.state in ("pending", "approved"):
        # locked, where the database can: two polls at once must not both believe to be the first
        code = (await session.scalars(wanted.with_for_update(), execution_options=_READ_AGAIN)).one_or_none()
    if code is None or code.state == "used":
        return Refusal("invalid_grant", "This device code is unknown or was used. Log in again: sleap-rtc login")
    if code.state == "denied":
        return Refusal("access_denied", "The login was refused in the browser.")
    if code.expires_at <= now:
        return Refusal("expired_token", "Nobody let this machine in in time. Log in again: sleap-rtc login")
    if code.state == "pending":
        return _still_waiting(code, now)
    code.state = "used"
    user = await session.get_one(User, code.user_id)
    if user.disabled_at is not None:
        return Refusal("access_denied", logins.DISABLED)
    return await logins.log_in(
        session, pepper, user=user, kind="device", device=code.device, address=code.address, now=now, terms=terms
    )


def _still_waiting(code: DeviceCode, now: int) -> Refusal:
    too_fast = code.polled_at is not None and now - code.polled_at < code.interval * 1000
    code.polled_at = now
    if too_fast:
        code.interval += SLOWER
        return Refusal("slow_down", f"That was too soon. Leave {code.interval} seconds between two questions.")
    return Refusal("authorization_pending", "Nobody has let this machine in yet.")


def _hash_user_code(pepper: bytes, letters: str) -> bytes:
    return hash_token(pepper, f"user code {letters}")
