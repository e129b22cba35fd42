"""Two processes of one service, and looking at them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.service.peers import WAIT, Key, Peer
from tests.service.running import RunningService, two_processes

Redis = tuple[str, str]
"""Where it is, and the prefix of a test's own keys."""


@asynccontextmanager
async def pair(folder: Path, redis: Redis, **settings: Any) -> AsyncIterator[tuple[RunningService, RunningService]]:
    async with two_processes(folder, *redis, **settings) as services:
        yield services


async def until(true: Callable[[], Awaitable[bool]], seconds: float = WAIT) -> None:
    """Wait until something is so that another process brings about."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - nothing here is told when it happens
            await asyncio.sleep(0.02)


async def present(client: Peer) -> list[str]:
    """The workers that a client sees; none while its process cannot tell."""
    answer = await client.ask("workers", id=1)
    return [each["worker_id"] for each in answer.get("workers", [])]


def keys_of(redis: Redis) -> Any:
    from redis import Redis as Client

    return Client.from_url(redis[0])


async def sees(client: Peer, *keys: Key) -> bool:
    return set(await present(client)) == {key.worker_id for key in keys}


async def sees_nobody(client: Peer) -> bool:
    return not await present(client)
