"""What workers tell of their jobs and models: stored, shown, forgotten. Functions take the database session first."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Select, delete, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.limit_settings import Limits
from signaling_server.models import JobSummary, Room, RoomModel
from sleap_rtc.errors import UsageError
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.labels import Label
from sleap_rtc.protocol.reports import JobReport, ModelFacts, ModelReport

LONGEST_TIME = 16
"""Digits of a time, in UTC milliseconds."""
ENDED = tuple(str(state) for state in JobState if state.ended)


@dataclass(frozen=True)
class Source:
    """The worker that tells: its proven id, and the room of its credential."""

    room_id: str
    worker_id: str
    worker_name: str


class ModelKey(NamedTuple):
    """What tells the models of one worker apart."""

    name: str
    version: str


class HeldFacts(ModelFacts):
    """What is kept of a model beside its columns.

    Attributes:
        worker_name: what the worker that holds it was called when it told.
    """

    worker_name: Label


@dataclass(frozen=True)
class Counts:
    """How many jobs and models of a room are known."""

    jobs: int
    models: int


async def is_kept(session: AsyncSession, room_id: str) -> bool:
    """Whether anything is stored of this room: to one behind a session string nobody belongs who could read it."""
    return await session.scalar(select(Room.kind).where(Room.id == room_id)) == "room"


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


async def store_models(
    session: AsyncSession,
    source: Source,
    reports: Sequence[ModelReport],
    listed: set[ModelKey],
    *,
    now: int,
    limits: Limits,
) -> int:
    """Store models that a worker holds, as many as there is space for.

    Args:
        session: the database session.
        source: who holds them.
        reports: which ones.
        listed: those of the same list that came before; these are added.
        now: the time.
        limits: how many there may be.

    Returns:
        How many are stored.
    """
    rows = {ModelKey(row.name, row.version): row for row in await session.scalars(_models_of(source))}
    others = await _count(session, RoomModel, source.room_id) - len(rows)
    most = min(limits.models_per_worker, limits.models_per_room - others)
    stored = 0
    for key, report in {ModelKey(each.name, each.version): each for each in reports}.items():
        if key not in rows and len(rows) >= most:
            # what an earlier list named may be gone by now: it gives way to what is there for certain
            stale = next((each for each in rows if each not in listed), None)
            if stale is None:
                continue
            await session.delete(rows.pop(stale))
        row = rows.get(key)
        if row is None:
            row = rows[key] = RoomModel(
                room_id=source.room_id, worker_id=source.worker_id, name=key.name, version=key.version
            )
            session.add(row)
        _write_model(row, source, report, now)
        listed.add(key)
        stored += 1
    await session.flush()
    return stored


async def drop_models(session: AsyncSession, source: Source, *, but: Collection[ModelKey]) -> None:
    """Forget the models that a worker holds no longer: all but these."""
    for row in await session.scalars(_models_of(source)):
        if ModelKey(row.name, row.version) not in but:
            await session.delete(row)
    await session.flush()


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
        query = query.where(tuple_(*order) < tuple_(*_place(before, 2)))
    return list(await session.scalars(query.order_by(*(each.desc() for each in order)).limit(limit)))


async def models(session: AsyncSession, room_id: str, *, before: str | None, limit: int) -> list[RoomModel]:
    """Models of a room, the newest first; see `jobs`."""
    query = select(RoomModel).where(RoomModel.room_id == room_id)
    order = (RoomModel.created_at, RoomModel.worker_id, RoomModel.version, RoomModel.name)
    if before is not None:
        query = query.where(tuple_(*order) < tuple_(*_place(before, 4)))
    return list(await session.scalars(query.order_by(*(each.desc() for each in order)).limit(limit)))


def job_place(row: JobSummary) -> str:
    """Where a list of jobs goes on after this one."""
    return f"{row.created_at}:{row.job_id}"


def model_place(row: RoomModel) -> str:
    """Where a list of models goes on after this one."""
    return f"{row.created_at}:{row.worker_id}:{row.version}:{row.name}"


async def counts(session: AsyncSession, room_id: str) -> Counts:
    """How many jobs and models of a room are known."""
    return Counts(await _count(session, JobSummary, room_id), await _count(session, RoomModel, room_id))


async def forget_old(session: AsyncSession, *, now: int, keep_ms: int) -> None:
    """Delete jobs and models of which no worker has told for `keep_ms`."""
    for table in (JobSummary, RoomModel):
        await session.execute(delete(table).where(table.updated_at < now - keep_ms))


async def _give_way(session: AsyncSession, room_id: str, new: Sequence[str], *, limit: int) -> set[str]:
    """Delete what a room has beyond `limit`: the oldest jobs that are over; if too few are, the first of `new`."""
    excess = await _count(session, JobSummary, room_id) - limit
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


def _write_model(row: RoomModel, source: Source, report: ModelReport, now: int) -> None:
    row.digest = report.digest
    row.size = report.size
    row.job_id = report.job or ""
    row.created_at = min(report.made, now)
    row.updated_at = now
    row.facts = HeldFacts(**dict(report.facts), worker_name=source.worker_name).model_dump_json()


def _models_of(source: Source) -> Select[RoomModel]:
    return select(RoomModel).where(RoomModel.room_id == source.room_id, RoomModel.worker_id == source.worker_id)


async def _count(session: AsyncSession, table: type[JobSummary] | type[RoomModel], room_id: str) -> int:
    return await session.scalar(select(func.count()).select_from(table).where(table.room_id == room_id)) or 0


def _place(text: str, parts: int) -> tuple[int | str, ...]:
    created, *others = text.split(":", parts - 1)
    good = len(others) == parts - 1 and created.isascii() and created.isdigit() and len(created) <= LONGEST_TIME
    if not good or not text.isprintable():
        raise UsageError("A list goes on where its last page said: take 'next' of that answer as 'before'.")
    return int(created), *others
