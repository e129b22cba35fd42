"""``/api/v1/rooms/{room_id}/tokens``: a room's worker tokens, for its owner."""

from dataclasses import asdict
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict

from signaling_server.deps import CurrentUser, DBSession, ReadSession, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.lifetimes import Days, ends_at
from signaling_server.rooms import service as rooms
from signaling_server.tokens import service as tokens
from sleap_rtc.errors import ConflictError
from sleap_rtc.protocol.labels import Name
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

router = APIRouter(prefix="/rooms/{room_id}/tokens", tags=["tokens"], route_class=StrictRoute)


class TokenCreate(BaseModel):
    """A token to make; without `expires_days` it lives as long as the service's setting says, with null for ever."""

    model_config = ConfigDict(extra="ignore")
    name: Name
    expires_days: Days | None = None


class NewTokenOut(BaseModel):
    """A worker token, shown this once."""

    token_id: str
    token: str
    name: str
    expires_at: int | None


class TokenOut(BaseModel):
    """A worker token in a list."""

    token_id: str
    name: str
    display: str
    created_at: int
    created_by: str
    expires_at: int | None
    last_used_at: int | None
    revoked_at: int | None
    state: Literal["active", "expired", "revoked"]


@router.post("", status_code=201)
async def create_token(
    room_id: str, body: TokenCreate, service: ServiceDep, session: DBSession, login: CurrentUser, response: Response
) -> NewTokenOut:
    """Make a token with which any number of workers may enter the room."""
    settings, now = service.settings, service.clock()
    room = await rooms.owned(session, login.user, room_id)
    reason = rooms.why_closed(room, now)
    if reason is not None:
        raise ConflictError(reason)
    expires_at = ends_at(body, now=now, default=settings.token_days, most=settings.max_token_days, what="token")
    await tokens.make_space(session, room, limit=settings.limits.tokens_per_room, now=now)
    issued = await tokens.create(
        session,
        service.pepper,
        room=room,
        kind="worker",
        name=body.name,
        now=now,
        expires_at=expires_at,
        created_by=login.user.id,
    )
    response.headers["Cache-Control"] = "no-store"
    return NewTokenOut(token_id=issued.token_id, token=issued.text, name=body.name, expires_at=expires_at)


@router.get("")
async def list_tokens(room_id: str, service: ServiceDep, session: ReadSession, login: CurrentUser) -> list[TokenOut]:
    """List the room's tokens, ended ones included for a while."""
    room = await rooms.owned(session, login.user, room_id)
    return [TokenOut(**asdict(each)) for each in await tokens.listed(session, room, now=service.clock())]


@router.delete("/{token_id}", status_code=204)
async def revoke_token(room_id: str, token_id: str, service: ServiceDep, login: CurrentUser) -> None:
    """End a token; workers connected with it are sent away."""
    async with service.database.transaction() as session:
        room = await rooms.owned(session, login.user, room_id)
        reason = await tokens.revoke(session, room, token_id, now=service.clock())
    await service.hub.end_all(reason, CLOSE_REVOKED, token_id=token_id)
