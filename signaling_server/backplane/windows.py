"""What strangers do, counted across processes."""

import secrets

from signaling_server.backplane.keys import Keys
from signaling_server.backplane.line import Line
from signaling_server.backplane.scripts import ALLOW
from signaling_server.limits import Window
from sleap_rtc.errors import UnreachableError


class RedisWindow:
    """A window in which all processes count. While Redis is away each counts for itself: none lets everything through.

    Args:
        line: to Redis.
        keys: where what lies.
        name: which limit it is.
        limit: events allowed within the window.
        window_ms: the window, in milliseconds.
        most: keys remembered; at the bound the one quiet for longest is forgotten.
        alone: what this process counts in meanwhile.
    """

    def __init__(
        self, line: Line, keys: Keys, name: str, limit: int, window_ms: int, *, most: int, alone: Window
    ) -> None:
        self._line = line
        self._keys = keys
        self._name = name
        self._limit = limit
        self._window = window_ms
        self._most = most
        self._alone = alone

    async def allow(self, key: str, now_ms: int) -> bool:
        """See `Window.allow`."""
        # counted here as well: whoever guessed already does not begin anew when Redis goes away
        alone = await self._alone.allow(key, now_ms)
        where, event = self._keys.window(self._name, key), secrets.token_hex(8)
        try:
            allowed = await self._line.ask(
                *("EVAL", ALLOW, 2, where, self._keys.windows(self._name)),
                *(self._keys.prefix, now_ms, self._window, self._limit, event, self._most),
            )
        except UnreachableError:
            return alone
        if alone and not allowed:
            await self._alone.give_back(key)
        return bool(allowed)

    async def give_back(self, key: str) -> None:
        """See `Window.give_back`."""
        await self._alone.give_back(key)
        self._line.tell("ZPOPMAX", self._keys.window(self._name, key))
