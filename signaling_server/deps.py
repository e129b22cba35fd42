"""What routes ask for: the service's parts, and a database session that is committed before the answer goes out."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from signaling_server.auth import browser_logins, logins
from signaling_server.auth.browser import SAFE_METHODS, Site, check_origin
from signaling_server.auth.logins import Terms
from signaling_server.auth.passwords import Passwords
from signaling_server.auth.providers import ProviderClient
from signaling_server.backplane.parts import Backplane
from signaling_server.counts import Counts
from signaling_server.db import Database
from signaling_server.errands import Errands
from signaling_server.limits import Limiters
from signaling_server.loopback import is_loopback
from signaling_server.models import Login
from signaling_server.registry.reports import StoredReports
from signaling_server.security import UNKNOWN_CREDENTIAL, bearer
from signaling_server.settings import Settings, checked_public_url
from signaling_server.signaling.hub import Hub
from signaling_server.signaling.tickets import Tickets
from signaling_server.signaling.turn import Relays
from sleap_rtc.errors import AuthenticationError, ProtocolError

RESTARTING = "The service restarts. It is back in a moment."
"""Said to peers when it stops."""


def utc_ms() -> int:
    """The time in UTC milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass
class Service:
    """The parts of one running service.

    Attributes:
        settings: what the operator set.
        database: where rooms and tokens are.
        pepper: the key tokens are hashed under.
        hub: who is connected.
        tickets: those that wait to open a WebSocket.
        reports: what workers tell of their jobs and models, on its way into the database.
        limiters: what is counted within a time.
        errands: what only one process does at a time.
        counts: what this process has counted.
        relays: the STUN and TURN servers that peers are told of.
        passwords: checks passwords.
        providers: who else may vouch for users, by id.
        backplane: what it shares with other processes; None for a service that is one.
        clock: UTC milliseconds; tests put theirs here.
        stopping: whether it is about to end, and takes no new peers.
    """

    settings: Settings
    database: Database
    pepper: bytes = field(repr=False)
    hub: Hub
    tickets: Tickets
    reports: StoredReports
    limiters: Limiters
    errands: Errands
    counts: Counts
    relays: Relays
    passwords: Passwords
    providers: dict[str, ProviderClient]
    backplane: Backplane | None = None
    clock: Callable[[], int] = field(default=utc_ms)
    stopping: bool = False

    @property
    def terms(self) -> Terms:
        """How long logins and their tokens live."""
        return Terms.of(self.settings)

    @property
    def browser_terms(self) -> Terms:
        """The same for browsers."""
        return browser_logins.terms_of(self.settings)


def get_service(connection: HTTPConnection) -> Service:
    """The service this request reached."""
    service: Service = connection.app.state.service
    return service


async def _afterwards() -> AsyncIterator[list[Callable[[], Awaitable[None]]]]:
    steps: list[Callable[[], Awaitable[None]]] = []
    yield steps
    for step in steps:
        await step()


# scope="function": what follows the yield runs before the answer, so a failed commit is never a 200
Afterwards = Annotated[list[Callable[[], Awaitable[None]]], Depends(_afterwards, scope="function")]
"""What a route wants done once its work is committed, and not if it fails: telling who is connected."""
ServiceDep = Annotated[Service, Depends(get_service)]


async def _db_session(service: ServiceDep, _afterwards: Afterwards) -> AsyncIterator[AsyncSession]:
    # asking for what comes afterwards makes this end before it
    async with service.database.transaction() as session:
        yield session


# scope="function": what follows the yield runs before the answer, so a failed commit is never a 200
DBSession = Annotated[AsyncSession, Depends(_db_session, scope="function")]

_HTTP = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
# what proxies and browsers say of themselves
_OF_OTHERS = {"forwarded", "origin", "via", "x-real-ip"}


def client_address(connection: HTTPConnection) -> str:
    """The address a request came from; proxies are believed only where settings say so."""
    return connection.client.host if connection.client else "unknown"


def from_this_machine(connection: HTTPConnection, *, by_page: bool = False) -> bool:
    """Whether a request was made on this machine, by no proxy and no page.

    Args:
        connection: the request.
        by_page: whether a page may make it; which one, is then another check's concern.
    """
    if not is_loopback(client_address(connection)):
        return False
    # no client of today speaks HTTP/1.0, but a proxy that says nothing of itself may
    if connection.scope.get("http_version") == "1.0" or not is_loopback(_host_name(connection.headers.get("host", ""))):
        return False
    others = _OF_OTHERS - {"origin"} if by_page else _OF_OTHERS
    return not any(name in others or name.startswith("x-forwarded-") for name in connection.headers)


def _host_name(header: str) -> str:
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:  # a bracket that does not close
        return ""


def public_url(service: ServiceDep, connection: HTTPConnection) -> str:
    """The address at which a browser reaches this service: the setting's, else the one this request came to.

    Raises:
        ProtocolError: if the request names no address that a browser could be sent to.
    """
    if service.settings.public_url is not None:
        return service.settings.public_url
    host = connection.headers.get("host", "")
    # beyond this machine nobody but a proxy speaks to us, and credentials reach it by https alone
    scheme = _HTTP[connection.url.scheme] if is_loopback(_host_name(host)) else "https"
    try:
        return checked_public_url(f"{scheme}://{host}")
    except ValueError as error:
        raise ProtocolError("The request's Host header is not the address of this service.") from error


async def cookie_login(service: Service, request: Request) -> Login:
    """The login whose cookie a browser brings.

    Raises:
        AuthenticationError: if it brings none that is good.
        ForbiddenError: if the request would change something, and no page of ours makes it.
    """
    site = Site.at(public_url(service, request))
    text = request.cookies.get(site.login_cookie)
    if text is None:
        raise AuthenticationError(UNKNOWN_CREDENTIAL)
    if request.method not in SAFE_METHODS:
        check_origin(site, request)
    now, terms = service.clock(), service.browser_terms
    return await service.database.read_first(
        lambda session: browser_logins.authenticate(session, service.pepper, text, now=now, terms=terms)
    )


async def _current_user(service: ServiceDep, request: Request) -> Login:
    # in a session of its own, which is over before the route begins: a route that asks who is connected needs none
    if request.cookies and "authorization" not in request.headers:
        login = await cookie_login(service, request)
    else:
        text, now = bearer(request.headers.get("authorization")), service.clock()
        login = await service.database.read_first(
            lambda session: logins.authenticate(session, service.pepper, text, now=now, terms=service.terms)
        )
    request.state.actor = login.user_id
    return login


CurrentUser = Annotated[Login, Depends(_current_user)]
PublicURL = Annotated[str, Depends(public_url)]
ClientAddress = Annotated[str, Depends(client_address)]
