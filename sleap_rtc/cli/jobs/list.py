"""``sleap-rtc jobs list``."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import read_request, where_options
from sleap_rtc.cli.options import json_option

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request
    from sleap_rtc.client.room_jobs import WorkerJobs
    from sleap_rtc.protocol.jobs import JobSummary

_SHORTEST = 10


@click.command(
    "list",
    epilog="""\b
Examples:
  sleap-rtc jobs list
  sleap-rtc jobs list --all --room "Fly lab"
  sleap-rtc jobs list --all --json
""",
)
@click.option("-a", "--all", "every", is_flag=True, help="Those that are over, too.")
@json_option
@where_options
def list_jobs(every: bool, as_json: bool, **options: Any) -> None:
    """List the jobs of a room's workers, the newest last.

    You see the jobs of everybody in the room. Those marked with a star are
    yours, or the room is: you may watch, fetch, stop and cancel them.
    """
    from sleap_rtc.cli.output import emit_json, note, table, warn
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.errors import UnreachableError

    answers = run_async(_ask(read_request(options), every=every))
    for answer in answers:
        if answer.problem:
            warn(f"The jobs of {answer.worker.name} are not shown. {answer.problem}")
    if all(answer.problem for answer in answers):
        raise UnreachableError("No worker could be asked for its jobs. Try again, or see: sleap-rtc doctor")
    found = [(answer, summary) for answer in answers for summary in answer.jobs]
    found.sort(key=lambda each: (each[1].submitted, each[1].job))
    if as_json:
        emit_json([_record(*each) for each in found])
    elif found:
        table(("", "job", "name", "state", "from", "sent", "worker"), _rows(found))
    else:
        note("There are no jobs." if every else "No job waits or runs. Those that are over: sleap-rtc jobs list --all")


async def _ask(request: "Request", *, every: bool) -> "Sequence[WorkerJobs]":
    from sleap_rtc.cli.jobs.reaching import enter, find_place
    from sleap_rtc.client.room_jobs import list_jobs as ask_for_jobs

    async with enter(request, find_place(request)) as (client, workers):
        return await ask_for_jobs(client, workers, all=every)


def _rows(found: "Sequence[tuple[WorkerJobs, JobSummary]]") -> list[tuple[str, ...]]:
    import sys

    from sleap_rtc.cli.jobs.words import state_text
    from sleap_rtc.cli.times import format_time

    ids = [summary.job for _, summary in found]
    length = _enough_of(ids) if sys.stdout.isatty() else None
    return [
        (
            "*" if summary.mine else "",
            summary.job[:length],
            summary.name,
            state_text(summary),
            summary.owner,
            format_time(summary.submitted),
            answer.worker.name,
        )
        for answer, summary in found
    ]


def _enough_of(ids: Sequence[str]) -> int:
    """How many characters of these ids tell them apart, and are enough to be typed."""
    length = _SHORTEST
    while len({job[:length] for job in ids}) < len(set(ids)):
        length += 1
    return length


def _record(answer: "WorkerJobs", summary: "JobSummary") -> dict[str, object]:
    fields: dict[str, object] = json.loads(summary.model_dump_json())
    return fields | {"worker": answer.worker.name, "worker_id": answer.worker.worker_id}
