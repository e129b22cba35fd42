"""What a route may do in a room, as the type of a parameter: a route that names one is reached by nobody else."""

from typing import Annotated

from fastapi import Depends

from signaling_server.deps import CurrentUser, DBSession, ServiceDep
from signaling_server.models import Room
from signaling_server.rooms import service as rooms
from signaling_server.rooms.service import Seat


async def _seat(room_id: str, service: ServiceDep, login: CurrentUser) -> Seat:
    async with service.database.reading() as session:
        return await rooms.seat(session, login.user, room_id)


RoomSeat = Annotated[Seat, Depends(_seat)]
"""A member's room, expired or not. No database session is open: the route may ask who is connected."""


async def _open_seat(seat: RoomSeat, service: ServiceDep) -> Seat:
    rooms.check_open(seat.room, service.clock())
    return seat


async def _owner_seat(seat: RoomSeat) -> Seat:
    rooms.check_owner(seat)
    return seat


OpenSeat = Annotated[Seat, Depends(_open_seat)]
"""A `RoomSeat` in a room that has not expired."""
OwnerSeat = Annotated[Seat, Depends(_owner_seat)]
"""A `RoomSeat` of the owner's, who looks at the room and changes nothing."""


async def _locked_seat(room_id: str, session: DBSession, login: CurrentUser) -> Seat:
    return await rooms.seat(session, login.user, room_id, lock=True)


LockedSeat = Annotated[Seat, Depends(_locked_seat)]
"""A member's room, expired or not, which nobody else changes before this route's session ends."""


async def _owned_room(seat: LockedSeat) -> Room:
    rooms.check_owner(seat)
    return seat.room


OwnedRoom = Annotated[Room, Depends(_owned_room)]
"""The owner's room, to change it; locked like a `LockedSeat`."""


async def _owned_open_room(room: OwnedRoom, service: ServiceDep) -> Room:
    rooms.check_open(room, service.clock())
    return room


OwnedOpenRoom = Annotated[Room, Depends(_owned_open_room)]
"""An `OwnedRoom` that has not expired."""
