"""Which models the workers of a room have: stored as they tell, forgotten with them. Session first, as everywhere."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.limit_settings import Limits
from signaling_server.models import ModelHolding, RoomModel, RoomModelVersion
from signaling_server.registry.source import Source, lock
from sleap_rtc.protocol.reports import ModelReport


class ModelKey(NamedTuple):
    """What tells the holdings of one worker apart."""

    digest: str
    format: str


@dataclass(frozen=True)
class Told:
    """What became of a report: how many models are stored, and the digests of those that the room has deleted."""

    stored: int
    unwanted: tuple[str, ...]


async def store_models(
    session: AsyncSession,
    source: Source,
    reports: Sequence[ModelReport],
    listed: set[ModelKey],
    *,
    now: int,
    limits: Limits,
) -> Told:
    """Store models that a worker has, as many as there is space for.

    Args:
        session: the database session.
        source: who has them.
        reports: which ones.
        listed: those of the same list that came before; these are added.
        now: the time.
        limits: how many there may be.
    """
    await lock(session, source.room_id)  # a model that is deleted at the same time must not stay held
    told = {ModelKey(each.digest, each.format): each for each in reports}
    models = await _models(session, source.room_id, {bundle_of(each) for each in told.values()})
    deleted = {digest for digest, model in models.items() if model.deleted_at is not None}
    wanted = {key: each for key, each in told.items() if bundle_of(each) not in deleted}
    rows = {ModelKey(row.digest, row.format): row for row in await session.scalars(_holdings_of(source))}
    most = min(limits.models_per_worker, limits.models_per_room - await _held_by_others(session, source))
    taken = await _make_space(session, rows, wanted, listed, most)
    for key in taken:
        if key not in rows:
            rows[key] = _new_holding(session, source, key, now)
        _write_holding(rows[key], source, wanted[key], now)
        _describe(session, models, source.room_id, wanted[key], now)
    listed.update(taken)
    await session.flush()
    await forget_unused(session, RoomModel.room_id == source.room_id)
    return Told(len(taken), tuple({each.digest for key, each in told.items() if key not in wanted}))


async def drop_models(session: AsyncSession, source: Source, *, but: Collection[ModelKey]) -> None:
    """Forget the models that a worker holds no longer: all but these."""
    await lock(session, source.room_id)
    for row in await session.scalars(_holdings_of(source)):
        if ModelKey(row.digest, row.format) not in but:
            await session.delete(row)
    await session.flush()
    await forget_unused(session, RoomModel.room_id == source.room_id)


async def holds(session: AsyncSession, source: Source, digest: str) -> bool:
    """Whether a worker has told that it has this model, in whatever format."""
    query = _holdings_of(source).where(ModelHolding.source == digest).limit(1)
    return await session.scalar(query) is not None


async def count(session: AsyncSession, room_id: str) -> int:
    """How many models a room has."""
    query = select(func.count()).select_from(RoomModel)
    return await session.scalar(query.where(RoomModel.room_id == room_id, RoomModel.deleted_at.is_(None))) or 0


async def forget_old(session: AsyncSession, *, now: int, keep_ms: int) -> None:
    """Forget what no worker has told of for `keep_ms`; what has a name stays known."""
    await session.execute(delete(ModelHolding).where(ModelHolding.updated_at < now - keep_ms))
    await forget_unused(session)


async def forget_unused(session: AsyncSession, *only: ColumnElement[bool]) -> None:
    """Forget models that nobody has and no name means."""
    same = and_(ModelHolding.room_id == RoomModel.room_id, ModelHolding.source == RoomModel.digest)
    named = and_(RoomModelVersion.room_id == RoomModel.room_id, RoomModelVersion.digest == RoomModel.digest)
    unused = delete(RoomModel).where(RoomModel.deleted_at.is_(None), *only)
    unused = unused.where(~exists().where(same), ~exists().where(named))
    await session.execute(unused.execution_options(synchronize_session=False))


def bundle_of(report: ModelReport) -> str:
    """The digest of the bundle that a report is about: its own, or of the one that these files were made from."""
    return report.source or report.digest


async def _make_space(
    session: AsyncSession,
    rows: dict[ModelKey, ModelHolding],
    wanted: Collection[ModelKey],
    listed: Collection[ModelKey],
    most: int,
) -> list[ModelKey]:
    """Which of `wanted` there is space for; what an earlier list named gives way, as it may be gone by now."""
    taken: list[ModelKey] = []
    there = set(rows)
    for key in wanted:
        if key not in there and len(there) >= most:
            stale = next((each for each in rows if each not in listed and each not in wanted), None)
            if stale is None:
                continue
            there.discard(stale)
            await session.delete(rows.pop(stale))
        there.add(key)
        taken.append(key)
    return taken


def _new_holding(session: AsyncSession, source: Source, key: ModelKey, now: int) -> ModelHolding:
    row = ModelHolding(
        room_id=source.room_id, worker_id=source.worker_id, digest=key.digest, format=key.format, created_at=now
    )
    session.add(row)
    return row


def _write_holding(row: ModelHolding, source: Source, report: ModelReport, now: int) -> None:
    row.worker_name = source.worker_name
    row.source = bundle_of(report)
    row.size = report.size
    row.updated_at = now


def _describe(session: AsyncSession, models: dict[str, RoomModel], room_id: str, report: ModelReport, now: int) -> None:
    """Keep what is said of a bundle. It is kept as it was said first: the files of a digest never change."""
    model = models.get(bundle_of(report))
    if model is not None:
        model.updated_at = now
    elif bundle_of(report) == report.digest:
        models[report.digest] = RoomModel(
            room_id=room_id,
            digest=report.digest,
            title=report.title,
            size=report.size,
            job_id=report.job or "",
            user_id=report.user or "",
            # a worker whose clock is wrong, or that lies, must not stay the newest for ever
            created_at=min(report.made, now),
            updated_at=now,
            facts=report.facts.model_dump_json(),
        )
        session.add(models[report.digest])


async def _models(session: AsyncSession, room_id: str, digests: Collection[str]) -> dict[str, RoomModel]:
    query = select(RoomModel).where(RoomModel.room_id == room_id, RoomModel.digest.in_(digests))
    return {row.digest: row for row in await session.scalars(query)}


def _holdings_of(source: Source) -> Select[ModelHolding]:
    return select(ModelHolding).where(
        ModelHolding.room_id == source.room_id, ModelHolding.worker_id == source.worker_id
    )


async def _held_by_others(session: AsyncSession, source: Source) -> int:
    query = select(func.count()).select_from(ModelHolding)
    others = (ModelHolding.room_id == source.room_id, ModelHolding.worker_id != source.worker_id)
    return await session.scalar(query.where(*others)) or 0
