"""Which workers told of a model. Functions take the database session first."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import RoomModel


async def holders(session: AsyncSession, room_id: str, digest: str) -> frozenset[str]:
    """The ids of the workers of a room that hold the bundle of this digest, online or not."""
    query = select(RoomModel.worker_id).where(RoomModel.room_id == room_id, RoomModel.digest == digest)
    return frozenset(await session.scalars(query))
