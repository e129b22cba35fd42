"""``/api/v1/rooms/{room_id}/tokens``: a room's worker tokens, for its owner; ``/api/v1/me/tokens``: all of theirs."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from signaling_server.deps import Afterwards, CurrentUser, DBSession, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.lifetimes import DAY_MS, HOUR_MS, Days, ends_at
from signaling_server.rooms.permits import OwnedOpenRoom, OwnedRoom, OwnerSeat
from signaling_server.tokens import owners as tokens
from sleap_rtc.protocol.labels import Name
from sleap_rtc.protocol.signaling import CLOSE_REVOKED
from sleap_rtc.protocol.tokens import MAX_GRACE_HOURS

router = APIRouter(prefix="/rooms/{room_id}/tokens", tags=["tokens"], route_class=StrictRoute)
my_router = APIRouter(prefix="/me/tokens", tags=["tokens"], route_class=StrictRoute)


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


class TokenRotate(BaseModel):
    """For how long the old token still works; 0 ends it at once."""

    model_config = ConfigDict(extra="ignore")
    grace_hours: Annotated[int, Field(strict=True, ge=0, le=MAX_GRACE_HOURS)] = 24


class RotatedOut(NewTokenOut):
    """A new token of the same name, shown this once, and when the old one ends."""

    old_ends_at: int


@router.post("", status_code=201)
async def create_token(
    body: TokenCreate,
    room: OwnedOpenRoom,
    service: ServiceDep,
    session: DBSession,
    login: CurrentUser,
    response: Response,
) -> NewTokenOut:
    """Make a token with which any number of workers may enter the room."""
    settings, now = service.settings, service.clock()
    expires_at = ends_at(body, now=now, default=settings.token_days, most=settings.max_token_days, what="token")
    issued = await tokens.create(
        session,
        service.pepper,
        room,
        body.name,
        by=login.user,
        now=now,
        expires_at=expires_at,
        limit=settings.limits.tokens_per_room,
    )
    response.headers["Cache-Control"] = "no-store"
    return NewTokenOut(token_id=issued.token_id, token=issued.text, name=body.name, expires_at=expires_at)


@router.get("")
async def list_tokens(seat: OwnerSeat, service: ServiceDep) -> list[tokens.ListedToken]:
    """List the room's tokens, ended ones included for a while."""
    async with service.database.reading() as session:
        return await tokens.listed(session, seat.room, now=service.clock())


@my_router.get("")
async def list_my_tokens(service: ServiceDep, login: CurrentUser) -> list[tokens.OwnedToken]:
    """List the tokens of all rooms that the asking user owns, ended ones included for a while."""
    async with service.database.reading() as session:
        return await tokens.owned(session, login.user, now=service.clock())


@router.post("/{token_id}/rotate", status_code=201)
async def rotate_token(
    token_id: str,
    room: OwnedRoom,
    service: ServiceDep,
    session: DBSession,
    login: CurrentUser,
    afterwards: Afterwards,
    response: Response,
    body: TokenRotate | None = None,
) -> RotatedOut:
    """Make a new token in the place of one, which still works for a while."""
    settings, longest = service.settings, service.settings.max_token_days
    made = await tokens.rotate(
        session,
        service.pepper,
        room,
        token_id,
        by=login.user,
        now=service.clock(),
        grace_ms=(body or TokenRotate()).grace_hours * HOUR_MS,
        limits=(settings.limits.tokens_per_room, None if longest is None else longest * DAY_MS),
    )
    if made.reason is not None:
        afterwards.append(partial(service.hub.end_all, made.reason, CLOSE_REVOKED, token_id=token_id))
    response.headers["Cache-Control"] = "no-store"
    return RotatedOut(
        token_id=made.issued.token_id,
        token=made.issued.text,
        name=made.name,
        expires_at=made.expires_at,
        old_ends_at=made.old_ends_at,
    )


@router.delete("/{token_id}", status_code=204)
async def revoke_token(
    token_id: str, room: OwnedRoom, service: ServiceDep, session: DBSession, login: CurrentUser, afterwards: Afterwards
) -> None:
    """End a token; workers connected with it are sent away."""
    reason = await tokens.revoke(session, room, token_id, by=login.user, now=service.clock())
    afterwards.append(partial(service.hub.end_all, reason, CLOSE_REVOKED, token_id=token_id))
