"""People who are logged in to a service under test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from signaling_server.models import Membership
from sleap_rtc.signaling.api import NewToken, Room, ServiceAPI
from tests.service.running import RunningService, running_service

HOUR = 3_600_000
DAY = 24 * HOUR


@dataclass(frozen=True)
class Person:
    """Somebody with a login."""

    user_id: str
    token: str
    login_id: str
    api: ServiceAPI

    async def room(self, name: str = "lab", expires_days: int | None = 30) -> Room:
        return await self.api.create_room(name, expires_days)

    async def worker_token(self, room: Room, name: str = "gpu-1", expires_days: int | None = 7) -> NewToken:
        return await self.api.create_token(room.room_id, name, expires_days)


class Clock:
    """The service's clock, moved by hand."""

    def __init__(self, service: RunningService) -> None:
        self.now = service.service.clock()
        service.service.clock = lambda: self.now


@asynccontextmanager
async def dev_service(tmp_path: Path, **settings: Any) -> AsyncIterator[RunningService]:
    """A service where anybody logs in by name."""
    async with running_service(tmp_path, dev=True, **settings) as service:
        yield service


async def person(service: RunningService, name: str) -> Person:
    grant = await ServiceAPI(service.url).login_dev(name)
    return Person(grant.user_id, grant.access_token, grant.login_id, ServiceAPI(service.url, grant.access_token))


async def join(service: RunningService, somebody: Person, room: Room) -> None:
    """Make somebody a member of a room."""
    async with service.service.database.transaction() as session:
        now = service.service.clock()
        session.add(Membership(room_id=room.room_id, user_id=somebody.user_id, role="member", created_at=now))


async def leave(service: RunningService, somebody: Person, room: Room) -> None:
    """Take somebody's membership away."""
    async with service.service.database.transaction() as session:
        await session.execute(
            delete(Membership).where(Membership.room_id == room.room_id, Membership.user_id == somebody.user_id)
        )
