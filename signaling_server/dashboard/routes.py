"""``/dashboard/``: the page, its files, and what it has to know about where it is."""

from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from signaling_server.dashboard.assets import HEADERS, INDEX, asset
from signaling_server.deps import PublicURL
from signaling_server.pages.deps import HOME, BrowserLogin
from signaling_server.pages.rendering import LogInFirst, PageRoute, go_to

router = APIRouter(include_in_schema=False, route_class=PageRoute)


class PageOut(BaseModel):
    """Where the page is.

    Attributes:
        kind: ``service`` where the service itself serves it, ``loopback`` where ``sleap-rtc dashboard`` does.
        server: the address of the service, for commands that are shown.
        version: of whoever serves the page.
    """

    kind: Literal["service", "loopback"] = "service"
    server: str
    version: str


@router.get("/dashboard")
async def add_slash() -> Response:
    """Lead on to the folder: all addresses in the page begin there."""
    return go_to(HOME)


@router.get("/dashboard/")
async def show_dashboard(request: Request, login: BrowserLogin) -> Response:
    """The page, for whoever is logged in."""
    if login is None:
        raise LogInFirst(HOME)
    return _file(request, INDEX)


@router.get("/dashboard/page.json")
async def describe_page(url: PublicURL) -> Response:
    """Tell the page where it is."""
    about = PageOut(server=url, version=version("sleap-rtc"))
    return Response(about.model_dump_json(), media_type="application/json", headers=dict(HEADERS))


@router.get("/dashboard/static/{path:path}")
async def dashboard_file(request: Request, path: str) -> Response:
    """One file of the page."""
    return _file(request, path)


def _file(request: Request, path: str) -> Response:
    found = asset(path)
    if found is None:
        raise HTTPException(404, "The dashboard has no such file.")
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=304, headers=found.headers)
    return Response(found.content, media_type=found.media_type, headers=found.headers)
