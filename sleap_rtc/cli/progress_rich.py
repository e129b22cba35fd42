"""The face for terminals: what is over stays as a line, what goes on moves below it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TextIO

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from sleap_rtc.cli import output
from sleap_rtc.cli import progress_view as view
from sleap_rtc.cli.formats import format_value
from sleap_rtc.cli.progress import Clock, JobDisplay, LogLines, What
from sleap_rtc.cli.progress_frames import frames_text
from sleap_rtc.cli.progress_transfer import Transfer, Upload, paused_text
from sleap_rtc.protocol.jobs import Event, JobSummary, Notice, Queued, RunEnded, StateChanged, Verb
from sleap_rtc.protocol.text import printable
from sleap_rtc.transport.paths import NetworkPath

_BAR = 20
_FRAMES_PER_SECOND = 8
_READING = "Reading"
_SENDING = "Sending"


class RichDisplay(JobDisplay):
    """Keeps a small live picture at the bottom of a terminal."""

    def __init__(self, stream: TextIO, *, logs: bool, clock: Clock) -> None:
        self._console = output.console(stream)
        self._logs = logs
        self._clock = clock
        self._job = view.JobView()
        self._log = LogLines()
        self._doing: str | None = None
        self._spinner = Spinner("line")
        self._worker = "the worker"
        self._title = ""
        self._over: set[str] = set()
        self._transfer: Transfer | None = None
        self._live = self._new_live()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def close(self) -> None:
        """Take the moving part away; the lines above it stay."""
        self._log_lines(self._log.flush())
        self._live.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Take the moving part away for a question."""
        self._live.stop()
        try:
            yield
        finally:
            self._live = self._new_live()
            self._live.start()

    def reading(self, package: str, done: int, total: int) -> None:
        """Move the reading's bar; keep its sum at the end, unless it was quick."""
        transfer = self._move(f"{_READING} {package}", done, total)
        if transfer is not None and transfer.complete and transfer.is_slow(self._clock()):
            self._keep(f"Read {transfer.sum_text()}.")

    def connecting(self, text: str) -> None:
        """Show whom we are looking for."""
        self._doing = f"Connecting to {text}"

    def connected(self, worker_name: str, gpu_text: str, path: NetworkPath | None = None) -> None:
        """Keep who answered."""
        self._worker = worker_name
        self._doing = None
        self._keep(view.connected_text(worker_name, gpu_text, path))

    def upload(self, sent: int, total: int, already: int) -> None:
        """Move the upload's bar, keep its sum at the end."""
        if _SENDING in self._over:
            return
        now = self._clock()
        if not isinstance(self._transfer, Upload):
            self._title, self._transfer = _SENDING, Upload(total, now)
        upload = self._transfer
        upload.report(sent, already, now)
        if upload.complete:
            self._end_transfer()
            self._doing = "Waiting for the worker to accept the job"
            self._keep(upload.done_text(self._worker))

    def upload_paused(self, reason: str | None) -> None:
        """Keep why the worker takes nothing just now, and that it goes on."""
        self._keep(paused_text(self._worker, reason))

    def accepted(self, summary: JobSummary) -> None:
        """Keep the job's id."""
        self._keep(view.accepted_text(summary))
        self._doing = "Waiting for the first run"
        self._transfer = None  # a job found again was not sent again

    def event(self, event: Event) -> None:
        """Change the picture; keep a line for each run that ended."""
        run = self._job.apply(event)
        if isinstance(event.body, StateChanged):
            self._doing = None if event.body.state.ended else view.state_text(event.body.state)
            if event.body.state.ended and (text := view.state_text(event.body.state)):
                self._keep(text)
        elif isinstance(event.body, Queued):
            self._doing = view.queued_text(event.body)
        elif isinstance(event.body, Notice):
            self._keep(f"Note: {event.body.text}")
        elif run is not None and isinstance(event.body, RunEnded):
            self._keep(view.run_ended_text(run, event.body))

    def log(self, text: str) -> None:
        """Keep the log's lines above the picture."""
        if self._logs:
            self._log_lines(self._log.feed(text))

    def link_lost(self, reason: str) -> None:
        """Keep that the worker is out of reach."""
        self._keep(view.link_lost_text(reason))

    def link_restored(self) -> None:
        """Keep that it is back."""
        self._keep(view.LINK_RESTORED)

    def download(self, received: int, total: int) -> None:
        """Move the download's bar, keep its sum at the end."""
        transfer = self._move("Receiving", received, total)
        if transfer is not None and transfer.complete:
            self._doing = "Putting the results in place"
            self._keep(f"Received {transfer.sum_text()}.")

    def finished(self, places: Sequence[Path], what: What = "models") -> None:
        """Keep where the results are."""
        self._doing = None
        for text in view.finished_texts(places, what):
            self._keep(text)

    def picture(self) -> RenderableType:
        """Draw what goes on now."""
        parts: list[RenderableType] = []
        if self._transfer is not None:
            parts += self._transfer_rows(self._transfer)
        elif (run := self._job.current) is not None and not (self._job.state and self._job.state.ended):
            parts += self._frame_rows(run) if run.verb is Verb.TRACK else self._run_rows(run)
        elif self._doing is not None:
            self._spinner.update(text=Text(printable(self._doing), overflow="ellipsis", no_wrap=True))
            parts.append(self._spinner)
        return Group(*parts)

    def _run_rows(self, run: view.RunView) -> Iterable[RenderableType]:
        what = view.epoch_text(run) if run.epoch is not None else "the trainer is starting"
        if run.batch is not None and run.phase is view.Phase.TRAINING:
            what += f", step {run.batch + 1}"
        yield _row(run.name, _bar(run.epochs_done, run.max_epochs), what)
        losses = [f"loss {format_value(run.loss)}"] if run.loss is not None else []
        if "val/loss" in run.losses:
            losses.append(f"val loss {format_value(run.losses['val/loss'])}{view.heads_text(run.losses)}")
        yield Text("  " + ", ".join(losses) if losses else "", overflow="ellipsis", no_wrap=True)
        rest = view.time_text(run) if run.phase is view.Phase.TRAINING else ""
        self._spinner.update(text=Text(run.phase.value + (f", {rest}" if rest else "")))
        yield self._spinner

    def _frame_rows(self, run: view.RunView) -> Iterable[RenderableType]:
        frames = run.frames
        bar = _bar(frames.done, frames.total or None) if frames else _bar(0, 1)
        yield _row(view.frames_title(run), bar, frames_text(frames) if frames else "sleap-nn is starting")
        self._spinner.update(text=Text(run.phase.value))
        yield self._spinner

    def _transfer_rows(self, transfer: Transfer) -> Iterable[RenderableType]:
        now = self._clock()
        if self._title.startswith(_READING) and not transfer.is_slow(now):
            return
        yield _row(self._title, _bar(transfer.done, transfer.total), transfer.text(now))
        if isinstance(transfer, Upload) and transfer.already:
            text = printable(transfer.already_text(self._worker))
            yield Text(f"  {text}", overflow="ellipsis", no_wrap=True)

    def _move(self, title: str, moved: int, total: int) -> Transfer | None:
        """Move a transfer's bar; return it, or None for one that was complete before."""
        if title in self._over:
            return None
        now = self._clock()
        if self._transfer is None or self._title != title:
            self._title, self._transfer = title, Transfer(moved, total, now)
        transfer = self._transfer
        transfer.update(moved, now)
        if transfer.complete:
            self._end_transfer()
        return transfer

    def _end_transfer(self) -> None:
        self._over.add(self._title)
        self._transfer = None

    def _log_lines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._console.print(Text(printable(line), style="dim"), soft_wrap=True)

    def _keep(self, text: str) -> None:
        self._live.refresh()  # rich redraws the picture below the line as it last saw it
        self._console.print(Text(printable(text.replace("\n", " "))))

    def _new_live(self) -> Live:
        return Live(
            console=self._console,
            get_renderable=self.picture,
            refresh_per_second=_FRAMES_PER_SECOND,
            transient=True,
        )


def _bar(done: int, total: int | None) -> ProgressBar:
    return ProgressBar(total=total or 1, completed=done, width=_BAR, pulse=total is None)


def _row(title: str, bar: ProgressBar, text: str) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, overflow="ellipsis", max_width=24)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(Text(printable(title)), bar, Text(printable(text)))
    return grid
