"""``/api/v1/auth``: how a command line logs in, renews its tokens and logs out."""

import re
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from signaling_server.auth import devices, logins, oauth, users
from signaling_server.auth.logins import Grant
from signaling_server.auth.oauth import Refusal, RefusalCode
from signaling_server.auth.rotation import Reused, rotate
from signaling_server.deps import (
    ClientAddress,
    CurrentUser,
    DBSession,
    PublicURL,
    Service,
    ServiceDep,
    from_this_machine,
)
from signaling_server.http import StrictRoute
from signaling_server.limits import limit_key
from sleap_rtc.errors import BusyError, ForbiddenError, NotFoundError
from sleap_rtc.protocol.labels import Label
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

router = APIRouter(prefix="/auth", tags=["login"], route_class=StrictRoute)

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_NO_STORE = {"Cache-Control": "no-store"}
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": [DEVICE_GRANT, "refresh_token"]},
                        "device_code": {"type": "string"},
                        "refresh_token": {"type": "string"},
                    },
                }
            }
        },
    }
}

_DEV_NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"


def _dev_name(text: str) -> str:
    if re.fullmatch(_DEV_NAME, text) is None:
        raise PydanticCustomError(
            "string_name",
            "a name has 1 to 64 letters, digits, '.', '_', '@' and '-', and begins with a letter or a digit",
        )
    return text


DevName = Annotated[str, AfterValidator(_dev_name), Field(json_schema_extra={"pattern": _DEV_NAME})]


class DevLogin(BaseModel):
    """Under which name to log in: 1 to 64 of letters, digits, ``.``, ``_``, ``@``, ``-``; and from which machine."""

    model_config = ConfigDict(extra="ignore")
    name: DevName
    device: Label = ""


class DeviceStart(BaseModel):
    """What the machine that wants to log in calls itself."""

    model_config = ConfigDict(extra="ignore")
    device: Label = ""


class DeviceOut(BaseModel):
    """What RFC 8628 §3.2 wants; there is no link that carries the code, as a link alone must let nobody in."""

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: int
    interval: int


