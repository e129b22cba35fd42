"""The application: parts put together, routes mounted."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import cache, partial
from importlib.metadata import version
from typing import Literal

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel
from starlette.routing import BaseRoute

from signaling_server import errors, http
from signaling_server.audit.routes import router as audit_router
from signaling_server.auth import logins
from signaling_server.auth.github import GitHubClient
from signaling_server.auth.me_routes import router as me_router
from signaling_server.auth.oidc import OIDCClient
from signaling_server.auth.passwords import Passwords
from signaling_server.auth.providers import ProviderClient
from signaling_server.auth.routes import router as auth_router
from signaling_server.auth.users import DEV
from signaling_server.backplane.parts import Backplane
from signaling_server.counts import DATABASE_ERRORS, Counts
from signaling_server.dashboard.routes import router as dashboard_router
from signaling_server.db import Database
from signaling_server.deps import Service, utc_ms
from signaling_server.docs_page import render
from signaling_server.errands import MemoryErrands
from signaling_server.housekeeping import keep_house, keep_watch
from signaling_server.invites.routes import router as invites_router
from signaling_server.keys import load_pepper, load_turn_secret
from signaling_server.limits import Limiters
from signaling_server.logs import RequestLog
from signaling_server.metrics import router as metrics_router
from signaling_server.pages.callback import router as callback_router
from signaling_server.pages.device import router as device_router
from signaling_server.pages.enrol import router as enrol_router
from signaling_server.pages.login import router as login_router
from signaling_server.pages.static_files import router as static_router
from signaling_server.provider_settings import GitHubProvider, Provider
from signaling_server.ready import router as ready_router
from signaling_server.registry.holders import holders, is_named
from signaling_server.registry.model_routes import router as models_router
from signaling_server.registry.reports import StoredReports
from signaling_server.registry.routes import router as registry_router
from signaling_server.rooms.member_routes import router as members_router
from signaling_server.rooms.routes import router as rooms_router
from signaling_server.settings import Settings
from signaling_server.signaling.admission import ended
from signaling_server.signaling.hub import MemoryHub
from signaling_server.signaling.members import Holder, Member
from signaling_server.signaling.routes import router as signaling_router
from signaling_server.signaling.routing import Router
from signaling_server.signaling.ticket_routes import router as ticket_router
from signaling_server.signaling.tickets import MemoryTickets
from signaling_server.signaling.turn import Relays
from signaling_server.tokens.routes import my_router as my_tokens_router
from signaling_server.tokens.routes import router as tokens_router
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.signaling import SUBPROTOCOL

API = "/api/v1"
SCHEMA_URL = f"{API}/openapi.json"


class Health(BaseModel):
    """What ``/health`` answers: that this is a sleap-rtc service, and which."""

    status: Literal["ok"] = "ok"
    service: Literal["sleap-rtc"] = "sleap-rtc"
    version: str
    protocol: str = SUBPROTOCOL


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI application. Its database must be up to date: see `signaling_server.db.upgrade`.

    Raises:
        ConfigError: if the pepper's file is unsafe, or so is what is said of TURN servers.
        StorageError: if it cannot be read or made.
    """
    service, router = _assemble(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if not settings.dev:  # what was handed out without a password is worth nothing where others reach the service
            async with service.database.transaction() as session:
                await logins.revoke_provider(session, DEV, now=service.clock())
        try:
            async with _backplane(service), asyncio.TaskGroup() as tasks:
                housekeeping = [tasks.create_task(each(service)) for each in (keep_house, keep_watch)]
                tasks.create_task(service.reports.run())
                try:
                    yield
                finally:
                    for each in housekeeping:
                        each.cancel()
                    service.reports.stop()
        finally:
            await service.database.close()

    app = FastAPI(
        title="sleap-rtc signaling service",
        version=version("sleap-rtc"),
        lifespan=lifespan,
        openapi_url=SCHEMA_URL,
        docs_url=None,
        redoc_url=None,
        routes=_routes(),
    )
    app.state.service = service
    app.state.router = router
    errors.install(app)
    app.add_middleware(http.BodyGuard, limits=settings.limits)
    app.add_middleware(RequestLog)  # the last is the outermost
    _about(app)
    return app


def _backplane(service: Service) -> AbstractAsyncContextManager[None]:
    return nullcontext() if service.backplane is None else service.backplane.running()


def _assemble(settings: Settings) -> tuple[Service, Router]:
    def receive(member: Member, message: Message, sender: str) -> None:
        router.receive(member, message, sender)

    def now() -> int:
        return service.clock()

    async def ended_among(holders: Collection[Holder]) -> dict[Holder, str]:
        async with service.database.reading() as session:
            return await ended(session, holders, now=service.clock())

    async def holders_of(room_id: str, digest: str) -> tuple[frozenset[str], bool]:
        async with service.database.reading() as session:
            return await holders(session, room_id, digest), await is_named(session, room_id, digest)

    limits = settings.limits
    counts = Counts()
    database = Database(settings.database_url, on_error=partial(counts.add, DATABASE_ERRORS))
    reports = StoredReports(database, now, limits)
    here = MemoryHub(receive, clients_per_user=limits.clients_per_user, sockets_per_address=limits.sockets_per_address)
    others = (
        None
        if settings.redis_url is None
        else Backplane(settings.redis_url, settings, here, receive, counts, ended_among)
    )
    service = Service(
        settings=settings,
        database=database,
        pepper=load_pepper(settings),
        hub=here if others is None else others.hub,
        tickets=MemoryTickets(limits.tickets_per_login) if others is None else others.tickets,
        reports=reports,
        limiters=Limiters.of(settings, None if others is None else others.window),
        errands=MemoryErrands(now) if others is None else others.errands,
        counts=counts,
        relays=_relays(settings),
        passwords=Passwords(),
        providers={each.id: _client(each) for each in settings.providers},
        backplane=others,
        clock=utc_ms,
    )
    router = Router(service.hub, now, limits.links, ended_among, reports, holders_of, counts)
    return service, router


def _relays(settings: Settings) -> Relays:
    return Relays(
        static=tuple(settings.ice_servers),
        urls=tuple(settings.turn_urls),
        secret=load_turn_secret(settings),
        seconds=max(1, int(settings.turn_minutes * 60)),
        for_guests=settings.anonymous_turn,
    )


def _client(provider: Provider) -> ProviderClient:
    return GitHubClient(provider) if isinstance(provider, GitHubProvider) else OIDCClient(provider)


@cache
def _routes() -> list[BaseRoute]:
    # they know nothing of the application around them, and are looked into at the first request: once for all services
    made = APIRouter()
    for api in (
        auth_router,
        me_router,
        rooms_router,
        members_router,
        invites_router,
        tokens_router,
        my_tokens_router,
        registry_router,
        models_router,
        audit_router,
        signaling_router,
        ticket_router,
    ):
        made.include_router(api, prefix=API)
    for pages in (
        metrics_router,
        ready_router,
        login_router,
        callback_router,
        enrol_router,
        device_router,
        static_router,
        dashboard_router,
    ):
        made.include_router(pages)
    return made.routes


def _about(app: FastAPI) -> None:
    @app.get("/health", tags=["service"])
    async def health() -> Health:
        """Tell that the service is up, and its version."""
        return Health(version=app.version)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(render(app.openapi(), SCHEMA_URL))
