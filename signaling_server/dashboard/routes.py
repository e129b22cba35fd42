"""``/dashboard/``: the page, its files, and what it has to know about where it is."""

from importlib.metadata import version

from fastapi import APIRouter, Request
from fastapi.responses import Response

from signaling_server.dashboard.assets import INDEX
from signaling_server.dashboard.serving import PageOut, file_answer, page_answer
from signaling_server.deps import PublicURL
from signaling_server.pages.deps import HOME, BrowserLogin
from signaling_server.pages.rendering import LogInFirst, PageRoute, go_to

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/dashboard")
async def add_slash() -> Response:
    """Lead on to the folder: all addresses in the page begin there."""
    return go_to(HOME)


@router.get("/dashboard/")
async def show_dashboard(request: Request, login: BrowserLogin) -> Response:
    """The page, for whoever is logged in."""
    if login is None:
        raise LogInFirst(HOME)
    return file_answer(request, INDEX)


@router.get("/dashboard/page.json")
async def describe_page(url: PublicURL) -> Response:
    """Tell the page where it is."""
    return page_answer(PageOut(kind="service", server=url, version=version("sleap-rtc")))


@router.get("/dashboard/static/{path:path}")
async def dashboard_file(request: Request, path: str) -> Response:
    """One file of the page."""
    return file_answer(request, path)
