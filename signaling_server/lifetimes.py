"""How long rooms and tokens are made for, and the units of time."""

from typing import Annotated, Protocol

from pydantic import Field

from signaling_server.settings import MAX_DAYS
from sleap_rtc.errors import UsageError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
GRACE_MS = 7 * DAY_MS
"""How long after its end a room can be brought back, and who belongs to it is told "expired" and not "unknown"."""
Days = Annotated[int, Field(strict=True, ge=1, le=MAX_DAYS)]


class Lived(Protocol):
    """A request for something that ends: `expires_days` left out is the service's default, null for ever."""

    @property
    def expires_days(self) -> int | None: ...  # noqa: D102 - see the class

    @property
    def model_fields_set(self) -> set[str]: ...  # noqa: D102 - pydantic's


def ends_at(body: Lived, *, now: int, default: int, most: int | None, what: str) -> int | None:
    """When what `body` asks for ends; None never.

    Args:
        body: the request.
        now: the time.
        default: days, if the request does not say.
        most: the most days allowed; None for no bound.
        what: what is made, for the sentence.

    Raises:
        UsageError: if it would live longer than the service allows.
    """
    given = "expires_days" in body.model_fields_set
    # a default beyond the bound is the operator's slip, not the user's
    days = body.expires_days if given else default if most is None else min(default, most)
    if most is not None and (days is None or days > most):
        raise UsageError(f"This service makes a {what} for at most {most} days. Ask for fewer: --expires {most}")
    return None if days is None else now + days * DAY_MS


def ends_soon(expires_at: int | None, *, now: int) -> bool:
    """Whether what ends at `expires_at` does so within a day: the time to tell its owner."""
    return expires_at is not None and now < expires_at <= now + DAY_MS
