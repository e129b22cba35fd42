"""``/login`` and ``/logout``: the ways in that are our own, and the way out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response

from signaling_server.auth import browser_logins, local, logins, users
from signaling_server.auth.browser import Site, browser_name
from signaling_server.auth.routes import DevName
from signaling_server.deps import ClientAddress, Service, ServiceDep, from_this_machine
from signaling_server.errors import status_of
from signaling_server.models import User
from signaling_server.pages.deps import FROM_OWN_PAGE, HOME, BrowserLogin, SiteDep, own_path
from signaling_server.pages.rendering import LOGIN, PageRoute, go_to, page
from sleap_rtc.errors import AuthenticationError, BusyError, ForbiddenError, NotFoundError
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

router = APIRouter(include_in_schema=False, route_class=PageRoute)

ReturnTo = Annotated[str, Form(max_length=512)]
Typed = Annotated[str, Form(max_length=1024)]


@router.get("/")
async def show_home() -> Response:
    """Lead on who typed the service's address alone."""
    return go_to(HOME)


@router.get("/login")
async def show_login(service: ServiceDep, _site: SiteDep, login: BrowserLogin, return_to: str = HOME) -> Response:
    """The ways to log in; for who is logged in, who they are."""
    return _login_page(service, return_to=own_path(return_to), name=None if login is None else login.user.name)


def needs_local(service: ServiceDep) -> None:
    """For pages of accounts of our own.

    Raises:
        NotFoundError: if this service has none.
    """
    if not service.settings.local_accounts:
        raise NotFoundError("This service has no accounts of its own. Log in another way.")


def _needs_dev(service: ServiceDep, request: Request) -> None:
    if not service.settings.dev:
        raise NotFoundError("This service has no login by name alone.")
    if not from_this_machine(request, by_page=True):
        raise ForbiddenError("This service has a login by name alone, which works on its own machine only.")


@router.post("/login/local", dependencies=[FROM_OWN_PAGE, Depends(needs_local)])
async def log_in_local(
    service: ServiceDep,
    site: SiteDep,
    request: Request,
    address: ClientAddress,
    username: Typed = "",
    password: Typed = "",
    return_to: ReturnTo = HOME,
) -> Response:
    """Log in with a name and a password."""
    now = service.clock()
    try:
        checked = await local.check(service, username, password, address)
        async with service.database.transaction() as session:
            user = await local.user_of(session, checked, now=now)
    except (AuthenticationError, BusyError) as error:
        return _login_page(
            service, return_to=own_path(return_to), username=username, message=error.sentence, status=status_of(error)
        )
    return await let_in(service, site, request, address, user, return_to)


@router.post("/login/dev", dependencies=[FROM_OWN_PAGE, Depends(_needs_dev)])
async def log_in_dev(
    service: ServiceDep,
    site: SiteDep,
    request: Request,
    address: ClientAddress,
    name: Annotated[DevName, Form()],
    return_to: ReturnTo = HOME,
) -> Response:
    """Log in by name alone, where the service allows it."""
    async with service.database.transaction() as session:
        user = await users.user_of(session, provider=users.DEV, subject=name, name=name, now=service.clock())
    return await let_in(service, site, request, address, user, return_to)


@router.post("/logout", dependencies=[FROM_OWN_PAGE])
async def log_out(service: ServiceDep, site: SiteDep, login: BrowserLogin) -> Response:
    """End this browser's login."""
    if login is not None:
        async with service.database.transaction() as session:
            await logins.end(session, login.id, "logout", now=service.clock())
        await service.hub.end_all("You logged out in this browser.", CLOSE_REVOKED, token_id=login.id)
    response = go_to(LOGIN)
    site.clear_cookie(response, site.login_cookie)
    return response


async def let_in(service: Service, site: Site, request: Request, address: str, user: User, return_to: str) -> Response:
    """Log `user` in in the asking browser, and send it on to `return_to` if that is a page of ours.

    Raises:
        ForbiddenError: if the operator lets `user` in no longer.
    """
    async with service.database.transaction() as session:
        text = await browser_logins.log_in(
            session,
            service.pepper,
            user=user,
            browser=browser_name(request.headers.get("user-agent", "")),
            address=address,
            now=service.clock(),
            terms=service.browser_terms,
        )
    response = go_to(own_path(return_to))
    site.set_cookie(response, site.login_cookie, text)
    return response


def _login_page(
    service: Service,
    *,
    return_to: str,
    name: str | None = None,
    username: str = "",
    message: str = "",
    status: int = 200,
) -> Response:
    settings = service.settings
    return page(
        "login",
        status=status,
        providers=settings.providers,
        local=settings.local_accounts,
        dev=settings.dev,
        name=name,
        username=username,
        message=message,
        return_to=return_to,
    )
