"""People who are logged in to a service under test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import delete

from signaling_server.models import Membership
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.signaling.address import service_address
from sleap_rtc.signaling.api import AccessGrant, NewToken, Room, ServiceAPI
from sleap_rtc.signaling.grants import Refusal, refresh
from tests.service.running import RunningService, running_service

HOUR = 3_600_000
DAY = 24 * HOUR


class Tokens:
    """The tokens of a login, renewed when the service refuses the old one."""

    def __init__(self, service: RunningService, grant: AccessGrant) -> None:
        self._address = service_address(service.url)
        self.latest = grant

    async def token(self) -> str:
        return self.latest.access_token

    async def renewed(self, refused: str, *, connected: bool) -> str | None:
        if connected:
            return None
        answer = await refresh(self._address, self.latest.refresh_token, Timeouts())
        if isinstance(answer, Refusal):
            return None
        self.latest = answer
        return answer.access_token


@dataclass(frozen=True)
class Person:
    """Somebody with a login.

    Attributes:
        token: their first access token, good for an hour.
        refresh_token: their first refresh token.
        api: the service as they ask it, for as long as their login lasts.
    """

    user_id: str
    token: str
    refresh_token: str
    login_id: str
    api: ServiceAPI
    tokens: Tokens

    async def fresh_token(self) -> str:
        """An access token that is good now."""
        await self.api.me()
        return self.tokens.latest.access_token

    async def room(self, name: str = "lab", expires_days: int | None = 30) -> Room:
        return await self.api.create_room(name, expires_days)

    async def worker_token(self, room: Room, name: str = "gpu-1", expires_days: int | None = 7) -> NewToken:
        return await self.api.create_token(room.room_id, name, expires_days)


class Clock:
    """The service's clock, moved by hand."""

    def __init__(self, service: RunningService) -> None:
        self.now = service.service.clock()
        for each in filter(None, (service, service.twin)):
            each.service.clock = lambda: self.now


@asynccontextmanager
async def dev_service(tmp_path: Path, **settings: Any) -> AsyncIterator[RunningService]:
    """A service where anybody logs in by name."""
    async with running_service(tmp_path, dev=True, **settings) as service:
        yield service


async def person(service: RunningService, name: str) -> Person:
    grant = await ServiceAPI(service.url).login_dev(name)
    tokens = Tokens(service, grant)
    return Person(
        grant.user_id,
        grant.access_token,
        grant.refresh_token,
        grant.login_id,
        ServiceAPI(service.url, tokens),
        tokens,
    )


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


async def room_of_two(
    service: RunningService, member_at: RunningService | None = None
) -> tuple[Person, Person, Room, NewToken]:
    """A room's owner, its other member, the room, and a token for its worker.

    Args:
        service: where the owner and the room are.
        member_at: the process of the service at which the member is, if it is another one.
    """
    owner, member = await person(service, "ada"), await person(member_at or service, "grace")
    room = await owner.room()
    await join(service, member, room)
    return owner, member, room, await owner.worker_token(room)
