"""``/login/{provider}``: to a provider, and back with its word about who somebody is."""

import re
import secrets

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from signaling_server.auth import browser_logins, visits
from signaling_server.auth.browser import Site
from signaling_server.auth.providers import ProviderClient
from signaling_server.auth.visits import Departure
from signaling_server.deps import ClientAddress, Service, ServiceDep
from signaling_server.limits import limit_key
from signaling_server.models import ProviderVisit
from signaling_server.pages.deps import HOME, SiteDep, own_path
from signaling_server.pages.login import let_in
from signaling_server.pages.rendering import HEADERS, LOGIN, PageRoute, go_to
from sleap_rtc.errors import AuthenticationError, BusyError, NotFoundError

router = APIRouter(include_in_schema=False, route_class=PageRoute)

_BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST_CODE = 2048


@router.get("/login/{provider_id}")
async def leave(
    provider_id: str,
    service: ServiceDep,
    site: SiteDep,
    request: Request,
    address: ClientAddress,
    return_to: str = HOME,
) -> Response:
    """Send a browser to a provider."""
    client = _client(service, provider_id)
    # another site's link must not begin a login that nobody here asked for
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return go_to(LOGIN)
    if not await service.limiters.visits.allow(limit_key(address), service.clock()):
        raise BusyError("Too many logins were begun from this address. Try again in an hour.")
    departure = Departure.new()
    url = await client.departure_url(departure, _redirect_uri(service, client))
    browser = _browser_of(site, request) or secrets.token_urlsafe(32)
    async with service.database.transaction() as session:
        await visits.begin(
            session,
            service.pepper,
            departure,
            provider=client.settings.id,
            browser=browser,
            return_to=own_path(return_to),
            now=service.clock(),
        )
    response = RedirectResponse(url, 303, headers=HEADERS)
    site.set_cookie(response, site.visit_cookie, browser, visits.LIFETIME_MS // 1000)
    return response


@router.get("/login/{provider_id}/callback")
async def come_back(
    provider_id: str,
    service: ServiceDep,
    site: SiteDep,
    request: Request,
    address: ClientAddress,
    code: str = "",
    state: str = "",
    error: str = "",
    iss: str = "",
) -> Response:
    """Take a browser back, and log in who the provider says it is."""
    client = _client(service, provider_id)
    label = client.settings.label
    if error:  # in its own words, which are not shown: whoever wrote this address chose them
        raise AuthenticationError(f"{label} did not log you in: you said no there, or it did. Begin again if you like.")
    visit = await _visit(service, site, request, client, state)
    if iss and iss != getattr(client.settings, "issuer", iss):  # RFC 9207 §2.4
        raise AuthenticationError(f"This answer is not {label}'s, so it was not used. Begin again from the login page.")
    departure = Departure(state, visit.nonce, visit.verifier)
    identity = await client.identify(code[:_LONGEST_CODE], departure, _redirect_uri(service, client))
    async with service.database.transaction() as session:
        user = await browser_logins.user_of(session, identity, now=service.clock())
    return await let_in(service, site, request, address, user, visit.return_to)


async def _visit(service: Service, site: Site, request: Request, client: ProviderClient, state: str) -> ProviderVisit:
    browser = _browser_of(site, request)
    if not state or browser is None:
        raise visits.stray()
    now = service.clock()
    visit = await service.database.read_first(
        lambda session: visits.end(
            session, service.pepper, state=state, provider=client.settings.id, browser=browser, now=now
        )
    )
    if visit is None:
        raise visits.stray()
    return visit


def _client(service: Service, provider_id: str) -> ProviderClient:
    if provider_id not in service.providers:
        raise NotFoundError("There is no such way to log in here. Go to the login page.")
    return service.providers[provider_id]


def _redirect_uri(service: Service, client: ProviderClient) -> str:
    # fixed, as the provider has it: nothing in a request can turn it elsewhere
    return f"{service.settings.public_url}/login/{client.settings.id}/callback"


def _browser_of(site: Site, request: Request) -> str | None:
    cookie = request.cookies.get(site.visit_cookie, "")
    return cookie if _BROWSER.fullmatch(cookie) else None
