"""``sleap-rtc jobs list``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import read_request, where_options
from sleap_rtc.cli.options import json_option

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.listing import Listed


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
    yours, or the room is: you may watch, fetch, stop and cancel them. Jobs of a
    worker that is away are shown as it last told the service.
    """
    from sleap_rtc.cli.jobs.listing import find_jobs
    from sleap_rtc.cli.output import emit_json, note, table, warn
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.errors import UnreachableError

    found = run_async(find_jobs(read_request(options), every=every))
    silent = found.asked and len(found.problems) == found.asked and not found.jobs
    if silent and found.refused:
        raise found.refused
    for worker, problem in found.problems:
        warn(f"{worker} could not be asked for its jobs. {problem}")
    if silent:
        raise UnreachableError("No worker could be asked for its jobs. Try again, or see: sleap-rtc doctor")
    if as_json:
        emit_json([each.record for each in found.jobs])
    elif found.jobs:
        table(("", "job", "name", "state", "from", "sent", "worker"), _rows(found.jobs))
    else:
        note("There are no jobs." if every else "No job waits or runs. Those that are over: sleap-rtc jobs list --all")


def _rows(found: "Sequence[Listed]") -> list[tuple[str, ...]]:
    import sys

    from sleap_rtc.cli.formats import enough_of
    from sleap_rtc.cli.times import format_time

    length = enough_of([each.job for each in found]) if sys.stdout.isatty() else None
    return [
        (
            "*" if each.mine else "",
            each.job[:length],
            each.name,
            each.state,
            each.owner,
            format_time(each.submitted),
            each.worker,
        )
        for each in found
    ]
