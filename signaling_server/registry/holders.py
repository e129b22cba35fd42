"""Which workers told of a model. Functions take the database session first."""

from sqlalchemy import and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import ModelHolding, RoomModel, RoomModelVersion


async def holders(session: AsyncSession, room_id: str, digest: str) -> frozenset[str]:
    """The ids of the workers of a room that hold the files of this digest, online or not.

    Nobody holds what the room has deleted, also where a worker has not heard of that yet.
    """
    whole = and_(RoomModel.room_id == ModelHolding.room_id, RoomModel.digest == ModelHolding.source)
    query = select(ModelHolding.worker_id).join(RoomModel, whole)
    query = query.where(ModelHolding.room_id == room_id, ModelHolding.digest == digest, RoomModel.deleted_at.is_(None))
    return frozenset(await session.scalars(query))


async def is_named(session: AsyncSession, room_id: str, digest: str) -> bool:
    """Whether the room has a name for the bundle of this digest, or for the one that it was exported from."""
    of_source = select(ModelHolding.source).where(ModelHolding.room_id == room_id, ModelHolding.digest == digest)
    named = or_(RoomModelVersion.digest == digest, RoomModelVersion.digest.in_(of_source))
    query = select(RoomModelVersion.version).where(RoomModelVersion.room_id == room_id, named).limit(1)
    return await session.scalar(query) is not None
