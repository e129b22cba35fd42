"""``/metrics``: what the service holds and does, as plain text for Prometheus. For callers on this machine alone."""

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException

from signaling_server.deps import ServiceDep, from_this_machine
from signaling_server.models import Room, Token
from signaling_server.signaling.routing import Router

router = APIRouter()
_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_KINDS = ("anonymous", "room")


@dataclass(frozen=True)
class _Metric:
    name: str
    kind: str
    help: str
    values: dict[str, int]

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.values.items():
            yield f"{self.name}{labels} {value}"


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, service: ServiceDep) -> PlainTextResponse:
    """Count what the service holds and does."""
    if not from_this_machine(request):
        raise HTTPException(404)
    peers: Router = request.app.state.router
    async with service.database.reading() as session:
        stored = await _stored(session, now=service.clock())
    totals = await service.hub.totals()
    sockets = {'{role="client"}': totals.clients, '{role="worker"}': totals.workers}
    all_metrics = [
        *stored,
        _Metric("sleap_rtc_workers_online", "gauge", "Workers that have proven their key.", {"": totals.present}),
        _Metric("sleap_rtc_sockets", "gauge", "Open WebSockets by role.", sockets),
        _Metric("sleap_rtc_offers_routed_total", "counter", "Offers passed to a worker.", {"": peers.offers}),
    ]
    text = "\n".join(line for metric in all_metrics for line in metric.lines()) + "\n"
    return PlainTextResponse(text, media_type=_FORMAT)


async def _stored(session: AsyncSession, *, now: int) -> list[_Metric]:
    open_rooms = or_(Room.expires_at.is_(None), Room.expires_at > now)
    by_kind = await session.execute(select(Room.kind, func.count()).where(open_rooms).group_by(Room.kind))
    rooms = dict.fromkeys(_KINDS, 0) | {row[0]: row[1] for row in by_kind}
    usable = select(func.count()).select_from(Token).join(Token.room).where(open_rooms, Token.kind == "worker")
    usable = usable.where(Token.revoked_at.is_(None), or_(Token.expires_at.is_(None), Token.expires_at > now))
    tokens = await session.scalar(usable) or 0
    return [
        _Metric("sleap_rtc_rooms", "gauge", "Rooms that are open.", {f'{{kind="{k}"}}': n for k, n in rooms.items()}),
        _Metric("sleap_rtc_tokens", "gauge", "Worker tokens that can be used.", {"": tokens}),
    ]
