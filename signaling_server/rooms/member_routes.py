"""``/api/v1/rooms/{room_id}/members``, and who owns a room."""

from functools import partial

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from signaling_server.deps import Afterwards, CurrentUser, DBSession, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.rooms import members
from signaling_server.rooms import service as rooms
from signaling_server.rooms.permits import LockedSeat, OwnedRoom, RoomSeat
from sleap_rtc.protocol.ids import UserId
from sleap_rtc.protocol.signaling import CLOSE_REVOKED

router = APIRouter(prefix="/rooms/{room_id}", tags=["members"], route_class=StrictRoute)


class MemberOut(BaseModel):
    """A member of a room."""

    user_id: str
    name: str
    role: str
    joined_at: int


class RemovalOut(BaseModel):
    """What a removal leaves to do: invites ended with it, and worker tokens that the removed member made did not."""

    invites_revoked: int
    tokens_left: int


class Transfer(BaseModel):
    """Whose the room is to be."""

    model_config = ConfigDict(extra="ignore")
    user_id: UserId


@router.get("/members")
async def list_members(seat: RoomSeat, service: ServiceDep) -> list[MemberOut]:
    """List who belongs to the room, the oldest membership first."""
    async with service.database.reading() as session:
        people = await rooms.people(session, seat.room)
    return [
        MemberOut(user_id=each.user_id, name=each.user.name, role=each.role, joined_at=each.created_at)
        for each in people
    ]


@router.delete("/members/me", status_code=204)
async def leave_room(
    seat: LockedSeat, service: ServiceDep, session: DBSession, login: CurrentUser, afterwards: Afterwards
) -> None:
    """Leave the room; its owner cannot."""
    await members.leave(session, seat, login.user, now=service.clock())
    reason = "You left this room. Its owner can invite you again."
    afterwards.append(partial(service.hub.end_all, reason, CLOSE_REVOKED, room=seat.room.id, user=login.user.id))


@router.delete("/members/{user_id}")
async def remove_member(
    user_id: str, room: OwnedRoom, service: ServiceDep, session: DBSession, login: CurrentUser, afterwards: Afterwards
) -> RemovalOut:
    """Remove a member, who is sent away at once; open invites end, too."""
    removal = await members.remove(session, room, user_id, by=login.user, now=service.clock())
    reason = "You were removed from this room by its owner. Your rooms: sleap-rtc room list"
    afterwards.append(partial(service.hub.end_all, reason, CLOSE_REVOKED, room=room.id, user=user_id))
    return RemovalOut(**vars(removal))


@router.post("/transfer", status_code=204)
async def transfer_room(
    body: Transfer, room: OwnedRoom, service: ServiceDep, session: DBSession, login: CurrentUser, afterwards: Afterwards
) -> None:
    """Hand the room over to one of its members; who owned it is a member from then on, and connects anew as one."""
    limit = service.settings.limits.rooms_per_user
    await members.transfer(session, room, body.user_id, by=login.user, now=service.clock(), limit=limit)
    reason = "You handed this room over and are a member of it now. Type your command again to go on."
    afterwards.append(partial(service.hub.set_owners, {room.id: body.user_id}))
    afterwards.append(partial(service.hub.end_all, reason, CLOSE_REVOKED, room=room.id, user=login.user.id))
