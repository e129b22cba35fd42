"""A job's events in the words in which sleap-nn's trainer reports its progress, for SLEAP's own monitor.

The monitor decodes what it gets with jsonpickle, which writes plain data as `json` does, and which does what some keys
tell it to when it reads: metrics' names come from a peer, so those that jsonpickle would obey are left out.
"""

import json
import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, Event, Metrics, RunEnded, RunStarted, StateChanged, Step

_TRAIN_BEGIN, _BATCH_END = "train_begin", "batch_end"
_TAGS = ("py/", "json://")
_MAX_STEPS = 2000
_MAX_KEPT = 16 * 1024 * 1024


class TrainerMessage(NamedTuple):
    """A message as sleap-nn sends it: what it tells, and its text."""

    event: str
    text: str


class TrainerMessages:
    """Turns the events of a job into the messages that its trainer sent.

    Not every message has an event: steps are told about once a second, and the starts of batches never.
    """

    def __init__(self) -> None:
        self._training = False
        self._metrics: Metrics = {}

    def of(self, event: Event) -> list[TrainerMessage]:
        """The messages that an event stands for, in order; mostly one or none."""
        match event.body:
            case RunStarted():
                self._training, self._metrics = False, {}
            case EpochStarted(epoch=epoch):
                return [*self._begin(), _message("epoch_begin", epoch=epoch)]
            case Step(epoch=epoch, batch=batch, metrics=fresh):
                # sleap-nn repeats the last epoch's metrics with every step; events leave them out
                return [*self._begin(), _message(_BATCH_END, self._metrics | fresh, epoch=epoch, batch=batch)]
            case EpochEnded(epoch=epoch, metrics=metrics):
                self._metrics = metrics
                return [*self._begin(), _message("epoch_end", metrics, epoch=epoch)]
            case RunEnded():
                return self._end()
            case StateChanged(state=state) if state.ended:
                return self._end()
        return []

    def _begin(self) -> list[TrainerMessage]:
        if self._training:
            return []
        self._training = True
        return [_message(_TRAIN_BEGIN, wandb_url=None)]

    def _end(self) -> list[TrainerMessage]:
        if not self._training:
            return []
        self._training = False
        return [_message("train_end")]


def _message(event: str, metrics: Metrics | None = None, **values: int | None) -> TrainerMessage:
    logs = None if metrics is None else _logs(metrics)
    # `what` is empty, as sleap-nn leaves it: a monitor takes it over from train_begin and ignores any other
    return TrainerMessage(event, json.dumps({"what": "", "event": event, "logs": logs} | values))


def _logs(metrics: Metrics) -> dict[str, float]:
    # a monitor computes with the values: what is not finite is sent as a number, as sleap-nn does
    return {name: math.nan if value is None else value for name, value in metrics.items() if not name.startswith(_TAGS)}


class History:
    """What a monitor has to be told that begins to listen late: every epoch, and the steps of the one that goes on.

    Of an epoch that is over the last step stays: a monitor learns from it how long epochs are. Where there is more than
    is kept, steps are thinned and the oldest epochs go.

    Args:
        max_steps: most steps of the epoch that goes on.
        max_kept: most characters of everything else.
    """

    def __init__(self, max_steps: int = _MAX_STEPS, max_kept: int = _MAX_KEPT) -> None:
        self._max_steps, self._max_kept = max_steps, max_kept
        self._settled: deque[TrainerMessage] = deque()
        self._steps: list[TrainerMessage] = []
        self._size = 0

    def __iter__(self) -> Iterator[TrainerMessage]:
        yield from self._settled
        yield from self._steps

    def add(self, message: TrainerMessage) -> None:
        """Keep a message, in the order in which they come."""
        if message.event == _BATCH_END:
            self._steps.append(message)
            if len(self._steps) > self._max_steps:
                # the first and the newest stay
                del self._steps[1:-1:2]
            return
        for settled in (*self._steps[-1:], message):
            self._settled.append(settled)
            self._size += len(settled.text)
        self._steps.clear()
        while self._size > self._max_kept and len(self._settled) > 1:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = self._settled.popleft()
        if oldest.event == _TRAIN_BEGIN and self._settled[0].event != _TRAIN_BEGIN:
            # a monitor takes nothing of a training that never began
            begin, oldest = oldest, self._settled.popleft()
            self._settled.appendleft(begin)
        self._size -= len(oldest.text)
