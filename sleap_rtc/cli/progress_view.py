"""What is known of a job while it runs, and the sentences that both human faces say about it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from sleap_rtc.cli.formats import count, format_duration, format_value
from sleap_rtc.cli.progress import What, sorted_out
from sleap_rtc.cli.progress_frames import frames_done_text
from sleap_rtc.protocol.jobs import (
    EpochEnded,
    EpochStarted,
    Event,
    Frames,
    JobState,
    JobSummary,
    Metrics,
    Queued,
    Run,
    RunEnded,
    RunStarted,
    StateChanged,
    Step,
    Verb,
)
from sleap_rtc.transport.paths import NetworkPath

LINK_RESTORED = "The worker is back; nothing was missed."
_LOSSES = ("loss", "train/loss", "train_loss")
_TIMED_EPOCHS = 5
MOST_RUNS = 64
"""Runs of a job that are kept in mind; a worker that makes up more of them must not fill this machine's memory."""
_HEAD_LOSS = re.compile(r"val[/_](?!positive|negative)([a-z]+)_loss")


class Phase(Enum):
    """What a run is doing."""

    STARTING = "starting"
    TRAINING = "training"
    TRACKING = "looking at frames"
    FOLLOWING = "following animals"
    EVALUATING = "validating and evaluating"
    ENDED = "done"


@dataclass
class RunView:
    """One run as far as its events tell. Epochs and steps are counted from 0 here, as in the events."""

    name: str
    index: int = 1
    runs: int = 1
    max_epochs: int | None = None
    phase: Phase = Phase.STARTING
    epoch: int | None = None
    epochs_done: int = 0
    batch: int | None = None
    loss: float | None = None
    losses: Metrics = field(default_factory=dict)
    verb: Verb = Verb.TRAIN
    frames: Frames | None = None
    _marks: list[int] = field(default_factory=list)
    """When the first epoch began and each one ended, by the worker's clock in milliseconds."""

    def apply(self, event: Event) -> None:
        """Take in an event of this run."""
        match event.body:
            case EpochStarted(epoch=epoch):
                self.phase, self.epoch, self.batch, self.epochs_done = Phase.TRAINING, epoch, None, epoch
                if not self._marks:
                    self._marks.append(event.t)
            case Step(epoch=epoch, batch=batch, metrics=metrics):
                self.phase, self.epoch, self.batch = Phase.TRAINING, epoch, batch
                self.loss = step_loss(metrics)
            case EpochEnded(epoch=epoch, metrics=metrics):
                self.epoch, self.epochs_done, self.losses = epoch, epoch + 1, metrics
                self._marks = [*self._marks, event.t][-_TIMED_EPOCHS - 1 :]
                if self.max_epochs is not None and epoch + 1 >= self.max_epochs:
                    self.phase = Phase.EVALUATING
            case Frames() as frames:
                self.phase = Phase.FOLLOWING if frames.stage == "track" else Phase.TRACKING
                self.frames = frames
            case RunEnded():
                self.phase = Phase.ENDED

    @property
    def seconds_per_epoch(self) -> float | None:
        """How long the last few epochs took, on average."""
        if len(self._marks) < 2:
            return None
        return (self._marks[-1] - self._marks[0]) / 1000 / (len(self._marks) - 1)

    @property
    def seconds_left(self) -> float | None:
        """How long the epochs that are left will take, without the evaluation after them."""
        if self.max_epochs is None or self.seconds_per_epoch is None:
            return None
        return max(self.max_epochs - self.epochs_done, 0) * self.seconds_per_epoch


class JobView:
    """The runs of a job, in the order in which they started."""

    def __init__(self) -> None:
        self.runs: dict[str, RunView] = {}
        self.state: JobState | None = None

    def apply(self, event: Event) -> RunView | None:
        """Take in `event` and return the run it belongs to."""
        if isinstance(event.body, StateChanged):
            self.state = event.body.state
        if event.run is None:
            return None
        if isinstance(event.body, RunStarted):  # again after a resume: from the beginning
            body = event.body
            self.runs[event.run] = RunView(event.run, body.index, body.runs, body.max_epochs, verb=body.verb)
        run = self.runs.setdefault(event.run, RunView(event.run))
        run.apply(event)
        if len(self.runs) > MOST_RUNS:
            del self.runs[next(name for name in self.runs if name != event.run)]
        return run

    @property
    def current(self) -> RunView | None:
        """The run that is at work now."""
        return next((run for run in reversed(self.runs.values()) if run.phase is not Phase.ENDED), None)


def has_loss(metrics: Metrics) -> bool:
    """Tell whether a step's metrics hold a loss."""
    return any(name in metrics for name in _LOSSES)


def step_loss(metrics: Metrics) -> float | None:
    """Return a step's loss, under whichever name it came; None where it has none or it is not finite."""
    return next((metrics[name] for name in _LOSSES if name in metrics), None)


def epoch_text(run: RunView) -> str:
    """Say ``epoch 3 of 8``, counted from 1."""
    if run.epoch is None:
        return "no epoch yet"
    return f"epoch {run.epoch + 1}" + (f" of {run.max_epochs}" if run.max_epochs is not None else "")


