"""The service's token endpoint, as its clients speak to it (RFC 8628 §3.4, RFC 6749 §6)."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError, ProtocolError, UnreachableError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.protocol.text import printable
from sleap_rtc.signaling.address import API, ServiceAddress
from sleap_rtc.signaling.http import http_client, read_answer
from sleap_rtc.signaling.records import AccessGrant, DeviceLogin

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SLOWER = 5.0
"""Seconds by which the service wants to be asked less often, each time it says so (RFC 8628 §3.5)."""
MOST = 60.0
"""The longest pause, in seconds, while the service cannot be reached."""
_REFUSED = 400


class Refusal(BaseModel):
    """Why the service hands out nothing.

    Attributes:
        error: the standards' word.
        error_description: the same for people.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    error: str = Field(max_length=64)
    error_description: Annotated[str, AfterValidator(printable)] = Field(max_length=512)


async def refresh(address: ServiceAddress, token: str, timeouts: Timeouts) -> AccessGrant | Refusal:
    """Exchange a refresh token for the next pair of tokens.

    Args:
        address: the service that made it.
        token: the refresh token.
        timeouts: how long to wait.

    Raises:
        UsageError: if the address is not encrypted.
        UnreachableError: if the service cannot be reached.
    """
    return await _ask(address, {"grant_type": "refresh_token", "refresh_token": token}, timeouts)


async def wait_to_be_let_in(
    address: ServiceAddress,
    begun: DeviceLogin,
    timeouts: Timeouts,
    *,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> AccessGrant:
    """Ask until somebody has typed the code in a browser, as often as the service wants to be asked.

    A service that is out of reach for a while is asked again, less and less often.

    Args:
        address: the service.
        begun: what it answered when the login was begun.
        timeouts: how long to wait for an answer.
        pause: waits for so many seconds.
        clock: seconds from some moment on.

    Raises:
        AuthenticationError: if the login was refused, or the code ended before anybody typed it.
    """
    form = {"grant_type": DEVICE_GRANT, "device_code": begun.device_code}
    until = clock() + begun.expires_in
    interval = float(begun.interval)
    patience = interval
    while clock() < until:
        await pause(patience)
        try:
            answer = await _ask(address, form, timeouts)
        except UnreachableError:
            patience = min(2 * patience, max(MOST, interval))
            continue
        if isinstance(answer, AccessGrant):
            return answer
        if answer.error == "slow_down":
            interval += SLOWER
        elif answer.error != "authorization_pending":
            raise AuthenticationError(answer.error_description)
        patience = interval
    raise AuthenticationError("Nobody typed the code in time. Log in again: sleap-rtc login")


async def _ask(address: ServiceAddress, form: dict[str, str], timeouts: Timeouts) -> AccessGrant | Refusal:
    address.check_private()
    async with http_client(address, timeouts) as client:
        response = await client.post(f"{address.url}{API}/auth/token", data=form)
    if response.status_code == _REFUSED:
        try:
            return Refusal.model_validate(parse_json(response.text))
        except (ValidationError, ProtocolError):
            pass  # not from the token endpoint
    return read_answer(response, AccessGrant, address.url)
