"""How many lanes a link should have, decided by what was measured. Time is an argument; nothing here does I/O.

Loss and delay bound what one connection carries, so more of them multiply it (by RFC 5681 its throughput goes with
1/(RTT·√loss)); on a clean, short path further ones only cost. Nobody knows the path, so the number is raised and the
effect measured: what does not help is taken back.
"""

from enum import Enum, auto

from sleap_rtc.protocol.streams import MAX_LANES

SETTLE = 0.15
"""Seconds after a change that say nothing about it: connections start slowly (RFC 5681 §3.1)."""
MEASURE = 0.3
"""Seconds that are measured before a decision."""
STEP = 4
"""How many times as many lanes are tried next."""
GAIN = 1.12
"""How much more they must carry to be kept."""
WORSE = 0.7
"""If what was good carries less than this part of what it did, the path has changed, and the search begins again."""
TELLING = 256 * 1024
"""Bytes that a measurement needs, unless it takes too long."""
LONGEST = 3.0
"""Seconds after which a measurement ends with whatever came."""
FAR = 0.010
"""Seconds that an answer takes on a path where one lane is rarely enough: it needs that long for each step up, and
longer for each loss."""
PATIENCE = 10.0
"""Seconds before a number that was not worth it is tried again; doubled each time."""


class _Phase(Enum):
    MEASURING = auto()
    OPENING = auto()
    TRYING = auto()
    RESTING = auto()


class LaneCount:
    """Finds the number of lanes that is worth having.

    Args:
        most: never more than this.
    """

    def __init__(self, most: int = MAX_LANES) -> None:
        self._most = most
        self._phase = _Phase.MEASURING
        self._since = self._rested = 0.0
        self._mark: tuple[float, int] | None = None
        self._busy = False
        self._rate = 0.0
        self._patience = PATIENCE
        self._kept = 1
        self.wanted = 1
        self.rate = 0.0

    def measure(
        self, now: float, received: int, *, lanes: int, hungry: bool, busy: bool = False, delay: float | None = None
    ) -> int:
        """Note how much has arrived, and say how many lanes there should be.

        Args:
            now: seconds, monotonic.
            received: bytes that have arrived over all lanes since the link began.
            lanes: how many are open.
            hungry: whether more was wanted than came, all the time since the last call.
            busy: whether this machine is the limit, and not the path.
            delay: seconds that an answer takes at least, as far as known.
        """
        self._busy = busy
        if not hungry:
            # the disk or the sender was the limit: what was measured says nothing about the path
            self._mark = None
            return self.wanted
        if self._phase is _Phase.MEASURING and not self._rate and delay is not None and delay > FAR:
            self._step_up(now)
        elif self._phase is _Phase.OPENING and (lanes >= self.wanted or now - self._since > 5 * MEASURE):
            self._enter(_Phase.TRYING, now)
        elif self._phase is not _Phase.OPENING and self._measured(now, received):
            self._decide(now)
        return self.wanted

    def _measured(self, now: float, received: int) -> bool:
        if now - self._since < SETTLE:
            return False
        if self._mark is None:
            self._mark = (now, received)
            return False
        began, before = self._mark
        # on a slow path only every few frames say something
        if now - began < MEASURE or (received - before < TELLING and now - began < LONGEST):
            return False
        if received == before:
            self._mark = None
            return False
        self.rate = (received - before) / (now - began)
        self._mark = None
        return True

    def _decide(self, now: float) -> None:
        if self._phase is _Phase.RESTING:
            self._look_around(now)
        elif self._phase is _Phase.TRYING and self.rate < self._rate * GAIN:
            self.wanted = self._kept
            self._patience *= 2
            self._enter(_Phase.RESTING, now)
        else:
            self._go_on(now)

    def _go_on(self, now: float) -> None:
        if self._phase is _Phase.TRYING:
            self._patience = PATIENCE
        self._kept = self.wanted
        self._rate = self.rate
        if self._busy or self.wanted >= self._most:
            self._enter(_Phase.RESTING, now)
            return
        self._step_up(now)

    def _step_up(self, now: float) -> None:
        self.wanted = min(STEP * self.wanted, self._most)
        self._enter(_Phase.OPENING, now)

    def _look_around(self, now: float) -> None:
        if now - self._rested > self._patience or self.rate < self._rate * WORSE:
            self._enter(_Phase.MEASURING, now)

    def _enter(self, phase: _Phase, now: float) -> None:
        self._phase, self._since, self._mark = phase, now, None
        if phase is _Phase.RESTING:
            self._rested = now
