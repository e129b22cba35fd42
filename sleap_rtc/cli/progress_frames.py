"""How far an inference is, in words."""

from sleap_rtc.cli.formats import count, format_duration
from sleap_rtc.protocol.jobs import Frames

TENTHS = 10
EVERY_MS = 30_000
"""A long video says that it is still being looked at this often, by the worker's clock."""
LEAST_MS = 1_000
_WHOLE_RATE = 100


def frames_text(frames: Frames) -> str:
    """Say ``120 of 1000 frames, 45.2 frames/s, 20 s left``; before it, where animals are being followed, that."""
    done = (
        f"{frames.done} of {count(frames.total, 'frame')}" if frames.total is not None else count(frames.done, "frame")
    )
    parts = [done]
    if frames.rate is not None:
        parts.append(f"{_rate(frames.rate)} frames/s")
    if frames.eta is not None and not is_over(frames):
        parts.append(f"{format_duration(frames.eta)} left")
    following = "following animals: " if frames.stage == "track" else ""
    return following + ", ".join(parts)


def _rate(rate: float) -> str:
    # three digits say enough; a power of ten says nothing to most
    return f"{rate:.3g}" if rate < _WHOLE_RATE else f"{rate:.0f}"


def frames_done_text(frames: Frames) -> str:
    """Say ``1000 frames``, or how many of them where not all were looked at."""
    if frames.total is None or is_over(frames):
        return count(frames.done, "frame")
    return f"{frames.done} of {count(frames.total, 'frame')}"


def is_over(frames: Frames) -> bool:
    """Whether there is none left."""
    return frames.total is not None and frames.done >= frames.total


class FrameLines:
    """Decides which reports are worth a line: the first, each tenth, the last, and one now and then."""

    def __init__(self) -> None:
        self._said: tuple[int, int] | None = None
        self._stage = ""

    def is_due(self, frames: Frames, now: int) -> bool:
        """Whether to write a line now.

        Args:
            frames: the report.
            now: milliseconds of the worker's clock.
        """
        if frames.stage != self._stage:
            self._stage, self._said = frames.stage, None
        tenth = frames.done * TENTHS // frames.total if frames.total else 0
        if self._said is not None and not is_over(frames):
            said, when = self._said
            if now - when < (LEAST_MS if tenth > said else EVERY_MS):
                return False
        elif self._said is not None and self._said[0] >= TENTHS:
            return False
        self._said = (tenth, now)
        return True
