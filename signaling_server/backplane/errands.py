"""Errands that all processes of the service take from one place."""

from signaling_server.backplane.keys import Keys
from signaling_server.backplane.line import Line
from sleap_rtc.errors import UnreachableError


class RedisErrands:
    """The errands of a service that is several processes; nobody's while Redis is away.

    Args:
        line: to Redis.
        keys: where what lies.
        process: who takes them.
    """

    def __init__(self, line: Line, keys: Keys, process: str) -> None:
        self._line = line
        self._keys = keys
        self._process = process

    async def take(self, name: str, ms: int) -> bool:
        """See `signaling_server.errands.Errands.take`."""
        try:
            taken = await self._line.ask("SET", self._keys.errand(name), self._process, "NX", "PX", ms)
        except UnreachableError:
            return False
        return taken is not None
