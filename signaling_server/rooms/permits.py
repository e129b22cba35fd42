"""What a route may do in a room, as the type of a parameter: a route that names one is reached by nobody else."""

from typing import Annotated

from fastapi import Depends

from signaling_server.deps import CurrentUser, DBSession, ServiceDep
from signaling_server.models import Room
from signaling_server.rooms import service as rooms
from signaling_server.rooms.service import Seat


async def _seat(room_id: str, service: ServiceDep, login: CurrentUser) -> Seat:
    async with service.database.transaction() as session:
        return await rooms.seat(session, login.user, room_id)


async def _open_seat(room_id: str, service: ServiceDep, login: CurrentUser) -> Seat:
    async with service.database.transaction() as session:
        return await rooms.open_seat(session, login.user, room_id, now=service.clock())


async def _locked_seat(room_id: str, session: DBSession, login: CurrentUser) -> Seat:
    return await rooms.seat(session, login.user, room_id, lock=True)


LockedSeat = Annotated[Seat, Depends(_locked_seat)]
"""A member's room, which nobody else changes before this route's session ends."""


async def _owned(seat: LockedSeat) -> Room:
    rooms.check_owner(seat)
    return seat.room


OwnedRoom = Annotated[Room, Depends(_owned)]
"""The owner's room, expired or not, locked as that of a `LockedSeat` is."""


async def _owned_open(room: OwnedRoom, service: ServiceDep) -> Room:
    rooms.check_open(room, service.clock())
    return room


RoomSeat = Annotated[Seat, Depends(_seat)]
"""A member's room, expired or not. No database session is open: the route may ask who is connected."""
OpenSeat = Annotated[Seat, Depends(_open_seat)]
"""The same of a room that has not expired."""
OwnedOpenRoom = Annotated[Room, Depends(_owned_open)]
"""The owner's room, if it has not expired."""
