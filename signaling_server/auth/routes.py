"""``/api/v1/auth`` and ``/api/v1/me``: logging in and out, and who one is."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from signaling_server.auth import service as auth
from signaling_server.deps import ClientAddress, CurrentUser, DBSession, ServiceDep, from_this_machine
from signaling_server.http import StrictRoute
from sleap_rtc.errors import ForbiddenError, NotFoundError
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

DAY_MS = 24 * auth.HOUR_MS
router = APIRouter(tags=["login"], route_class=StrictRoute)

DevName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]


class DevLogin(BaseModel):
    """Under which name to log in: 1 to 64 of letters, digits, ``.``, ``_``, ``@``, ``-``."""

    model_config = ConfigDict(extra="ignore")
    name: DevName


class AccessOut(BaseModel):
    """A login with its token, shown this once."""

    access_token: str
    user_id: str
    name: str
    expires_at: int


class MeOut(BaseModel):
    """Who is asking."""

    user_id: str
    name: str


def _may_log_in(service: ServiceDep, request: Request) -> None:
    if not service.settings.dev:
        raise NotFoundError(
            "This service has no login by name alone. Whoever runs it on one machine for trying things out may start "
            "it with: sleap-rtc server run --dev"
        )
    if not from_this_machine(request):
        raise ForbiddenError("This service has a login by name alone, which works on its own machine only.")


@router.post("/auth/dev", dependencies=[Depends(_may_log_in)])
async def log_in(
    body: DevLogin, service: ServiceDep, session: DBSession, address: ClientAddress, response: Response
) -> AccessOut:
    """Log in by name alone, where the service allows it: the same name is the same user."""
    now = service.clock()
    user = await auth.user_of(session, provider=auth.DEV, subject=body.name, name=body.name, now=now)
    lifetime = int(service.settings.login_days * DAY_MS)
    grant = await auth.log_in(session, service.pepper, user=user, address=address, now=now, lifetime_ms=lifetime)
    response.headers["Cache-Control"] = "no-store"
    return AccessOut(access_token=grant.token, user_id=user.id, name=user.name, expires_at=grant.expires_at)


@router.post("/auth/logout", status_code=204)
async def log_out(service: ServiceDep, login: CurrentUser) -> None:
    """End the login that asks; its connections are closed."""
    async with service.database.transaction() as session:
        await auth.log_out(session, login.id, now=service.clock())
    await service.hub.end_all("You logged out. Log in again: sleap-rtc login", CLOSE_REVOKED, token_id=login.id)


@router.get("/me")
async def me(login: CurrentUser) -> MeOut:
    """Tell who is asking."""
    return MeOut(user_id=login.user.id, name=login.user.name)
