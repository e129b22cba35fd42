"""The face for pipes and files: one plain line for each thing that happened."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TextIO

from sleap_rtc.cli import output
from sleap_rtc.cli import progress_view as view
from sleap_rtc.cli.formats import format_size, format_value
from sleap_rtc.cli.progress import Clock, JobDisplay, LogLines, What
from sleap_rtc.cli.progress_frames import FrameLines, frames_text
from sleap_rtc.cli.progress_transfer import Transfer, Upload, paused_text
from sleap_rtc.protocol.jobs import (
    EpochEnded,
    EpochStarted,
    Event,
    Frames,
    JobSummary,
    Notice,
    Queued,
    RunEnded,
    RunStarted,
    StateChanged,
    Step,
)
from sleap_rtc.transport.paths import NetworkPath

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
        self._worker = "the worker"
        self._transfers: dict[str, Transfer] = {}
        self._upload: Upload | None = None
        self._tenths: dict[str, tuple[int, float]] = {}
        self._step_said: dict[str, int] = {}
        self._announced: set[str] = set()
        self._frames: dict[str, FrameLines] = {}

    def close(self) -> None:
        """Write what is left of the log."""
        self._log_lines(self._log.flush())

    def reading(self, package: str, done: int, total: int) -> None:
        """Write that it takes a while, a line for each tenth, and its end; nothing of what is quick."""
        transfer = self._transfer("reading", done, total)
        due = self._due("reading", transfer)
        if not transfer.is_slow(self._clock()):
            return
        if self._first_time("reading"):
            self._line(f"Reading {package}, {format_size(total)} …")
        elif due and not transfer.complete:
            self._line(f"Read {transfer.text(self._clock())}")
        if due and transfer.complete:
            self._line(f"Read {transfer.sum_text()}.")

    def connecting(self, text: str) -> None:
        """Write whom we are looking for."""
        self._line(f"Connecting to {text} …")

    def connected(self, worker_name: str, gpu_text: str, path: NetworkPath | None = None) -> None:
        """Write who answered."""
        self._worker = worker_name
        self._line(view.connected_text(worker_name, gpu_text, path))

    def upload(self, sent: int, total: int, already: int) -> None:
        """Write a line when bytes begin to flow, for each tenth, and at the end."""
        upload = self._upload = self._upload or Upload(total, self._clock())
        upload.report(sent, already, self._clock())
        due = self._due("upload", upload)
        if upload.moved and not upload.complete and self._first_time("upload"):
            self._line(f"Sending {upload.already_text(self._worker)}.")
        if due and upload.moved and not upload.complete:
            self._line(f"Sent {upload.text(self._clock())}")
        if due and upload.complete:
            self._line(upload.done_text(self._worker))

    def upload_paused(self, reason: str | None) -> None:
        """Write why the worker takes nothing just now, and that it goes on."""
        self._line(paused_text(self._worker, reason))

    def accepted(self, summary: JobSummary) -> None:
        """Write the job's id."""
        self._line(view.accepted_text(summary))

    def event(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        run = self._job.apply(event)
        if isinstance(event.body, StateChanged):
            self._lines([view.state_text(event.body.state) or ""])
        elif isinstance(event.body, Queued):
            self._line(view.queued_text(event.body))
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
        transfer = self._transfer("download", received, total)
        if self._due("download", transfer):
            done = transfer.complete
            self._line(f"Received {transfer.sum_text()}." if done else f"Received {transfer.text(self._clock())}")

    def finished(self, places: Sequence[Path], what: What = "models") -> None:
        """Write where the results are."""
        self._lines(view.finished_texts(places, what))

    def _run_lines(self, run: view.RunView, event: Event) -> list[str]:
        match event.body:
            case RunStarted() as body:
                self._frames.pop(run.name, None)
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
            case Frames() as body if self._frames_due(run, body, event.t):
                return [f"{view.frames_title(run)}: {frames_text(body)}"]
            case RunEnded() as body:
                return [view.run_ended_text(run, body)]
        return []

    def _step_due(self, run: view.RunView, event: Event) -> bool:
        said = self._step_said.get(run.name)
        if said is not None and event.t - said < _STEP_INTERVAL_MS:
            return False
        self._step_said[run.name] = event.t
        if len(self._step_said) > view.MOST_RUNS:
            self._step_said = {name: t for name, t in self._step_said.items() if name in self._job.runs}
        return True

    def _frames_due(self, run: view.RunView, frames: Frames, now: int) -> bool:
        if len(self._frames) > view.MOST_RUNS:
            self._frames = {name: lines for name, lines in self._frames.items() if name in self._job.runs}
        return self._frames.setdefault(run.name, FrameLines()).is_due(frames, now)

    def _transfer(self, what: str, moved: int, total: int) -> Transfer:
        now = self._clock()
        transfer = self._transfers.get(what)
        if transfer is None:
            transfer = self._transfers[what] = Transfer(moved, total, now)
        transfer.update(moved, now)
        return transfer

    def _due(self, what: str, transfer: Transfer) -> bool:
        """Tell whether another tenth of what has to move is through, and a second since the last; the end always is."""
        now = self._clock()
        to_move = transfer.total - transfer.already
        tenth = _TENTHS if transfer.complete else transfer.moved * _TENTHS // to_move
        said, when = self._tenths.setdefault(what, (min(tenth, _TENTHS - 1), now))
        due = tenth > said and (tenth == _TENTHS or now - when >= _INTERVAL)
        if due:
            self._tenths[what] = (tenth, now)
        return due

    def _first_time(self, what: str) -> bool:
        first = what not in self._announced
        self._announced.add(what)
        return first

    def _log_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            output.write_line(f"  | {line}", self._stream)

    def _lines(self, texts: Iterable[str]) -> None:
        for text in texts:
            if text:
                self._line(text)

    def _line(self, text: str) -> None:
        output.write_line(text.replace("\n", " "), self._stream)
