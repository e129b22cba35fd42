"""``/api/v1/me``: who is asking, and where else they are logged in."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from signaling_server.auth import logins
from signaling_server.deps import CurrentUser, ServiceDep
from signaling_server.http import StrictRoute
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

router = APIRouter(prefix="/me", tags=["login"], route_class=StrictRoute)


class MeOut(BaseModel):
    """Who is asking."""

    user_id: str
    name: str


class LoginOut(BaseModel):
    """A login of the asking user.

    Attributes:
        device: what the device called itself.
        address: where it logged in from.
        last_used_at: when it was last seen, to the hour.
        expires_at: when it ends unless it is used before.
        current: whether it is the one that asks.
    """

    login_id: str
    kind: Literal["device", "browser", "dev"]
    device: str
    address: str
    created_at: int
    last_used_at: int | None
    expires_at: int
    current: bool


@router.get("")
async def me(login: CurrentUser) -> MeOut:
    """Tell who is asking."""
    return MeOut(user_id=login.user.id, name=login.user.name)


@router.get("/logins")
async def list_logins(service: ServiceDep, login: CurrentUser) -> list[LoginOut]:
    """List where the asking user is logged in, the newest login first."""
    async with service.database.reading() as session:
        found = await logins.listed(session, login.user, now=service.clock())
    return [
        LoginOut(
            login_id=each.id,
            kind=each.kind,
            device=each.device,
            address=each.address,
            created_at=each.created_at,
            last_used_at=each.last_used_at,
            expires_at=each.expires_at,
            current=each.id == login.id,
        )
        for each in found
    ]


@router.delete("/logins", status_code=204)
async def log_out_everywhere(service: ServiceDep, login: CurrentUser) -> None:
    """End every login of the asking user, this one too; their connections are closed."""
    async with service.database.transaction() as session:
        await logins.end_all(session, login.user, now=service.clock())
    await service.hub.end_all(logins.LOGGED_OUT, CLOSE_REVOKED, user=login.user.id)


@router.delete("/logins/{login_id}", status_code=204)
async def revoke_login(login_id: str, service: ServiceDep, login: CurrentUser) -> None:
    """End one login of the asking user; its connections are closed."""
    async with service.database.transaction() as session:
        await logins.end_own(session, login.user, login_id, now=service.clock())
    await service.hub.end_all(logins.LOGGED_OUT_ELSEWHERE, CLOSE_REVOKED, token_id=login_id)
