"""The other connection to Redis: on it a process hears what the others tell it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

AGAIN_AFTER = 0.5
"""Seconds between two tries to listen."""


class Listener:
    """Takes what is published on some channels, in its order.

    Args:
        client: the connection; nobody else may use it.
        channels: what to listen to.
        hear: takes each text. What it raises ends the service: it must not.

    Attributes:
        listening: set while what is published arrives here.
        gaps: how often something may have been missed, the time before the first ear included.
    """

    def __init__(self, client: "Redis", channels: tuple[str, ...], hear: Callable[[bytes], Awaitable[None]]) -> None:
        self._client = client
        self._channels = channels
        self._hear = hear
        self._reading: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()
        self.gaps = 0

    async def run(self) -> NoReturn:
        """Listen for ever; after an interruption again."""
        while True:
            async with asyncio.TaskGroup() as tasks:
                self._reading = tasks.create_task(self._read())
            self.listening.clear()
            await asyncio.sleep(AGAIN_AFTER)

    def restart(self) -> None:
        """Listen anew: what should have been heard was not."""
        if self._reading is not None:
            self._reading.cancel()

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def _read(self) -> None:
        from redis.exceptions import RedisError

        try:
            async with self._client.pubsub() as pubsub:
                await pubsub.subscribe(*self._channels)
                waiting = len(self._channels)
                while True:
                    message = await pubsub.get_message(timeout=None)
                    if message is None:
                        continue
                    if message["type"] == "message":
                        await self._hear(message["data"])
                    elif message["type"] == "subscribe" and (waiting := waiting - 1) == 0:
                        self.gaps += 1
                        self.listening.set()
        except (RedisError, OSError, TimeoutError) as error:
            if self.listening.is_set():
                logger.error("nothing is heard from Redis any more: %s", error)
