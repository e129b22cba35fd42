"""What only one process of the service does at a time, and who does it now."""

from collections.abc import Callable
from typing import Protocol


class Errands(Protocol):
    """Gives out errands."""

    async def take(self, name: str, ms: int) -> bool:
        """Tell whether this process is to do `name` now; then nobody is again for so many milliseconds."""


class MemoryErrands:
    """The errands of a service that is one process.

    Args:
        clock: UTC milliseconds.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._taken: dict[str, int] = {}

    async def take(self, name: str, ms: int) -> bool:
        """See `Errands.take`."""
        now = self._clock()
        # a clock that was set back must not put an errand off until it is there again
        if name in self._taken and 0 <= now - self._taken[name] < ms:
            return False
        self._taken[name] = now
        return True
