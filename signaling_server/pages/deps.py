"""What pages ask for: the site they are reached at, and who is logged in in the browser."""

from typing import Annotated

from fastapi import Depends, Request

from signaling_server.auth.browser import Site, check_origin, is_own_path
from signaling_server.deps import PublicURL, ServiceDep, cookie_login
from signaling_server.models import Login
from signaling_server.pages.rendering import LogInFirst
from sleap_rtc.errors import AuthenticationError

HOME = "/dashboard/"
"""Where somebody goes who came for nothing else."""
DEVICE = "/device"


def _site(url: PublicURL) -> Site:
    return Site.at(url)


SiteDep = Annotated[Site, Depends(_site)]


def _from_own_page(site: SiteDep, request: Request) -> None:
    check_origin(site, request)


FROM_OWN_PAGE = Depends(_from_own_page)
"""For every form: a page of ours made the request."""


async def _browser_login(service: ServiceDep, request: Request) -> Login | None:
    try:
        return await cookie_login(service, request)
    except AuthenticationError:
        return None


BrowserLogin = Annotated[Login | None, Depends(_browser_login)]


def _page_user(login: BrowserLogin) -> Login:
    if login is None:
        raise LogInFirst(DEVICE)
    return login


PageUser = Annotated[Login, Depends(_page_user)]


def own_path(text: str) -> str:
    """The page to go on to: `text`, or `HOME` if that could lead elsewhere."""
    return text if is_own_path(text) else HOME
