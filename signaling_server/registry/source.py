"""Who tells, and whether anybody keeps it. Functions take the database session first."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from signaling_server.models import Room


@dataclass(frozen=True)
class Source:
    """The worker that tells: its proven id, and the room of its credential."""

    room_id: str
    worker_id: str
    worker_name: str


async def is_kept(session: AsyncSession, room_id: str) -> bool:
    """Whether anything is stored of this room: to one behind a session string nobody belongs who could read it."""
    return await session.scalar(select(Room.kind).where(Room.id == room_id)) == "room"


async def lock(session: AsyncSession, room_id: str) -> None:
    """Let others wait with what they change in this room until the session ends; before anything is read."""
    await session.execute(select(Room.id).where(Room.id == room_id).with_for_update(key_share=True))
