"""``/api/v1/rooms/{room_id}/log``: what was done in a room, for its owner."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from signaling_server.audit import service as audit
from signaling_server.deps import ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.rooms.permits import OwnerSeat

MAX_PAGE = 200
router = APIRouter(prefix="/rooms/{room_id}/log", tags=["rooms"], route_class=StrictRoute)


class EventOut(BaseModel):
    """A line of a room's log; names are those of the time."""

    event_id: int
    at: int
    actor_id: str
    actor: str
    action: audit.Action
    subject: str
    detail: str


class LogOut(BaseModel):
    """A page of a room's log, the newest line first; where `more` follow, ask again `before` the last id."""

    events: list[EventOut]
    more: bool


@router.get("")
async def show_log(
    seat: OwnerSeat,
    service: ServiceDep,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> LogOut:
    """Tell what was done in the room."""
    async with service.database.reading() as session:
        events, more = await audit.page(session, seat.room, before=before, limit=limit)
    shown = [
        EventOut(
            event_id=event.id,
            at=event.at,
            actor_id=event.actor,
            actor=event.actor_name,
            action=audit.Action(event.action),
            subject=event.subject,
            detail=event.detail,
        )
        for event in events
    ]
    return LogOut(events=shown, more=more)
