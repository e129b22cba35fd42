"""A job's journal in a few words: when it began and ended, and how far each of its runs has come."""

from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from sleap_rtc.protocol.jobs import EpochEnded, Event, JobState, RunStarted, StateChanged

from .events import EventReader

_LOSS = "val/loss"
_NOT_NEEDED = ("step", "queued", "epoch_started", "notice")


@dataclass(frozen=True)
class RunOutline:
    """How far a run has come.

    Attributes:
        epochs: how many there are at most, as far as is known.
        epoch: how many have ended; None before the first.
        loss: the best validation loss so far.
    """

    epochs: int | None = None
    epoch: int | None = None
    loss: float | None = None


class Outline:
    """Reads a journal, and goes on reading as it grows.

    Args:
        path: the journal; it need not exist yet.

    Attributes:
        started: when training first began, in UTC milliseconds; None before.
        ended: when the job was over; None before, and again once it is resumed.
        runs: by name, those that have begun.
    """

    def __init__(self, path: Path) -> None:
        self.started: int | None = None
        self.ended: int | None = None
        self.runs: dict[str, RunOutline] = {}
        self._reader = EventReader(path, without=_NOT_NEEDED)

    def update(self) -> None:
        """Read what is new; blocks.

        Raises:
            StorageError: if the journal is damaged.
        """
        while events := self._reader.read():
            for event in events:
                self._take(event)

    def _take(self, event: Event) -> None:
        body = event.body
        if isinstance(body, StateChanged):
            if body.state is JobState.RUNNING and self.started is None:
                self.started = event.t
            self.ended = event.t if body.state.ended else None
        elif event.run is not None and isinstance(body, RunStarted):
            run = self.runs.get(event.run, RunOutline())
            self.runs[event.run] = replace(run, epochs=body.max_epochs)
        elif event.run is not None and isinstance(body, EpochEnded):
            run = self.runs.get(event.run, RunOutline())
            losses = [loss for loss in (run.loss, body.metrics.get(_LOSS)) if loss is not None and isfinite(loss)]
            self.runs[event.run] = replace(run, epoch=body.epoch + 1, loss=min(losses, default=None))
