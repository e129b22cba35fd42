"""The face for pipes and files: one plain line for each thing that happened."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from sleap_rtc.cli import output
from sleap_rtc.cli import progress_view as view
from sleap_rtc.cli.formats import format_size, format_value
from sleap_rtc.cli.progress import Clock, JobDisplay, LogLines
from sleap_rtc.protocol.jobs import (
    EpochEnded,
    EpochStarted,
    Event,
    JobSummary,
    Notice,
    RunEnded,
    RunStarted,
    StateChanged,
    Step,
)

_TENTHS = 10
_INTERVAL = 1.0
_STEP_INTERVAL_MS = 30_000
"""A long epoch says that it is alive this often, by the worker's clock."""


class LinesDisplay(JobDisplay):
    """Writes what happens as sentences, without anything that a log file could not hold."""

    def __init__(self, stream: TextIO, *, logs: bool, clock: Clock) -> None:
        self._stream = stream
        self._logs = logs
        self._clock = clock
        self._job = view.JobView()
        self._log = LogLines()
        self._meters: dict[str, view.Meter] = {}
        self._tenths: dict[str, tuple[int, float]] = {}
        self._step_said: dict[str, int] = {}
        self._sending = False

    def close(self) -> None:
        """Write what is left of the log."""
        self._log_lines(self._log.flush())

    def connecting(self, text: str) -> None:
        """Write whom we are looking for."""
        self._line(f"Connecting to {text} …")

    def connected(self, worker_name: str, gpu_text: str) -> None:
        """Write who answered."""
        self._line(view.connected_text(worker_name, gpu_text))

    def upload(self, sent: int, total: int, already: int) -> None:
        """Write a line when bytes begin to flow, for each tenth, and at the end."""
        if not self._sending and 0 < sent + already < total:
            self._sending = True
            there = f" ({format_size(already)} of {format_size(total)} are there already)" if already else ""
            self._line(f"Sending {format_size(total - already)}{there}.")
        meter, moved = self._meter("upload", sent, sent + already, total)
        if moved and sent + already >= total:
            self._line(view.upload_done_text(meter, total, already))
        elif moved:
            self._line(f"Sent {view.transfer_text(meter, sent + already, total)}")

    def accepted(self, summary: JobSummary) -> None:
        """Write the job's id."""
        self._line(view.accepted_text(summary))

    def event(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        run = self._job.apply(event)
        if isinstance(event.body, StateChanged):
            self._lines([view.state_text(event.body.state) or ""])
        elif isinstance(event.body, Notice):
            self._line(f"Note: {event.body.text}")
        elif run is not None:
            self._lines(self._run_lines(run, event))

    def log(self, text: str) -> None:
        """Write the log's lines, marked as such."""
        if self._logs:
            self._log_lines(self._log.feed(text))

    def link_lost(self, reason: str) -> None:
        """Write that the worker is out of reach."""
        self._line(view.link_lost_text(reason))

    def link_restored(self) -> None:
        """Write that it is back."""
        self._line(view.LINK_RESTORED)

    def download(self, received: int, total: int) -> None:
        """Write a line for each tenth, and at the end."""
        meter, moved = self._meter("download", received, received, total)
        if moved and received >= total:
            self._line(view.download_done_text(meter, total))
        elif moved:
            self._line(f"Received {view.transfer_text(meter, received, total)}")

    def finished(self, folders: Sequence[Path]) -> None:
        """Write where the models are."""
        self._lines(view.finished_texts(folders))

    def _run_lines(self, run: view.RunView, event: Event) -> list[str]:
        match event.body:
            case RunStarted() as body:
                return [view.run_started_text(run, body)]
            case EpochStarted():
                self._step_said.pop(run.name, None)
                return [f"{run.name}: {view.epoch_text(run)} started"]
            case Step() as body if self._step_due(run, event):
                loss = f", loss {format_value(run.loss)}" if view.has_loss(body.metrics) else ""
                return [f"{run.name}: {view.epoch_text(run)}, step {body.batch + 1}{loss}"]
            case EpochEnded():
                parts = (f"{run.name}: {view.epoch_text(run)} done", view.losses_text(run), view.time_text(run))
                lines = [", ".join(part for part in parts if part)]
                return lines + ([f"{run.name}: {run.phase.value}"] if run.phase is view.Phase.EVALUATING else [])
            case RunEnded() as body:
                return [view.run_ended_text(run, body)]
        return []

    def _step_due(self, run: view.RunView, event: Event) -> bool:
        said = self._step_said.get(run.name)
        if said is not None and event.t - said < _STEP_INTERVAL_MS:
            return False
        self._step_said[run.name] = event.t
        return True

    def _meter(self, what: str, moved: int, done: int, total: int) -> tuple[view.Meter, bool]:
        """Measure `moved` bytes and tell whether `done` of `total` has reached another tenth, a second later."""
        now = self._clock()
        tenth = _TENTHS if done >= total else done * _TENTHS // total
        meter = self._meters.get(what)
        if meter is None:
            meter = self._meters[what] = view.Meter(moved, now)
            self._tenths[what] = (min(tenth, _TENTHS - 1), now)
        meter.update(moved, now)
        said, when = self._tenths[what]
        due = tenth > said and (tenth == _TENTHS or now - when >= _INTERVAL)
        if due:
            self._tenths[what] = (tenth, now)
        return meter, due

    def _log_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            output.write_line(f"  | {line}", self._stream)

    def _lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            if text:
                self._line(text)

    def _line(self, text: str) -> None:
        output.write_line(text.replace("\n", " "), self._stream)
