"""What a runner says of an inference: how many frames were looked at, seldom enough."""

import math
from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Told a stage, frames looked at, and frames there are."""
_INTERVAL = 1.0


class FrameReport:
    """Passes on the first report of a stage, then one a second, and the last.

    Args:
        say: sends a message to the supervisor.
        clock: seconds.
    """

    def __init__(self, say: Callable[..., None], clock: Callable[[], float]) -> None:
        self._say, self._clock = say, clock
        self._stage = ""
        self._last = -math.inf

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take a report."""
        now = self._clock()
        if stage == self._stage and done != total and now - self._last < _INTERVAL:
            return
        self._stage, self._last = stage, now
        self._say(type="progress", event="frames", stage=stage, done=done, total=total)
