"""``/metrics``: what the service holds and does, as plain text for Prometheus. Of all its processes together.

For callers on this machine, and for those that show the ``metrics_token``.
"""

import hmac
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException

from signaling_server.counts import CLOSES, DATABASE_ERRORS, OFFERS, REFUSED, RELAYED, memory
from signaling_server.deps import Service, ServiceDep, from_this_machine
from signaling_server.models import Room, Token
from sleap_rtc.errors import UnreachableError

router = APIRouter()
_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
_KINDS = ("anonymous", "room")
_COUNTERS = {
    OFFERS: "Offers passed to a worker.",
    RELAYED: "Messages of one peer passed to another, offers among them.",
    REFUSED: "WebSocket handshakes refused, by status.",
    CLOSES: "WebSockets that ended, by code; 1006 means without one.",
    DATABASE_ERRORS: "Times the database was busy, full or away.",
}


@dataclass(frozen=True)
class _Metric:
    name: str
    kind: str
    help: str
    values: Mapping[str, float]

    def lines(self) -> Iterator[str]:
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} {self.kind}"
        for labels, value in self.values.items():
            yield f"{self.name}{labels} {value}"


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, service: ServiceDep) -> PlainTextResponse:
    """Count what the service holds and does."""
    if not (from_this_machine(request) or _may_scrape(request, service)):
        raise HTTPException(404)
    async with service.database.reading() as session:
        stored = await _stored(session, now=service.clock())
    all_metrics = [*stored, *await _connected(service), *await _counted(service), *_processes(service)]
    text = "\n".join(line for metric in all_metrics for line in metric.lines()) + "\n"
    return PlainTextResponse(text, media_type=_FORMAT)


def _may_scrape(request: Request, service: Service) -> bool:
    token = service.settings.metrics_token
    if token is None:
        return False
    given = request.headers.get("authorization", "").encode()
    return hmac.compare_digest(given, f"Bearer {token.get_secret_value()}".encode())


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


async def _connected(service: Service) -> list[_Metric]:
    totals = await service.hub.totals()
    sockets = {'{role="client"}': totals.clients, '{role="worker"}': totals.workers}
    return [
        _Metric("sleap_rtc_workers_online", "gauge", "Workers that have proven their key.", {"": totals.present}),
        _Metric("sleap_rtc_sockets", "gauge", "Open WebSockets by role.", sockets),
        _Metric("sleap_rtc_processes", "gauge", "Processes of this service that live.", {"": totals.processes}),
    ]


async def _counted(service: Service) -> list[_Metric]:
    counted: Mapping[str, int] = service.counts
    if service.backplane is not None:
        try:
            counted = await service.backplane.lease.counted()
        except UnreachableError:
            return []  # better a gap than numbers that fall and rise again
    return [_Metric(name, "counter", said, _samples(name, counted)) for name, said in _COUNTERS.items()]


def _samples(name: str, counted: Mapping[str, int]) -> dict[str, float]:
    found = {key[len(name) :]: number for key, number in sorted(counted.items()) if key.partition("{")[0] == name}
    return {"": 0, **found} if name not in (REFUSED, CLOSES) else dict(found)


def _processes(service: Service) -> list[_Metric]:
    now, used, since = time.time(), {}, {}
    mine = "" if service.backplane is None else _label(service.backplane.process)
    used[mine], since[mine] = memory(), service.counts.started_at
    if service.backplane is not None:
        for process, told in service.backplane.lease.living.items():
            used[_label(process)], since[_label(process)] = told.memory, told.started_at
    up = {label: round(now - started, 3) for label, started in since.items()}
    return [
        _Metric("sleap_rtc_process_memory_bytes", "gauge", "Memory in use by a process.", used),
        _Metric("sleap_rtc_process_uptime_seconds", "gauge", "Seconds since a process began.", up),
    ]


def _label(process: str) -> str:
    return f'{{process="{process}"}}'