class TokenOut(BaseModel):
    """What RFC 6749 §5.1 wants, and whose login it is; times in seconds, `login_expires_at` in UTC milliseconds."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the standard's word for the kind of token
    expires_in: int
    refresh_token: str
    user_id: str
    name: str
    login_id: str
    login_expires_at: int

    @classmethod
    def of(cls, grant: Grant, now: int) -> Self:
        """The answer that hands out `grant`."""
        return cls(
            access_token=grant.access_token,
            expires_in=(grant.expires_at - now) // 1000,
            refresh_token=grant.refresh_token,
            user_id=grant.user.id,
            name=grant.user.name,
            login_id=grant.login.id,
            login_expires_at=grant.login_expires_at,
        )


class RefusalOut(BaseModel):
    """What RFC 6749 §5.2 wants."""

    error: RefusalCode
    error_description: str = Field(max_length=512)


class ProviderOut(BaseModel):
    """A provider that browsers are sent to, at ``/login/`` and its id."""

    id: str
    kind: Literal["github", "oidc"]
    label: str


class MethodsOut(BaseModel):
    """The ways to log in."""

    dev: bool
    local: bool
    providers: list[ProviderOut]


@router.get("/methods")
async def list_methods(service: ServiceDep) -> MethodsOut:
    """List the ways to log in to this service."""
    settings = service.settings
    providers = [ProviderOut(id=each.id, kind=each.kind, label=each.label) for each in settings.providers]
    return MethodsOut(dev=settings.dev, local=settings.local_accounts, providers=providers)


async def _may_begin(service: ServiceDep, address: ClientAddress) -> None:
    if not await service.limiters.devices.allow(limit_key(address), service.clock()):
        raise BusyError("Too many logins were begun from this address within an hour. Try again later.")


@router.post("/device", dependencies=[Depends(_may_begin)])
async def begin_device_login(
    body: DeviceStart,
    service: ServiceDep,
    session: DBSession,
    address: ClientAddress,
    public_url: PublicURL,
    response: Response,
) -> DeviceOut:
    """Begin the login of a command line: somebody lets it in at `verification_uri` by its `user_code`."""
    settings = service.settings
    lifetime = int(settings.device_code_minutes * 60)
    grant = await devices.begin(
        session,
        service.pepper,
        device=body.device,
        address=address,
        now=service.clock(),
        lifetime_ms=lifetime * 1000,
        interval=settings.poll_seconds,
    )
    response.headers.update(_NO_STORE)
    return DeviceOut(
        device_code=grant.device_code,
        user_code=grant.user_code,
        verification_uri=f"{public_url}/device",
        expires_in=lifetime,
        interval=settings.poll_seconds,
    )


@router.post("/token", responses={200: {"model": TokenOut}, 400: {"model": RefusalOut}}, openapi_extra=_FORM)
async def exchange(request: Request, service: ServiceDep) -> JSONResponse:
    """Exchange a device code that was let in, or a refresh token, for a pair of tokens (RFC 8628 §3.4, RFC 6749 §6)."""
    form = oauth.read_form(await request.body(), request.headers.get("content-type", ""))
    answer = form if isinstance(form, Refusal) else await _exchanged(service, form)
    if isinstance(answer, Reused):
        await service.hub.end_all(answer.sentence, CLOSE_REVOKED, token_id=answer.login_id)
    if isinstance(answer, Refusal):
        refused = RefusalOut(error=answer.code, error_description=answer.sentence)
        return JSONResponse(refused.model_dump(), 400, _NO_STORE)
    return JSONResponse(TokenOut.of(answer, service.clock()).model_dump(), headers=_NO_STORE)


async def _exchanged(service: Service, form: dict[str, str]) -> Grant | Refusal:
    ways = {DEVICE_GRANT: ("device_code", devices.poll), "refresh_token": ("refresh_token", rotate)}
    kind = form.get("grant_type")
    if kind is None:
        return Refusal("invalid_request", "The parameter grant_type is missing.")
    if kind not in ways:
        return Refusal("unsupported_grant_type", "This service exchanges device codes and refresh tokens.")
    name, way = ways[kind]
    if not form.get(name):
        return Refusal("invalid_request", f"The parameter {name} is missing.")
    now = service.clock()
    # strangers send what they like: what is unknown is refused without keeping others from writing
    return await service.database.read_first(
        lambda session: way(session, service.pepper, form[name], now=now, terms=service.terms)
    )


def _may_log_in(service: ServiceDep, request: Request) -> None:
    if not service.settings.dev:
        raise NotFoundError(
            "This service has no login by name alone. Whoever runs it on one machine for trying things out may start "
            "it with: sleap-rtc server run --dev"
        )
    if not from_this_machine(request):
        raise ForbiddenError("This service has a login by name alone, which works on its own machine only.")


@router.post("/dev", dependencies=[Depends(_may_log_in)])
async def log_in(
    body: DevLogin, service: ServiceDep, session: DBSession, address: ClientAddress, response: Response
) -> TokenOut:
    """Log in by name alone, where the service allows it: the same name is the same user."""
    now = service.clock()
    user = await users.user_of(session, provider=users.DEV, subject=body.name, name=body.name, now=now)
    grant = await logins.log_in(
        session,
        service.pepper,
        user=user,
        kind="dev",
        device=body.device,
        address=address,
        now=now,
        terms=service.terms,
    )
    response.headers.update(_NO_STORE)
    return TokenOut.of(grant, now)


@router.post("/logout", status_code=204)
async def log_out(service: ServiceDep, login: CurrentUser) -> None:
    """End the login that asks; its connections are closed."""
    async with service.database.transaction() as session:
        await logins.end(session, login.id, "logout", now=service.clock())
    await service.hub.end_all(logins.LOGGED_OUT, CLOSE_REVOKED, token_id=login.id)
