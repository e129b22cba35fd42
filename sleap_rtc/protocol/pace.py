"""How much to have under way: enough that the path never runs dry, little enough that its queues do not overflow.

A sender that is asked for more than the path holds fills the queues on the way until they drop, and its connection
then needs seconds to recover. A queue shows before it overflows: answers take longer than they ever had to (the idea of
TCP Vegas and LEDBAT, RFC 6817). Time is an argument; nothing here does I/O.
"""

from sleap_rtc.protocol.streams import LINK_WINDOW

FIRST = 256 * 1024
"""Bytes to have under way on each lane before anything is known, and at least."""
USUAL_WINDOW = 4 * 1024 * 1024
"""More is only asked for on long paths: what is under way when a link is cut has to be sent again."""
GROWTH = 1.5
RETREAT = 0.85
SHORT_QUEUE = 0.015
"""Seconds that an answer may wait in queues while more is still asked for."""
LONG_QUEUE = 0.030
"""Seconds beyond which less is asked for."""
HEADROOM = 3
"""How many times what the path holds, its rate times its delay, is asked for at most."""


class Pace:
    """Finds how many bytes to have under way."""

    def __init__(self) -> None:
        self._window = float(FIRST)
        self._base: float | None = None
        self._delay: float | None = None
        self._last: tuple[float, int] | None = None
        self._lanes = 1

    @property
    def limit(self) -> int:
        """Bytes to have under way."""
        return max(int(self._window), FIRST * self._lanes)

    def delayed(self, seconds: float) -> None:
        """Note how long the first bytes of an answer took."""
        self._base = seconds if self._base is None else min(self._base, seconds)
        # the least of late: on the others a lost packet was waited for, which says nothing about queues
        self._delay = seconds if self._delay is None else min(self._delay, seconds)

    def measure(self, now: float, received: int, *, lanes: int, hungry: bool, busy: bool = False) -> None:
        """Decide again; to be called several times a second.

        Args:
            now: seconds, monotonic.
            received: bytes that have arrived since the link began.
            lanes: how many lanes are open.
            hungry: whether more was wanted than the limit allowed.
            busy: whether this machine is the limit: then answers wait for it, and not in queues on the way.
        """
        rate = (received - self._last[1]) / (now - self._last[0]) if self._last and now > self._last[0] else 0.0
        self._last, self._lanes = (now, received), lanes
        if self._delay is not None and self._base is not None and hungry:
            queue = 0.0 if busy else self._delay - self._base
            if queue < SHORT_QUEUE:
                self._window *= GROWTH
            elif queue > LONG_QUEUE:
                self._window *= RETREAT
            most = min(max(HEADROOM * rate * self._base, USUAL_WINDOW), LINK_WINDOW)
            self._window = min(max(self._window, FIRST), most)
        self._delay = None
