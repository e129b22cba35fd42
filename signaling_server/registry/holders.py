"""Which workers told of a model. Functions take the database session first."""

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import ModelHolding, RoomModel


async def holders(session: AsyncSession, room_id: str, digest: str) -> frozenset[str]:
    """The ids of the workers of a room that hold the files of this digest, online or not.

    Nobody holds what the room has deleted, also where a worker has not heard of that yet.
    """
    whole = and_(RoomModel.room_id == ModelHolding.room_id, RoomModel.digest == ModelHolding.source)
    query = select(ModelHolding.worker_id).join(RoomModel, whole)
    query = query.where(ModelHolding.room_id == room_id, ModelHolding.digest == digest, RoomModel.deleted_at.is_(None))
    return frozenset(await session.scalars(query))
