"""Checks of the signaling service: is it there, is its clock ours, does it know us?"""

import ssl
import time
from email.utils import parsedate_to_datetime

from sleap_rtc.cli.doctor.check import Finding, Scene, fail, ok, skip, warn
from sleap_rtc.cli.formats import count, format_duration
from sleap_rtc.config.credentials import Credentials
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError, UnreachableError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.address import service_address, tls_context
from sleap_rtc.signaling.api import ServiceAPI

MAX_SKEW = 60.0
"""Seconds by which the clocks may differ; beyond that what is said about expiry is misleading."""


async def check_service(scene: Scene) -> Finding:
    """Does the service answer, and do the clocks agree?"""
    api = ServiceAPI(scene.server, timeouts=scene.timeouts)
    began = time.monotonic()
    health = await api.health()
    took = time.monotonic() - began
    skew = await _clock_difference(scene.server, scene.timeouts)
    details = {"server": scene.server, "version": health.version, "seconds": round(took, 3), "clock_difference": skew}
    answer = f"The service at {scene.server} (version {health.version}) answers in {took * 1000:.0f} ms"
    if not service_address(scene.server).private:
        return fail(f"{answer}, but it is not encrypted, so no token is sent there. Use its https address.", **details)
    if skew is not None and abs(skew) > MAX_SKEW:
        ahead = "ahead of" if skew > 0 else "behind"
        return warn(
            f"{answer}, but this machine's clock is {format_duration(abs(skew))} {ahead} its clock. "
            "Nothing is lost by that, but times shown here are off: set the clock.",
            **details,
        )
    return ok(f"{answer}, and the clocks agree." if skew is not None else f"{answer}.", **details)


async def check_login(scene: Scene) -> Finding:
    """Does the service accept this user's login?"""
    login = Credentials().login(scene.server)
    if login is None:
        return warn(
            f"Not logged in to {scene.server}: session strings work, rooms do not. Run: sleap-rtc login",
            server=scene.server,
        )
    api = ServiceAPI(scene.server, Account(scene.server, timeouts=scene.timeouts), timeouts=scene.timeouts)
    try:
        me = await api.me()
        rooms = await api.rooms()
    except UnreachableError:
        return skip(f"Whether the login as {login.name} is good cannot be said: the service does not answer.")
    except AuthenticationError as error:
        return fail(f"The login as {login.name} is refused: {error.sentence}", user=login.user_id)
    return ok(
        f"Logged in as {me.name}, in {count(len(rooms), 'room')}.",
        user=me.user_id,
        name=me.name,
        rooms=[room.room_id for room in rooms],
    )


async def _clock_difference(server: str, timeouts: Timeouts) -> float | None:
    """Seconds by which our clock is ahead of the service's, to the second; None if it does not tell the time."""
    import httpx2

    address = service_address(server)
    try:
        async with httpx2.AsyncClient(
            timeout=timeouts.request,
            trust_env=not address.local,
            verify=tls_context(address) or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        ) as client:
            response = await client.get(f"{address.url}/health")
        stated = parsedate_to_datetime(response.headers["date"]).timestamp()
    except (httpx2.HTTPError, KeyError, ValueError):
        return None
    difference = _now() - stated
    # the header leaves the fraction of its second out
    return 0.0 if -1 < difference < 2 else round(difference, 1)


def _now() -> float:
    """This machine's clock, in seconds."""
    return time.time()
