"""``/api/v1/rooms``."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Response
from pydantic import BaseModel, ConfigDict

from signaling_server.deps import ClientAddress, DBSession, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.rooms import service as rooms
from sleap_rtc.errors import AuthenticationError, BusyError
from sleap_rtc.protocol.signaling import Label

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


def _may_open(service: ServiceDep, address: ClientAddress) -> None:
    if not service.settings.anonymous_rooms:
        raise AuthenticationError(
            "This service opens no rooms for strangers. Ask its operator to allow them, or use another service."
        )
    if not service.room_limiter.allow(address, service.clock()):
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
        lifetime_ms=int(service.settings.session_string_hours * rooms.HOUR_MS),
    )
    response.headers["Cache-Control"] = "no-store"
    return AnonymousRoomOut(**vars(room))
