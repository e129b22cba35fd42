"""The page's server on this machine as an application: the page, the way to the service, and what is asked here."""

from fastapi import APIRouter, FastAPI, Request, WebSocket
from fastapi.responses import Response
from starlette.types import ASGIApp

from signaling_server import errors
from signaling_server.dashboard.assets import INDEX
from signaling_server.dashboard.serving import PageOut, file_answer, page_answer
from signaling_server.http import BodyGuard, StrictRoute
from signaling_server.limit_settings import Limits
from sleap_rtc import __version__
from sleap_rtc.cli.dashboard.guard import Address, Guard
from sleap_rtc.cli.dashboard.local import router as local_router
from sleap_rtc.cli.dashboard.requests import METHODS, Upstream, pass_on
from sleap_rtc.cli.dashboard.sockets import pass_messages
from sleap_rtc.cli.keeping_bugs import keep_bug
from sleap_rtc.config.settings import Settings
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.signaling.address import API

router = APIRouter(route_class=StrictRoute)


def create_app(settings: Settings, address: Address, upstream: Upstream, timeouts: Timeouts) -> ASGIApp:
    """The application.

    Args:
        settings: what is set on this machine.
        address: where the server listens, and the secret part of its address.
        upstream: the service.
        timeouts: waiting times.
    """
    # nothing is sent on to a path with a slash: an address in the answer would lack what the guard takes off
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.settings = settings
    app.state.upstream = upstream
    app.state.timeouts = timeouts
    app.include_router(router)
    app.include_router(local_router)
    errors.install(app)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(BodyGuard, limits=Limits())
    return Guard(app, address)


@router.get("/dashboard/")
async def show_dashboard(request: Request) -> Response:
    """The page."""
    return file_answer(request, INDEX)


@router.get("/dashboard/page.json")
async def describe_page(request: Request) -> Response:
    """Tell the page where it is."""
    settings: Settings = request.app.state.settings
    relay_only = settings.ice_policy == "relay"
    return page_answer(PageOut(kind="loopback", server=settings.server, version=__version__, relay_only=relay_only))


@router.get("/dashboard/static/{path:path}")
async def dashboard_file(request: Request, path: str) -> Response:
    """One file of the page."""
    return file_answer(request, path)


@router.api_route(API + "/{path:path}", methods=list(METHODS))
async def ask_service(request: Request, path: str) -> Response:
    """Pass a request on to the service."""
    return await pass_on(request, path, request.app.state.upstream)


@router.websocket(API + "/ws")
async def meet_peers(websocket: WebSocket) -> None:
    """Pass messages on to the service and back."""
    await pass_messages(websocket, websocket.app.state.upstream, websocket.app.state.timeouts)


async def _broken(_request: Request, error: Exception) -> Response:
    return errors.error_response(SleapRTCError(keep_bug(error)))
