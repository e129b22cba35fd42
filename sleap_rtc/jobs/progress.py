"""From the trainer's messages to a job's events: checked, for a job is a stranger, and few, for a night is long."""

import math
import re
from collections.abc import Mapping
from typing import Any

from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, EventBody, Notice, Step
from sleap_rtc.protocol.text import printable

_MAX_METRICS = 128
_MAX_NAME = 128
_MAX_COUNT = 2**53
_WEB_ADDRESS = re.compile(r"https?://[!-~]{1,500}")


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

    def receive(self, message: Mapping[str, Any], now: float) -> EventBody | None:
        """The event that a message makes, if it makes one. Anything unknown or malformed makes none."""
        event = message.get("event")
        if event == "train_begin":
            self.training = True
            return _link(message.get("wandb_url"))
        if event == "epoch_begin" and (epoch := _count(message.get("epoch"))) is not None:
            self.training = True
            self._begin_epoch(epoch)
            return EpochStarted(epoch=epoch)
        if event == "batch_end":
            return self._step(message, now)
        if event == "epoch_end" and (epoch := _count(message.get("epoch"))) is not None:
            self.metrics = numeric(message.get("logs"))
            return EpochEnded(epoch=epoch, metrics=self.metrics)
        return None

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
    for name, value in logs.items():
        if len(found) == _MAX_METRICS:
            break
        if isinstance(name, str) and isinstance(value, int | float | None) and not isinstance(value, bool):
            shown = printable(name[: 4 * _MAX_NAME], limit=_MAX_NAME).strip()
            if shown:
                found[shown] = _finite(value)
    return found


def _link(url: object) -> Notice | None:
    """Where the run can be looked at, if it is a web address and nothing else."""
    return Notice(text=f"W&B run: {url}") if isinstance(url, str) and _WEB_ADDRESS.fullmatch(url) else None


def _finite(value: float | None) -> float | None:
    try:
        return float(value) if value is not None and math.isfinite(value) else None
    except OverflowError:
        return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNT else None
