"""Models that go from a room, with their last name or without one. Session first; who calls has locked the room."""

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.audit import service as audit
from signaling_server.audit.service import Action
from signaling_server.limit_settings import Limits
from signaling_server.models import ModelAlias, ModelHolding, RoomModel, User
from signaling_server.registry.naming import NO_SUCH_MODEL, checked_model, checked_version, names_of, ref_of
from signaling_server.rooms.service import Seat
from signaling_server.wording import shown
from sleap_rtc.errors import ConflictError, ForbiddenError, NotFoundError


@dataclass(frozen=True)
class Deleted:
    """A model that was deleted from a room, and the workers that have to remove it."""

    room_id: str
    digest: str
    worker_ids: frozenset[str]


async def delete_version(
    session: AsyncSession, seat: Seat, name: str, version: int, *, by: User, now: int, limits: Limits
) -> Deleted | None:
    """Delete a version. Its number is never given again; the model goes, too, unless it has another name.

    Returns:
        What was deleted of the model; None if it stays.

    Raises:
        NotFoundError: if there is no such version.
        ForbiddenError: if somebody else made the model and owns the room.
        ConflictError: if an alias points to it.
    """
    row = await checked_version(session, seat.room.id, name, version)
    model = await checked_model(session, seat.room, row.digest)
    _check_may_delete(seat, model, by)
    aliases = select(ModelAlias.alias).where(
        ModelAlias.room_id == seat.room.id, ModelAlias.name == name, ModelAlias.version == version
    )
    pointing = list(await session.scalars(aliases.order_by(ModelAlias.alias).limit(3)))
    if pointing:
        raise ConflictError(
            f"{ref_of(name, version)} is {ref_of(name, pointing[0])}. Let that point elsewhere first, or take it away: "
            f"sleap-rtc models promote {name} {pointing[0]} --remove"
        )
    await session.delete(row)
    await session.flush()
    audit.record(session, seat.room, Action.MODEL_DELETED, by=by, now=now, subject=ref_of(name, version))
    if await names_of(session, seat.room, row.digest):
        return None
    return await _delete(session, model, now=now, limits=limits)


async def delete_unnamed(
    session: AsyncSession, seat: Seat, digest: str, *, by: User, now: int, limits: Limits
) -> Deleted:
    """Delete a model that has no name.

    Returns:
        What was deleted.

    Raises:
        NotFoundError: if the room does not know it.
        ForbiddenError: if somebody else made it and owns the room.
        ConflictError: if it has a name.
    """
    model = await session.get(RoomModel, (seat.room.id, digest))
    if model is None or model.deleted_at is not None:
        raise NotFoundError(NO_SUCH_MODEL)
    _check_may_delete(seat, model, by)
    names = await names_of(session, seat.room, digest)
    if names:
        raise ConflictError(f"The model is {names[0]}. Delete it by that name: sleap-rtc models delete {names[0]}")
    subject = model.job_id or digest[:12]
    audit.record(session, seat.room, Action.MODEL_DELETED, by=by, now=now, subject=subject, detail=model.title)
    return await _delete(session, model, now=now, limits=limits)


def _check_may_delete(seat: Seat, model: RoomModel, user: User) -> None:
    if seat.role != "owner" and model.user_id != user.id:
        raise ForbiddenError(
            f"Only who trained or pushed a model, and the owner of the room {shown(seat.room.name)}, may delete it. "
            "Ask them."
        )


async def _delete(session: AsyncSession, model: RoomModel, *, now: int, limits: Limits) -> Deleted:
    held = (ModelHolding.room_id == model.room_id, ModelHolding.source == model.digest)
    gone_from = await session.scalars(delete(ModelHolding).where(*held).returning(ModelHolding.worker_id))
    deleted = Deleted(model.room_id, model.digest, frozenset(gone_from))
    model.deleted_at = now
    await session.flush()
    # the newest deletions are remembered, so that workers that come back do not bring the models back
    gone = select(RoomModel.digest).where(RoomModel.room_id == model.room_id, RoomModel.deleted_at.is_not(None))
    gone = gone.order_by(RoomModel.deleted_at.desc(), RoomModel.digest).offset(limits.deleted_models_per_room)
    too_many = list(await session.scalars(gone.limit(limits.deleted_models_per_room)))
    await session.execute(delete(RoomModel).where(RoomModel.room_id == model.room_id, RoomModel.digest.in_(too_many)))
    return deleted
