"""What routes ask for: the service's parts, and a database session that is committed before the answer goes out."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import HTTPConnection

from signaling_server.db import Database
from signaling_server.limits import WindowLimiter
from signaling_server.settings import Settings
from signaling_server.signaling.hub import Hub


def utc_ms() -> int:
    """The time in UTC milliseconds."""
    return time.time_ns() // 1_000_000


@dataclass
class Service:
    """The parts of one running service.

    Attributes:
        settings: what the operator set.
        database: where rooms and tokens are.
        pepper: the key tokens are hashed under.
        hub: who is connected.
        room_limiter: counts anonymous rooms by address.
        clock: UTC milliseconds; tests put theirs here.
    """

    settings: Settings
    database: Database
    pepper: bytes
    hub: Hub
    room_limiter: WindowLimiter
    clock: Callable[[], int] = field(default=utc_ms)


def get_service(connection: HTTPConnection) -> Service:
    """The service this request reached."""
    service: Service = connection.app.state.service
    return service


async def _db_session(service: Annotated[Service, Depends(get_service)]) -> AsyncIterator[AsyncSession]:
    async with service.database.transaction() as session:
        yield session


ServiceDep = Annotated[Service, Depends(get_service)]
# scope="function": what follows the yield runs before the answer, so a failed commit is never a 200
DBSession = Annotated[AsyncSession, Depends(_db_session, scope="function")]


def client_address(connection: HTTPConnection) -> str:
    """The address a request came from; proxies are believed only where settings say so."""
    return connection.client.host if connection.client else "unknown"


ClientAddress = Annotated[str, Depends(client_address)]
