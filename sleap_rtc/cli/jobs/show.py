"""``sleap-rtc jobs show``."""

import json
from collections import deque
from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.formats import count, format_value
from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options
from sleap_rtc.cli.options import json_option

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request
    from sleap_rtc.protocol.jobs import Event, JobSummary, Run
    from sleap_rtc.protocol.signaling import WorkerPresence

_LABEL = 9
_RECENT = 200
"""Events looked at for what the job does now; an epoch has a few."""


@click.command(
    epilog="""\b
Examples:
  sleap-rtc jobs show j_abcdefgh
  sleap-rtc jobs show j_abcdefgh --json
"""
)
@job_argument
@json_option
@where_options
def show(job: str, as_json: bool, **options: Any) -> None:
    """Say how a job stands: its state, its runs, its last epoch or frame."""
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async

    summary, worker, events = run_async(_look(read_request(options), job))
    if as_json:
        fields = json.loads(summary.model_dump_json())
        emit_json(fields | {"worker": worker.name, "worker_id": worker.worker_id, "now": _now(events)})
        return
    for label, text in _lines(summary, worker, events):
        say(f"{label:<{_LABEL}}{text}")


async def _look(request: "Request", text: str) -> "tuple[JobSummary, WorkerPresence, list[Event]]":
    from sleap_rtc.cli.jobs.reaching import reach_job

    # no more of them than asked for are kept, however many are sent
    events: deque[Event] = deque(maxlen=_RECENT)
    async with reach_job(request, text) as (job, worker):
        await job.look(events.append, since=max(0, job.summary.last_seq - _RECENT))
    return job.summary, worker, list(events)


def _now(events: "list[Event]") -> dict[str, object]:
    """What the job did last: the run, its epoch (from 0, as sleap-nn counts) and the metrics of the last whole one.

    Of an inference: the run, and how many frames it has looked at.
    """
    from sleap_rtc.protocol.jobs import EpochEnded, EpochStarted, Frames, RunStarted, Step, Verb

    found: dict[str, object] = {}
    for event in events:
        match event.body:
            case RunStarted(verb=Verb.TRAIN):
                found = {"run": event.run, "epoch": None, "metrics": {}}
            case RunStarted():
                found = {"run": event.run, "frames": None}
            case Frames():
                found = {"run": event.run, "frames": event.body.model_dump(exclude={"type"})}
            case EpochStarted() | Step():
                found |= {"run": event.run, "epoch": event.body.epoch}
            case EpochEnded():
                found |= {"run": event.run, "epoch": event.body.epoch, "metrics": event.body.metrics}
    return found


def _lines(summary: "JobSummary", worker: "WorkerPresence", events: "list[Event]") -> list[tuple[str, str]]:
    from sleap_rtc.cli.jobs.words import queue_text
    from sleap_rtc.cli.times import format_time

    state = f"{summary.state} since {format_time(summary.changed)}"
    waiting = queue_text(summary)
    lines = [
        ("Job", summary.job),
        ("Package", summary.name),
        ("From", f"{summary.owner}, {format_time(summary.submitted)}"),
        ("Worker", f"{worker.name} ({worker.worker_id})"),
        ("State", f"{state} ({waiting})" if waiting else state),
        ("Runs", ", ".join(map(_run_text, summary.runs))),
        ("Attempt", str(summary.attempt) if summary.attempt > 1 else ""),
        ("Now" if not summary.state.ended else "Last", _now_text(summary, _now(events))),
        # its lines must not look like lines of ours
        ("Error", summary.error.sentence.replace("\n", f"\n{'':{_LABEL}}") if summary.error else ""),
    ]
    return [(label, text) for label, text in lines if text]


def _run_text(run: "Run") -> str:
    return f"{run.name} (at most {count(run.max_epochs, 'epoch')})" if run.max_epochs else run.name


def _now_text(summary: "JobSummary", now: dict[str, object]) -> str:
    from sleap_rtc.cli.progress_frames import frames_text
    from sleap_rtc.protocol.jobs import Frames

    if frames := now.get("frames"):
        return f"{now['run']}, {frames_text(Frames.model_validate(frames))}"
    epoch, metrics = now.get("epoch"), now.get("metrics")
    if not isinstance(epoch, int):
        return ""
    most = next((run.max_epochs for run in summary.runs if run.name == now["run"]), None)
    losses = metrics if isinstance(metrics, dict) else {}
    words = [f"{name} {format_value(losses[name])}" for name in ("train/loss", "val/loss") if name in losses]
    return ", ".join([f"{now['run']}, epoch {epoch + 1}{f' of {most}' if most else ''}", *words])
