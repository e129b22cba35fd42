"""``/enrol``: where the holder of a one-time link chooses a password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from signaling_server.auth import local, passwords
from signaling_server.deps import ClientAddress, ServiceDep
from signaling_server.errors import status_of
from signaling_server.pages.deps import FROM_OWN_PAGE, HOME, SiteDep
from signaling_server.pages.login import let_in, needs_local
from signaling_server.pages.rendering import PageRoute, page
from sleap_rtc.errors import SleapRTCError, UsageError

router = APIRouter(include_in_schema=False, route_class=PageRoute, dependencies=[Depends(needs_local)])

Typed = Annotated[str, Form(max_length=1024)]


@router.get("/enrol")
async def show_enrol(_site: SiteDep) -> Response:
    """The form; the secret stands behind the # of the address, which no server is told."""
    return _enrol_page()


@router.post("/enrol", dependencies=[FROM_OWN_PAGE])
async def enrol(
    service: ServiceDep,
    site: SiteDep,
    request: Request,
    address: ClientAddress,
    code: Typed = "",
    password: Typed = "",
    again: Typed = "",
) -> Response:
    """Choose a password, and log in with it."""
    try:
        if password != again:
            raise UsageError("The two passwords are not the same.")
        user = await local.choose_password(service, code.strip(), password)
    except SleapRTCError as error:
        return _enrol_page(code=code, message=error.sentence, status=status_of(error))
    return await let_in(service, site, request, address, user, HOME)


def _enrol_page(*, code: str = "", message: str = "", status: int = 200) -> Response:
    return page(
        "enrol", status=status, code=code, message=message, shortest=passwords.SHORTEST, longest=passwords.LONGEST
    )