def heads_text(metrics: Metrics) -> str:
    """Say the validation losses of a model's heads in brackets, ``(confmaps 0.0041, paf 0.0082)``; not that of one."""
    heads = [(match[1], value) for name, value in metrics.items() if (match := _HEAD_LOSS.fullmatch(name))]
    if len(heads) < 2:
        return ""
    shown = [f"{head} {'not finite' if value is None else f'{value:.3g}'}" for head, value in heads]
    return f" ({', '.join(shown)})"


def losses_text(run: RunView) -> str:
    """Say the losses that an epoch's end brought: ``train/loss`` there is the epoch's before."""
    parts = []
    if "val/loss" in run.losses:
        parts.append(f"val loss {format_value(run.losses['val/loss'])}{heads_text(run.losses)}")
    if "train/loss" in run.losses and run.epoch:
        parts.append(f"train loss {format_value(run.losses['train/loss'])} (epoch {run.epoch})")
    return ", ".join(parts)


def time_text(run: RunView) -> str:
    """Say how long an epoch takes and how long the rest will."""
    if run.seconds_per_epoch is None:
        return ""
    text = f"{format_duration(run.seconds_per_epoch)} an epoch"
    left = run.seconds_left
    return f"{text}, about {format_duration(left)} left" if left else text


def connected_text(worker_name: str, gpu_text: str, path: NetworkPath | None = None) -> str:
    """Say who answered, and which way the link goes if that is a way round."""
    who = f"{worker_name} ({gpu_text})" if gpu_text else worker_name
    return f"Connected to {who}, {path}." if path and path.way == "relay" else f"Connected to {who}."


def accepted_text(summary: JobSummary) -> str:
    """Say that the job is safe on the worker."""
    text = f"Job {summary.job}: {summary.name}"
    if summary.runs:
        text += f", {_runs_text(summary.runs)}"
    if summary.position is None:
        return f"{text}."
    return f"{text}; {_place_text(summary.position, summary.starts_in)}."


def _runs_text(runs: Sequence[Run]) -> str:
    looked_at = [run.name for run in runs if run.verb is Verb.TRACK]
    exported = [run.name for run in runs if run.verb is Verb.EXPORT]
    trained = [run.name for run in runs if run.verb is Verb.TRAIN]
    train = [f"{count(len(trained), 'model')} to train ({', '.join(trained)})"] if trained else []
    look = [f"{count(len(looked_at), 'input')} to look at ({', '.join(looked_at)})"] if looked_at else []
    export = [f"a model to be exported ({', '.join(exported)})"] if exported else []
    return ", then ".join([*train, *look, *export])


def queued_text(body: Queued) -> str:
    """Say where in the queue the job waits, and for how long."""
    return f"Waiting: {_place_text(body.position, body.starts_in)}."


def _place_text(position: int, starts_in: float | None) -> str:
    text = "next in the queue" if position <= 1 else f"{_ordinal(position)} in the queue"
    if starts_in is None:
        return text
    return f"{text}, starts in about {format_duration(starts_in)}" if starts_in >= 1 else f"{text}, starts soon"


def _ordinal(number: int) -> str:
    """Say ``2nd``, ``11th``, ``23rd``."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def frames_title(run: RunView) -> str:
    """Say which input is being looked at: ``clip (1/3)``; its name alone where there is one."""
    return f"{run.name} ({run.index}/{run.runs})" if run.runs > 1 else run.name


def state_text(state: JobState) -> str | None:
    """Say what a new state means; the reason of a failure is the command's to say, once, at its end."""
    return {
        JobState.QUEUED: "Waiting for its turn.",
        JobState.STARTING: "Starting sleap-nn.",
        JobState.FINISHING: "Putting the results together.",
        JobState.FAILED: "The job failed.",
        JobState.CANCELLED: "The job was cancelled.",
        JobState.LOST: "The job was lost.",
    }.get(state)


def run_started_text(run: RunView, body: RunStarted) -> str:
    """Say which run began."""
    if body.verb is Verb.TRACK:
        return f"{frames_title(run)}: looking at its frames"
    if body.verb is Verb.EXPORT:
        return f"{run.name}: the model is being exported"
    limit = f", up to {count(body.max_epochs, 'epoch')}" if body.max_epochs is not None else ""
    return f"{run.name}: run {body.index} of {body.runs}, {body.model_type}{limit}"


def run_ended_text(run: RunView, body: RunEnded) -> str:
    """Say how a run ended, in one line that stays."""
    outcome = {"done": "done", "stopped": "stopped early", "failed": "failed", "cancelled": "cancelled"}[body.outcome]
    parts = [outcome]
    if run.epoch is not None:
        parts.append(f"{count(run.epochs_done, 'epoch')}")
    if run.frames is not None:
        parts.append(frames_done_text(run.frames))
    if "val/loss" in run.losses:
        parts.append(f"last val loss {format_value(run.losses['val/loss'])}")
    return f"{run.name}: {', '.join(parts)}"


def finished_texts(places: Sequence[Path], what: What) -> list[str]:
    """Say where the results are."""
    if what == "network":
        return []
    if not places:
        return ["The job left no predictions." if what == "predictions" else "The job left no model."]
    models, predictions = sorted_out(places, what)
    return [*(f"Model in {place}" for place in models), *(f"Predictions in {place}" for place in predictions)]


def link_lost_text(reason: str) -> str:
    """Say that the link is down and what happens now."""
    return f"The link to the worker is down ({reason.rstrip('. ')}); the job goes on there, trying again …"
