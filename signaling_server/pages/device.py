"""``/device``: where somebody lets a command line in (RFC 8628 §3.3)."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Form
from fastapi.responses import Response

from signaling_server.auth import devices
from signaling_server.deps import ClientAddress, ServiceDep
from signaling_server.errors import status_of
from signaling_server.models import Login
from signaling_server.pages.deps import FROM_OWN_PAGE, PageUser, SiteDep
from signaling_server.pages.rendering import PageRoute, page
from signaling_server.wording import ago
from sleap_rtc.errors import BusyError, NotFoundError

router = APIRouter(include_in_schema=False, route_class=PageRoute)

Code = Annotated[str, Form(max_length=64)]


@router.get("/device")
async def show_device(_site: SiteDep, login: PageUser) -> Response:
    """Ask for the code. No link brings it along: who approves has it before their own eyes (RFC 8628 §5.4)."""
    return _device_page(login)


@router.post("/device", dependencies=[FROM_OWN_PAGE])
async def look_up(service: ServiceDep, login: PageUser, address: ClientAddress, code: Code = "") -> Response:
    """Show which device a code belongs to."""
    now = service.clock()
    try:
        guess = service.limiters.codes.guess(login.user.id, address, now)
        async with guess, service.database.reading() as session:
            found = await devices.find_pending(session, service.pepper, code, now=now)
    except (NotFoundError, BusyError) as error:
        return _device_page(login, error)
    return page(
        "decide",
        device=found.device,
        address=found.address,
        asked=ago(found.created_at, now),
        at=f"{datetime.fromtimestamp(found.created_at / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC",
        code=code,
        name=login.user.name,
    )


@router.post("/device/decision", dependencies=[FROM_OWN_PAGE])
async def decide(
    service: ServiceDep,
    login: PageUser,
    address: ClientAddress,
    decision: Annotated[Literal["approve", "deny"], Form()],
    code: Code = "",
) -> Response:
    """Let the device in, or turn it away."""
    now = service.clock()
    approved = decision == "approve"
    try:
        guess = service.limiters.codes.guess(login.user.id, address, now)
        async with guess, service.database.transaction() as session:
            found = await devices.find_pending(session, service.pepper, code, now=now)
            await devices.decide(session, found, user=login.user, approve=approved, now=now)
    except (NotFoundError, BusyError) as error:
        return _device_page(login, error)
    return page("decided", approved=approved, device=found.device, name=login.user.name)


def _device_page(login: Login, error: NotFoundError | BusyError | None = None) -> Response:
    message, status = ("", 200) if error is None else (error.sentence, status_of(error))
    return page("device", status=status, message=message, name=login.user.name)
