"""``/api/v1/ws``: the handshake, where a credential becomes a principal."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, WebSocket

from signaling_server.counts import REFUSED
from signaling_server.deps import RESTARTING, Service, client_address
from signaling_server.errors import error_response, status_of
from signaling_server.lifetimes import DAY_MS
from signaling_server.rooms import service as rooms
from signaling_server.security import hash_token, token_kind
from signaling_server.signaling.admission import Admission, admit, admit_ticket, ended
from signaling_server.signaling.connection import Connection
from signaling_server.signaling.handshake import check_handshake, shown_credential
from signaling_server.signaling.members import Member
from signaling_server.signaling.outbox import Outbox
from signaling_server.signaling.renewal import renewing
from signaling_server.signaling.routing import Router
from sleap_rtc.errors import SleapRTCError, UnreachableError
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.protocol.signaling import CLOSE_REVOKED, SUBPROTOCOL, Principal, Welcome

router = APIRouter()


async def websocket(websocket: WebSocket) -> None:
    """Where peers meet."""
    service: Service = websocket.app.state.service
    peers: Router = websocket.app.state.router
    try:
        async with _admitted(websocket, service, peers) as (member, admission):
            await websocket.accept(subprotocol=SUBPROTOCOL)
            websocket.scope["headers"].clear()  # nobody asks again, and thousands stay for days

            def servers() -> list[IceServer]:
                return service.relays.servers(member.principal, guest=admission.guest, now=service.clock())

            member.send(
                Welcome(
                    principal=member.principal,
                    nonce=member.nonce.hex(),
                    ice_servers=servers(),
                    room_name=admission.room_name,
                    ends_in=None if admission.ends_at is None else (admission.ends_at - service.clock()) // 1000,
                )
            )
            with renewing(member, servers, service.relays.renewed_after(guest=admission.guest)):
                await Connection(websocket, member, peers, service.settings.limits, service.counts).run()
    except _Refused as refused:
        service.counts.add(REFUSED, status=status_of(refused.error))
        await websocket.send_denial_response(error_response(refused.error))


# plain: FastAPI's own kind of route would keep what it needs to find a route's parameters, for as long as a peer stays
router.add_websocket_route("/ws", websocket)


class _Refused(Exception):  # noqa: N818 - a way out of the handshake, not an error anyone sees
    def __init__(self, error: SleapRTCError) -> None:
        super().__init__(error.sentence)
        self.error = error


@asynccontextmanager
async def _admitted(websocket: WebSocket, service: Service, peers: Router) -> AsyncIterator[tuple[Member, Admission]]:
    try:
        if service.stopping:
            raise UnreachableError(RESTARTING)
        check_handshake(websocket)
        member, admission = await _recognise(websocket, service)
        await service.hub.join(member)
    except SleapRTCError as error:
        raise _Refused(error) from error
    try:
        # a revocation between the look at the credential and the join has found nobody to send away
        try:
            await end_if_ended(service, member)
        except SleapRTCError as error:
            raise _Refused(error) from error
        yield member, admission
    finally:
        await peers.leave(member)


async def _recognise(websocket: WebSocket, service: Service) -> tuple[Member, Admission]:
    admission = await _admission(service, shown_credential(websocket), websocket.query_params.get("room"))
    websocket.state.actor = admission.user
    presence = service.hub.new_presence()
    principal = Principal(
        user=admission.user,
        name=admission.name,
        role=admission.role,
        room=admission.room_id,
        session=presence,
        owner=admission.owner,
        credential=admission.token_id,
    )
    member = Member(
        presence=presence,
        principal=principal,
        token_id=admission.token_id,
        address=client_address(websocket),
        nonce=secrets.token_bytes(32),
        outbox=Outbox(service.settings.limits.queue),
    )
    return member, admission


async def _admission(service: Service, text: str, room_id: str | None) -> Admission:
    now = service.clock()
    kind = token_kind(text)
    if kind == "ticket":
        ticket = await service.tickets.take(hash_token(service.pepper, text), now=now)
        return await service.database.read_first(
            lambda session: admit_ticket(session, ticket, room_id=room_id, now=now)
        )
    terms = service.browser_terms if kind == "cookie" else service.terms
    idle_ms = int(service.settings.idle_room_days * DAY_MS)
    return await service.database.read_first(
        lambda session: admit(session, service.pepper, text, room_id=room_id, now=now, idle_ms=idle_ms, terms=terms)
    )


async def end_if_ended(service: Service, member: Member) -> None:
    """Send `member` away if what lets it in has ended by now, and stamp it anew if its room was handed over."""
    async with service.database.reading() as session:
        reasons = await ended(session, [member.holder], now=service.clock())
        owners = await rooms.owners(session, [member.principal.room])
    await service.hub.end(reasons, CLOSE_REVOKED)
    await service.hub.here.set_owners(owners)
