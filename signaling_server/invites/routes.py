"""``/api/v1/rooms/{room_id}/invites`` for a room's owner, and ``/api/v1/invites/redeem`` for who was invited."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from signaling_server.deps import ClientAddress, CurrentUser, DBSession, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.invites import service as invites
from signaling_server.lifetimes import HOUR_MS
from signaling_server.rooms import members
from signaling_server.rooms.permits import OwnedOpenRoom, OwnedRoom, OwnerSeat
from sleap_rtc.protocol.invites import MAX_HOURS, MAX_USES, format_code

router = APIRouter(tags=["invites"], route_class=StrictRoute)


class InviteCreate(BaseModel):
    """An invite to make: for how many people, and for how long."""

    model_config = ConfigDict(extra="ignore")
    uses: Annotated[int, Field(strict=True, ge=1, le=MAX_USES)] = 1
    expires_hours: Annotated[int, Field(strict=True, ge=1, le=MAX_HOURS)] = 24


class NewInviteOut(BaseModel):
    """An invite in its two forms, shown this once."""

    invite_id: str
    code: str
    link_token: str
    expires_at: int
    uses: int


class InviteRedeem(BaseModel):
    """A code as somebody typed it, or a link's token."""

    model_config = ConfigDict(extra="ignore")
    code: Annotated[str, Field(min_length=1, max_length=256)]


class JoinedOut(BaseModel):
    """The room that an invite led to; `joined` is false for who belonged to it already."""

    room_id: str
    name: str
    role: str
    expires_at: int | None
    joined: bool


@router.post("/rooms/{room_id}/invites", status_code=201)
async def create_invite(
    room: OwnedOpenRoom,
    service: ServiceDep,
    session: DBSession,
    login: CurrentUser,
    response: Response,
    body: InviteCreate | None = None,
) -> NewInviteOut:
    """Make an invite with which people can become members."""
    body, now = body or InviteCreate(), service.clock()
    expires_at = now + body.expires_hours * HOUR_MS
    issued = await invites.create(
        session,
        service.pepper,
        room=room,
        by=login.user,
        now=now,
        expires_at=expires_at,
        uses=body.uses,
        limit=service.settings.limits.invites_per_room,
    )
    response.headers["Cache-Control"] = "no-store"
    return NewInviteOut(
        invite_id=issued.invite_id,
        code=format_code(issued.code),
        link_token=issued.link_token,
        expires_at=expires_at,
        uses=body.uses,
    )


@router.get("/rooms/{room_id}/invites")
async def list_invites(seat: OwnerSeat, service: ServiceDep) -> list[invites.ListedInvite]:
    """List the room's invites, ended ones included for a while."""
    async with service.database.reading() as session:
        return await invites.listed(session, seat.room, now=service.clock())


@router.delete("/rooms/{room_id}/invites/{invite_id}", status_code=204)
async def revoke_invite(
    invite_id: str, room: OwnedRoom, service: ServiceDep, session: DBSession, login: CurrentUser
) -> None:
    """End an invite; who has joined with it stays."""
    await invites.revoke(session, room, invite_id, by=login.user, now=service.clock())


@router.post("/invites/redeem")
async def redeem_invite(
    body: InviteRedeem, service: ServiceDep, session: DBSession, login: CurrentUser, address: ClientAddress
) -> JoinedOut:
    """Become a member of the room that an invite leads to."""
    now, user = service.clock(), login.user
    async with service.limiters.codes.guess(user.id, address, now):
        found = await invites.redeem(session, service.pepper, body.code, user=user, now=now)
    if found.role is None:
        limit = service.settings.limits.members_per_room
        await members.join(session, found.room, user, invite=found.display, now=now, limit=limit)
    return JoinedOut(
        room_id=found.room.id,
        name=found.room.name,
        role=found.role or "member",
        expires_at=found.room.expires_at,
        joined=found.role is None,
    )
