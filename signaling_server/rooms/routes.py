"""``/api/v1/rooms``."""

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel, ConfigDict

from signaling_server.deps import Afterwards, ClientAddress, CurrentUser, DBSession, Service, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.lifetimes import HOUR_MS, Days, ends_at, ends_soon
from signaling_server.limits import limit_key
from signaling_server.registry import holdings
from signaling_server.registry import service as registry
from signaling_server.rooms import service as rooms
from signaling_server.rooms.permits import OpenSeat, OwnedRoom, RoomSeat
from signaling_server.rooms.service import Seat
from sleap_rtc.errors import AuthenticationError, BusyError, UsageError
from sleap_rtc.protocol.labels import Label, Name
from sleap_rtc.protocol.signaling import CLOSE_REVOKED, WorkerPresence

router = APIRouter(prefix="/rooms", tags=["rooms"], route_class=StrictRoute)


class AnonymousRoomCreate(BaseModel):
    """What a worker may say about the room it opens."""

    model_config = ConfigDict(extra="ignore")
    name: Label = ""


class AnonymousRoomOut(BaseModel):
    """The room and its two tokens, shown this once."""

    room_id: str
    worker_token: str
    session_token: str
    expires_at: int


class RoomCreate(BaseModel):
    """A room to make; without `expires_days` it lives as long as the service's setting says, with null for ever."""

    model_config = ConfigDict(extra="ignore")
    name: Name
    expires_days: Days | None = None


class RoomChange(BaseModel):
    """A new name for a room, or a new end: `expires_days` from now on, null for ever."""

    model_config = ConfigDict(extra="ignore")
    name: Name | None = None
    expires_days: Days | None = None


class ChangedOut(BaseModel):
    """What a room is called now, and when it ends."""

    room_id: str
    name: str
    expires_at: int | None


class RoomOut(BaseModel):
    """A room as one of its members sees it; `expires_soon` says that it ends within a day."""

    room_id: str
    name: str
    role: str
    created_at: int
    expires_at: int | None
    expires_soon: bool
    members: int
    workers_online: int


class PersonOut(BaseModel):
    """A member of a room."""

    user_id: str
    name: str
    role: str


class RoomDetailOut(RoomOut):
    """A room with the people who belong to it, and how many jobs and models its workers have told of."""

    people: list[PersonOut]
    jobs: int
    models: int


async def _may_open(service: ServiceDep, address: ClientAddress) -> None:
    if not service.settings.anonymous_rooms:
        raise AuthenticationError(
            "This service opens no rooms for strangers. Ask its operator to allow them, or use another service."
        )
    if not await service.limiters.rooms.allow(limit_key(address), service.clock()):
        raise BusyError("Too many rooms were opened from this address within an hour. Try again later.")


@router.post("/anonymous", status_code=201, dependencies=[Depends(_may_open)])
async def create_anonymous_room(
    service: ServiceDep,
    session: DBSession,
    response: Response,
    body: Annotated[AnonymousRoomCreate | None, Body()] = None,
) -> AnonymousRoomOut:
    """Open a room for one worker and the client it gives its session string to."""
    room = await rooms.create_anonymous(
        session,
        service.pepper,
        name=body.name if body else "",
        now=service.clock(),
        lifetime_ms=int(service.settings.session_string_hours * HOUR_MS),
    )
    response.headers["Cache-Control"] = "no-store"
    return AnonymousRoomOut(**vars(room))


@router.get("")
async def list_rooms(service: ServiceDep, login: CurrentUser) -> list[RoomOut]:
    """List the rooms the asking user belongs to."""
    async with service.database.reading() as session:
        seats = await rooms.seats(session, login.user)
    online = await asyncio.gather(*(service.hub.workers(seat.room.id) for seat in seats))
    return [RoomOut(**_described(service, seat, len(workers))) for seat, workers in zip(seats, online, strict=True)]


@router.post("", status_code=201)
async def create_room(body: RoomCreate, service: ServiceDep, session: DBSession, login: CurrentUser) -> RoomOut:
    """Make a room, which the asking user owns."""
    settings, now = service.settings, service.clock()
    expires_at = ends_at(body, now=now, default=settings.room_days, most=settings.max_room_days, what="room")
    limit = settings.limits.rooms_per_user
    seat = await rooms.create(session, owner=login.user, name=body.name, now=now, expires_at=expires_at, limit=limit)
    return RoomOut(**_described(service, seat, 0))


@router.get("/{room_id}")
async def show_room(seat: RoomSeat, service: ServiceDep) -> RoomDetailOut:
    """Show a room and its people to one of them."""
    async with service.database.reading() as session:
        people = await rooms.people(session, seat.room)
        jobs, models = await registry.count(session, seat.room.id), await holdings.count(session, seat.room.id)
    shown = [PersonOut(user_id=each.user_id, name=each.user.name, role=each.role) for each in people]
    online = len(await service.hub.workers(seat.room.id))
    return RoomDetailOut(**_described(service, seat, online), people=shown, jobs=jobs, models=models)


@router.patch("/{room_id}")
async def change_room(
    body: RoomChange, room: OwnedRoom, service: ServiceDep, session: DBSession, login: CurrentUser
) -> ChangedOut:
    """Rename a room or let it live longer, also one that expired within the last week."""
    settings, now = service.settings, service.clock()
    longer = "expires_days" in body.model_fields_set
    if body.name is None and not longer:
        raise UsageError("Nothing was to be changed: give a name or expires_days.")
    if longer:
        expires_at = ends_at(body, now=now, default=settings.room_days, most=settings.max_room_days, what="room")
        rooms.extend(session, room, expires_at, by=login.user, now=now)
    if body.name is not None:
        rooms.rename(session, room, body.name, by=login.user, now=now)
    return ChangedOut(room_id=room.id, name=room.name, expires_at=room.expires_at)


@router.delete("/{room_id}", status_code=204)
async def delete_room(room: OwnedRoom, service: ServiceDep, session: DBSession, afterwards: Afterwards) -> None:
    """Delete a room; for its owner. Who is connected to it is sent away."""
    await rooms.remove(session, room)
    reason = "This room was deleted by its owner."
    afterwards.append(partial(service.hub.end_all, reason, CLOSE_REVOKED, room=room.id))


@router.get("/{room_id}/workers")
async def list_workers(seat: OpenSeat, service: ServiceDep) -> list[WorkerPresence]:
    """List the workers connected to a room, for its members."""
    return await service.hub.workers(seat.room.id)


def _described(service: Service, seat: Seat, online: int) -> dict[str, Any]:
    room = seat.room
    return {
        "room_id": room.id,
        "name": room.name,
        "role": seat.role,
        "created_at": room.created_at,
        "expires_at": room.expires_at,
        "expires_soon": ends_soon(room.expires_at, now=service.clock()),
        "members": seat.members,
        "workers_online": online,
    }
