"""``/api/v1/rooms/{room_id}/jobs``: what workers told of jobs, for the room's members."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from signaling_server.deps import CurrentUser, Service, ServiceDep
from signaling_server.http import StrictRoute
from signaling_server.models import JobSummary
from signaling_server.registry import service as registry
from signaling_server.rooms import service as rooms
from signaling_server.rooms.service import Seat
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.reports import JobFacts

router = APIRouter(prefix="/rooms/{room_id}", tags=["registry"], route_class=StrictRoute)

PAGE = 50
MOST = 200
Limit = Annotated[int, Query(ge=1, le=MOST)]
Before = Annotated[str | None, Query(max_length=320)]
States = Annotated[list[JobState], Query(max_length=len(JobState))]


class JobOut(JobFacts):
    """A job as its worker last told of it; of a job that is not the asker's to act on, how it stands and no more.

    `mine`: whether the asking user submitted it or owns the room. `updated_at`: when the worker told.
    """

    job_id: str
    worker_id: str
    worker_name: str
    worker_online: bool
    user_id: str
    user_name: str
    mine: bool
    kind: str
    state: JobState
    created_at: int
    updated_at: int


class JobPage(BaseModel):
    """Some of a room's jobs, the newest first; `next` is the `before` of the page that follows, null at the end."""

    jobs: list[JobOut]
    next: str | None


@router.get("/jobs")
async def list_jobs(
    room_id: str,
    service: ServiceDep,
    login: CurrentUser,
    state: States = [],  # noqa: B006 - FastAPI's way to say that there may be none
    limit: Limit = PAGE,
    before: Before = None,
) -> JobPage:
    """List the jobs of a room as their workers last told of them, online or not."""
    async with service.database.reading() as session:
        seat = await rooms.seat(session, login.user, room_id)
        rows = await registry.jobs(session, seat.room.id, states=state, before=before, limit=limit + 1)
    online = await _online(service, room_id)
    shown = [_job(row, seat, login.user.id, online) for row in rows[:limit]]
    return JobPage(jobs=shown, next=registry.job_place(rows[limit - 1]) if len(rows) > limit else None)


@router.get("/jobs/{job_id}")
async def show_job(job_id: str, room_id: str, service: ServiceDep, login: CurrentUser) -> JobOut:
    """Show one job of a room as its worker last told of it."""
    async with service.database.reading() as session:
        seat = await rooms.seat(session, login.user, room_id)
        row = await registry.job(session, seat.room.id, job_id)
    return _job(row, seat, login.user.id, await _online(service, room_id))


async def _online(service: Service, room_id: str) -> set[str]:
    return {presence.worker_id for presence in await service.hub.workers(room_id)}


def _job(row: JobSummary, seat: Seat, user_id: str, online: set[str]) -> JobOut:
    mine = row.user_id == user_id or seat.role == "owner"
    facts = JobFacts.model_validate_json(row.facts)
    if not mine:
        facts = facts.model_copy(update={"runs": (), "error": None})
    return JobOut(
        **dict(facts),
        job_id=row.job_id,
        worker_id=row.worker_id,
        worker_name=row.worker_name,
        worker_online=row.worker_id in online,
        user_id=row.user_id,
        user_name=row.user_name,
        mine=mine,
        kind=row.kind,
        state=JobState(row.state),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
