"""How much to have under way: enough that the path never runs dry, little enough that its queues do not overflow.

A sender that is asked for more than the path holds fills the queues on the way until they drop, and its connection
then needs seconds to recover. A queue shows before it overflows: answers take longer than they ever had to (the idea of
TCP Vegas and LEDBAT, RFC 6817). Time is an argument; nothing here does I/O.
"""

from collections import deque

from sleap_rtc.protocol.streams import LINK_WINDOW

FIRST = 256 * 1024
"""Bytes to have under way before anything is known, and at least."""
LEAST_SHARE = 256 * 1024
"""Bytes that each lane may always have under way: with fewer its connection would never leave its slow start."""
USUAL_WINDOW = 4 * 1024 * 1024
"""More is only asked for on long paths: what is under way when a link is cut has to be sent again."""
GROWTH = 1.5
RETREAT = 0.85
SHORT_QUEUE = 0.008
"""Seconds that an answer may wait in queues while more is still asked for."""
LONG_QUEUE = 0.016
"""Seconds beyond which less is asked for."""
HEADROOM = 2
"""How many times what the path holds, its rate times its delay, is asked for at most."""
UNEVEN = 0.005
"""Seconds that programs on both sides may take to answer, beyond the path's delay."""
BUSY = 0.2
"""The same on a busy machine, where they wait for their turn."""
MEMORY = 4
"""Measurements that the rate is taken from: a single one is uneven."""
FORGET = 0.95
"""What remains of the best rate after each measurement: the path may have become slower."""


class Pace:
    """Finds how many bytes to have under way."""

    def __init__(self) -> None:
        self._window = float(FIRST)
        self._delay: float | None = None
        self._seen: deque[tuple[float, int]] = deque(maxlen=MEMORY)
        self._best = 0.0
        self._lanes = 1
        self.base: float | None = None
        """Seconds that an answer takes at least, or None while none has come."""

    @property
    def limit(self) -> int:
        """Bytes to have under way."""
        return max(int(self._window), LEAST_SHARE * self._lanes)

    def delayed(self, seconds: float) -> None:
        """Note how long the first bytes of an answer took."""
        self.base = seconds if self.base is None else min(self.base, seconds)
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
        self._lanes = lanes
        self._note(now, received)
        if self._delay is not None and self.base is not None and hungry:
            queue = 0.0 if busy else self._delay - self.base
            if queue < SHORT_QUEUE:
                self._window *= GROWTH
            elif queue > LONG_QUEUE:
                self._window *= RETREAT
            self._window = min(max(self._window, FIRST), self._most(self.base, busy=busy))
        self._delay = None

    def _most(self, base: float, *, busy: bool) -> float:
        short = self._best * (BUSY if busy else HEADROOM * (base + UNEVEN))
        long = self._best * HEADROOM * base
        return min(max(FIRST, min(short, USUAL_WINDOW), long), LINK_WINDOW)

    def _note(self, now: float, received: int) -> None:
        self._best *= FORGET
        if self._seen and now > self._seen[0][0]:
            then, before = self._seen[0]
            self._best = max(self._best, (received - before) / (now - then))
        self._seen.append((now, received))
