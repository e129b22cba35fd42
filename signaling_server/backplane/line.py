"""The one connection on which a process speaks to Redis: commands in the order they came, many in one go."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from sleap_rtc.errors import UnreachableError

if TYPE_CHECKING:
    from redis.asyncio import Redis

logger = logging.getLogger(__name__)

AWAY = (
    "The service cannot reach its other processes just now. What is connected stays so; try again in a moment. "
    "If it lasts, its operator should look at Redis."
)
ANSWER_WITHIN = 2.0
"""Seconds that Redis has to answer; one that is paused or behind a dead network is away."""
AT_ONCE = 256
"""Commands sent together."""
MOST_WAITING = 20_000
"""Commands that may wait to be sent; a Redis that is so far behind is as good as away."""

Command = tuple[str | bytes | int, ...]
_Waiting = tuple[Command, asyncio.Future[Any] | None]


def connect(url: str) -> "Redis":
    """A client for `url` that never does anything twice.

    Args:
        url: as redis-py takes it: ``redis://``, ``rediss://`` or ``unix://``.
    """
    # imported only where there are several processes: one needs no Redis, and starts faster without
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    return Redis.from_url(
        url,
        # a command that was sent again might have been done: an offer would arrive twice
        retry=Retry(NoBackoff(), 0),
        socket_timeout=ANSWER_WITHIN,
        socket_connect_timeout=ANSWER_WITHIN,
        protocol=2,
    )


def shown(url: str) -> str:
    """What of `url` may be shown: no user, and no password."""
    parts = urlsplit(url)
    host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
    return f"{parts.scheme}://{host}{parts.path}"


class Line:
    """Sends commands in order and hands their answers back.

    Args:
        client: the connection; nobody else may use it.

    Attributes:
        away: whether Redis did not answer the last time, or refused a `probe`; then nothing is tried but that.
        missed: whether something that should be in Redis may not be there.
    """

    def __init__(self, client: "Redis") -> None:
        self._client = client
        self._waiting: deque[_Waiting] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self.away = False
        self.missed = False

    async def ask(self, *command: str | bytes | int) -> Any:
        """Do a command and return its answer, after all that were asked or told before it.

        Raises:
            UnreachableError: if Redis does not answer, or refuses.
        """
        if self.away or len(self._waiting) >= MOST_WAITING:
            self.missed = True
            raise UnreachableError(AWAY)
        return await self._queue(command)

    async def probe(self, *command: str | bytes | int) -> Any:
        """The same, also while Redis is away: to find out whether it is back.

        One that answers and refuses this, as it is full or may only be read, is of no use either, and so away.

        Raises:
            UnreachableError: as `ask` does.
        """
        try:
            answer = await self._queue(command)
        except UnreachableError:
            self.away = self.missed = True
            raise
        if self.away:
            logger.warning("Redis answers again")
        self.away = False
        return answer

    def tell(self, *command: str | bytes | int) -> None:
        """Do a command whose answer nobody waits for; if it cannot be done, that is noted as missed."""
        if self.away or len(self._waiting) >= MOST_WAITING:
            self.missed = True
            return
        self._waiting.append((_encoded(command), None))
        self._news.set()

    async def run(self) -> NoReturn:
        """Send for ever what comes."""
        while True:
            if not self._waiting:
                self._idle.set()
                self._news.clear()
                await self._news.wait()
                self._idle.clear()
            await self._send()

    async def flush(self) -> None:
        """Return once everything was sent that was asked or told."""
        if self._waiting:
            self._idle.clear()
        await self._idle.wait()

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    def _queue(self, command: Command) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((_encoded(command), future))
        self._news.set()
        return future

    async def _send(self) -> None:
        from redis.exceptions import RedisError

        batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for command, _ in batch:
                    pipeline.execute_command(*command)
                answers: Sequence[Any] = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            self._lost(batch, error)
            return
        except Exception as error:
            logger.exception("commands could not be sent to Redis")
            self._lost(batch, error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            self._settle(future, answer)

    def _settle(self, future: asyncio.Future[Any] | None, answer: Any) -> None:
        if isinstance(answer, Exception):  # one command that it refuses: full, read-only, or not ours to do
            if not self.away:  # else it has been said
                logger.error("Redis refused: %s", answer)
            self.missed = True
            if future is not None and not future.done():
                future.set_exception(UnreachableError(AWAY))
        elif future is not None and not future.done():
            future.set_result(answer)

    def _lost(self, batch: Sequence[_Waiting], error: Exception) -> None:
        if not self.away:
            logger.error("Redis does not answer: %s", error)
        # which of them were done nobody knows: what a process has there is told again when it is back
        self.away = self.missed = True
        for _, future in [*batch, *self._waiting]:
            if future is not None and not future.done():
                future.set_exception(UnreachableError(AWAY))
        self._waiting.clear()


def _encoded(command: Command) -> Command:
    # names that strangers chose are among them: a text that is none must not come up in the middle of others' commands
    name, *rest = command
    return (name, *(each.encode(errors="surrogatepass") if isinstance(each, str) else each for each in rest))
