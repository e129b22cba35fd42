"""The parts of one process that has others beside it, put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from signaling_server.backplane.errands import RedisErrands
from signaling_server.backplane.hub import RedisHub
from signaling_server.backplane.keys import Keys, new_tag, process_id
from signaling_server.backplane.late import Latecomers
from signaling_server.backplane.lease import Lease
from signaling_server.backplane.line import ANSWER_WITHIN, Line, connect, shown
from signaling_server.backplane.listener import Listener
from signaling_server.backplane.tickets import RedisTickets
from signaling_server.backplane.windows import RedisWindow
from signaling_server.counts import Counts
from signaling_server.limits import Window
from signaling_server.settings import Settings
from signaling_server.signaling.hub import MemoryHub, Receiver
from signaling_server.signaling.routing import Ended
from sleap_rtc.errors import UnreachableError

_FAREWELL = 2.0
"""Seconds that the last words to Redis may take."""


class Backplane:
    """What this process shares with the others.

    Args:
        url: Redis.
        settings: the prefix and the bounds.
        here: the members of this process.
        receiver: what to do with a message delivered to one.
        counts: what this process counts.
        ended: looks at the rights of those who are connected.

    Attributes:
        hub: who is connected anywhere.
        tickets: those that wait to open a WebSocket.
        errands: what only one process does at a time.
        lease: who else lives.
        latecomers: who is looked at again.
        process: what this process is called.
    """

    def __init__(
        self, url: str, settings: Settings, here: MemoryHub, receiver: Receiver, counts: Counts, ended: Ended
    ) -> None:
        tag = new_tag()
        self.process = process_id(tag)
        self._keys = Keys(settings.redis_prefix)
        self._most_keys = settings.limits.addresses
        self._line = Line(connect(url))
        self.lease = Lease(self._line, self._keys, self.process, counts, here.totals_now)
        self.latecomers = Latecomers(here, ended)
        self.hub = RedisHub(here, tag, receiver, self._line, self._keys, settings.limits, self.lease, self.latecomers)
        channels = (self._keys.inbox(self.process), self._keys.everybody)
        self._listener = self.hub.listener = Listener(connect(url), channels, self.hub.hearing.hear)
        self.tickets = RedisTickets(self._line, self._keys, settings.limits.tickets_per_login)
        self.errands = RedisErrands(self._line, self._keys, self.process)

    def window(self, name: str, limit: int, window_ms: int, alone: Window) -> Window:
        """See `signaling_server.limits.Shared`."""
        return RedisWindow(self._line, self._keys, name, limit, window_ms, most=self._most_keys, alone=alone)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Be one of the service's processes while the block runs, and be gone at its end, to the others as well."""
        async with asyncio.TaskGroup() as tasks:
            ears = tasks.create_task(self._listener.run())
            line = tasks.create_task(self._line.run())
            late = tasks.create_task(self.latecomers.run())
            with suppress(TimeoutError):  # it goes on trying: whoever asks meanwhile is told so
                async with asyncio.timeout(ANSWER_WITHIN):
                    await self._listener.listening.wait()
            lease = tasks.create_task(self.lease.keep(self.hub.restore, self.hub.bury, self._deaf))
            try:
                yield
            finally:
                lease.cancel()
                late.cancel()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_FAREWELL):
                        await self.lease.release()
                ears.cancel()
                line.cancel()
        await self._listener.close()
        await self._line.close()

    def _deaf(self) -> None:
        if self._listener.listening.is_set():
            self._listener.restart()


async def check(url: str) -> None:
    """Ask Redis once whether it is there.

    Raises:
        UnreachableError: if it is not, or lets us not in.
    """
    from redis.exceptions import RedisError

    try:
        async with connect(url) as client:
            await client.execute_command("PING")  # type: ignore[no-untyped-call]
    except (RedisError, OSError, TimeoutError, ValueError, TypeError) as error:  # the last for an option of TLS
        raise UnreachableError(
            f"The service's Redis at {shown(url)} does not answer: {str(error).rstrip('.')}. Check that it runs, and "
            "the user and password in redis_url."
        ) from error
