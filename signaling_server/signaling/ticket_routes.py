"""``/api/v1/ws-tickets``: the right to open one WebSocket, for whoever can send no header with it."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from signaling_server.deps import CurrentUser, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.rooms import service as rooms
from signaling_server.security import hash_token
from signaling_server.signaling.tickets import LIFE_MS, Ticket
from sleap_rtc.protocol.tokens import RANDOM_BYTES, make_token

router = APIRouter(tags=["signaling"], route_class=StrictRoute)


class TicketCreate(BaseModel):
    """The room to enter."""

    model_config = ConfigDict(extra="ignore")
    room_id: Annotated[str, StringConstraints(max_length=80)]


class TicketOut(BaseModel):
    """A ticket, shown this once."""

    ticket: str
    expires_at: int


@router.post("/ws-tickets", status_code=201)
async def create_ticket(body: TicketCreate, service: ServiceDep, login: CurrentUser, response: Response) -> TicketOut:
    """Make a ticket for one WebSocket, good for a minute: name it as the subprotocol ``ticket.`` and the ticket."""
    now = service.clock()
    async with service.database.reading() as session:
        seat = await rooms.open_seat(session, login.user, body.room_id, now=now)
    text = make_token("ticket", secrets.token_bytes(RANDOM_BYTES))
    ticket = Ticket(login.id, seat.room.id, now + LIFE_MS)
    await service.tickets.keep(hash_token(service.pepper, text), ticket, now=now)
    response.headers["Cache-Control"] = "no-store"
    return TicketOut(ticket=text, expires_at=ticket.expires_at)
