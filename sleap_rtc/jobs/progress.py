"""From the trainer's messages to a job's events: checked, for a job is a stranger, and few, for a night is long."""

import math
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, EventBody, Frames, Notice, Step
from sleap_rtc.protocol.text import one_line

_MAX_METRICS = 128
_MAX_NAME = 128
_MAX_NAMES = 16 * 1024
"""Bytes of all names together: an event must fit into a message, also beside the end of a log."""
_MAX_COUNT = 2**53
_MOST_AT_ONCE = 3000
_RATE_OVER = 30
"""Reports, a second apart, over which the speed of an inference is measured."""
_PER_SECOND = 100.0
"""How many events a run may make, at once and then in the long run: an epoch of some 30 ms makes that many."""
_WEB_ADDRESS = re.compile(r"https?://[!-~]{1,500}")


class FrameProgress:
    """Turns reports of frames into events, with how fast they go of late."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._seen: deque[tuple[float, int]] = deque(maxlen=_RATE_OVER)

    def receive(self, message: Mapping[str, Any], now: float) -> Frames | None:
        """The event that a report makes; None if it is malformed, or goes backwards."""
        stage, done, whole = message.get("stage"), _count(message.get("done")), _count(message.get("total"))
        if stage not in ("predict", "track") or done is None:
            return None
        if stage != self._stage:
            self._stage = stage
            self._seen.clear()
        if self._seen and done < self._seen[-1][1]:
            return None
        self._seen.append((now, done))
        passed, frames = now - self._seen[0][0], done - self._seen[0][1]
        rate = frames / passed if passed > 0 and frames > 0 else None
        left = max(0, whole - done) if whole is not None else None
        eta = left / rate if rate and left is not None else None
        return Frames(stage=stage, done=done, total=whole, rate=rate, eta=eta)


class Progress:
    """Turns the messages of one run into events.

    Args:
        step_interval: the shortest time between two step events of an epoch.
    """

    def __init__(self, step_interval: float) -> None:
        self.training = False
        self.metrics: dict[str, float | None] = {}
        self._interval = step_interval
        self._last_step = -math.inf
        self._epoch: int | None = None
        self._seen_step = False
        self._linked = False
        self._frames = FrameProgress()
        self._allowed, self._counted = float(_MOST_AT_ONCE), -math.inf

    def receive(self, message: Mapping[str, Any], now: float) -> EventBody | None:
        """The event that a message makes, if it makes one; `now` in seconds.

        Anything unknown or malformed makes none, nor does what comes faster than any training goes.
        """
        made = self._made(message, now)
        if made is None:
            return None
        self._allowed = min(_MOST_AT_ONCE, self._allowed + _PER_SECOND * max(0.0, now - self._counted))
        self._counted = now
        if self._allowed < 1:
            return None
        self._allowed -= 1
        return made

    def _made(self, message: Mapping[str, Any], now: float) -> EventBody | None:
        event = message.get("event")
        if event == "train_begin":
            self.training = True
            return self._link(message.get("wandb_url"))
        if event == "epoch_begin" and (epoch := _count(message.get("epoch"))) is not None:
            self.training = True
            self._begin_epoch(epoch)
            return EpochStarted(epoch=epoch)
        if event == "batch_end":
            return self._step(message, now)
        if event == "epoch_end" and (epoch := _count(message.get("epoch"))) is not None:
            self.metrics = numeric(message.get("logs"))
            return EpochEnded(epoch=epoch, metrics=self.metrics)
        if event == "frames":
            return self._frames.receive(message, now)
        return None

    def _link(self, url: object) -> Notice | None:
        """Where the run can be looked at, once, if it is a web address and nothing else."""
        if self._linked or not isinstance(url, str) or not _WEB_ADDRESS.fullmatch(url):
            return None
        self._linked = True
        return Notice(text=f"W&B run: {url}")

    def _begin_epoch(self, epoch: int) -> None:
        self._epoch, self._seen_step = epoch, False

    def _step(self, message: Mapping[str, Any], now: float) -> EventBody | None:
        epoch, batch = _count(message.get("epoch")), _count(message.get("batch"))
        if epoch is None or batch is None:
            return None
        self.training = True
        if epoch != self._epoch:
            self._begin_epoch(epoch)
        # very short epochs are held to a tenth of the interval as well
        if now - self._last_step < (self._interval if self._seen_step else self._interval / 10):
            return None
        self._last_step, self._seen_step = now, True
        # sleap-nn repeats the last epoch's metrics with every step; they are known
        logs = numeric(message.get("logs"))
        fresh = {name: value for name, value in logs.items() if self.metrics.get(name, math.nan) != value}
        return Step(epoch=epoch, batch=batch, metrics=fresh)


def numeric(logs: object) -> dict[str, float | None]:
    """The numbers of sleap-nn's logs under their own names; None for one that is not finite."""
    if not isinstance(logs, Mapping):
        return {}
    found: dict[str, float | None] = {}
    room = _MAX_NAMES
    for name, value in logs.items():
        if len(found) == _MAX_METRICS:
            break
        if isinstance(name, str) and isinstance(value, int | float | None) and not isinstance(value, bool):
            shown = one_line(name[: 4 * _MAX_NAME], limit=_MAX_NAME)
            room -= len(shown.encode())
            if shown and room >= 0:
                found[shown] = _finite(value)
    return found


def _finite(value: float | None) -> float | None:
    try:
        return float(value) if value is not None and math.isfinite(value) else None
    except OverflowError:
        return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else None
