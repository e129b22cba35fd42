"""What workers tell of their jobs: stored, shown, forgotten. Functions take the database session first."""

from collections.abc import Collection, Sequence

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import JobSummary
from signaling_server.registry.listed import place_of, read_place
from signaling_server.registry.source import Source
from sleap_rtc.errors import NotFoundError
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.reports import JobReport

ENDED = tuple(str(state) for state in JobState if state.ended)


async def store_jobs(
    session: AsyncSession, source: Source, reports: Sequence[JobReport], *, now: int, limit: int
) -> list[str]:
    """Store how jobs stand, each as it was told last.

    Args:
        session: the database session.
        source: who tells.
        reports: of which jobs.
        now: the time.
        limit: jobs of the room that are kept; beyond it the oldest that are over give way.

    Returns:
        The jobs that are not stored: those that another worker told of, and those for which there is no space.
    """
    told = {report.job: report for report in reports}
    query = select(JobSummary).where(JobSummary.room_id == source.room_id, JobSummary.job_id.in_(told))
    known = {row.job_id: row for row in await session.scalars(query)}
    refused = [job for job, row in known.items() if row.worker_id != source.worker_id]
    for job, report in told.items():
        if job not in refused:
            row = known.get(job)
            if row is None:
                row = JobSummary(room_id=source.room_id, job_id=job, worker_id=source.worker_id)
                session.add(row)
            _write_job(row, source, report, now)
    await session.flush()
    new = sorted(told.keys() - known.keys(), key=lambda job: told[job].submitted, reverse=True)
    gone = await _give_way(session, source.room_id, new, limit=limit)
    return refused + [job for job in told if job in gone]


async def jobs(
    session: AsyncSession, room_id: str, *, states: Collection[JobState], before: str | None, limit: int
) -> list[JobSummary]:
    """Jobs of a room, the newest first.

    Args:
        session: the database session.
        room_id: the room.
        states: only those in one of these; all if empty.
        before: only those after this place, which `job_place` names.
        limit: how many at most.

    Raises:
        UsageError: if `before` names no place.
    """
    query = select(JobSummary).where(JobSummary.room_id == room_id)
    if states:
        query = query.where(JobSummary.state.in_([str(state) for state in states]))
    order = (JobSummary.created_at, JobSummary.job_id)
    if before is not None:
        query = query.where(tuple_(*order) < tuple_(*read_place(before)))
    return list(await session.scalars(query.order_by(*(each.desc() for each in order)).limit(limit)))


async def job(session: AsyncSession, room_id: str, job_id: str) -> JobSummary:
    """One job of a room.

    Raises:
        NotFoundError: if no worker of the room has told of it.
    """
    row = await session.get(JobSummary, (room_id, job_id))
    if row is None:
        raise NotFoundError(
            "The room has no such job. Its worker has not told of it yet, or it was forgotten long after its end."
        )
    return row


def job_place(row: JobSummary) -> str:
    """Where a list of jobs goes on after this one."""
    return place_of(row.created_at, row.job_id)


async def count(session: AsyncSession, room_id: str) -> int:
    """How many jobs of a room are known."""
    query = select(func.count()).select_from(JobSummary)
    return await session.scalar(query.where(JobSummary.room_id == room_id)) or 0


async def forget_old(session: AsyncSession, *, now: int, keep_ms: int) -> None:
    """Delete jobs of which no worker has told for `keep_ms`."""
    await session.execute(delete(JobSummary).where(JobSummary.updated_at < now - keep_ms))


async def _give_way(session: AsyncSession, room_id: str, new: Sequence[str], *, limit: int) -> set[str]:
    """Delete what a room has beyond `limit`: the oldest jobs that are over; if too few are, the first of `new`."""
    excess = await count(session, room_id) - limit
    if excess <= 0:
        return set()
    over = select(JobSummary.job_id).where(JobSummary.room_id == room_id, JobSummary.state.in_(ENDED))
    oldest = over.order_by(JobSummary.created_at, JobSummary.job_id).limit(excess)
    gone = set(await session.scalars(oldest))
    gone.update([job for job in new if job not in gone][: excess - len(gone)])
    await session.execute(delete(JobSummary).where(JobSummary.room_id == room_id, JobSummary.job_id.in_(gone)))
    return gone


def _write_job(row: JobSummary, source: Source, report: JobReport, now: int) -> None:
    row.worker_name = source.worker_name
    row.user_id = report.user
    row.user_name = report.user_name
    row.kind = report.kind
    row.state = str(report.state)
    # a worker whose clock is wrong, or that lies, must not stay the newest for ever
    row.created_at = min(report.submitted, now)
    row.updated_at = now
    row.facts = report.facts.model_dump_json()
