"""``sleap-rtc jobs fetch``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options
from sleap_rtc.cli.options import events_option, output_option

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request


@click.command(
    epilog="""\b
Examples:
  sleap-rtc jobs fetch j_abcdefgh
  sleap-rtc jobs fetch j_abcdefgh -o /data/models
"""
)
@job_argument
@output_option
@events_option
@where_options
def fetch(job: str, output: Path, as_json: bool, **options: Any) -> None:
    """Bring home the models of a job that is over.

    They arrive whole or not at all, and never over a folder that is there. Of
    a job that still runs, 'sleap-rtc jobs watch' brings them when it ends.
    """
    from sleap_rtc.cli.running import run_async

    run_async(_fetch(read_request(options), job, output, as_json=as_json))


async def _fetch(request: "Request", text: str, output: Path, *, as_json: bool) -> None:
    from functools import partial

    from sleap_rtc.cli.jobs.reaching import reach_job
    from sleap_rtc.cli.progress import make_display
    from sleap_rtc.cli.telling import say_link, say_met_beside
    from sleap_rtc.client.choice import gpu_text

    with make_display(json=as_json) as display:
        display.connecting(f"the worker of {text}")
        request = replace(request, on_met=partial(say_met_beside, display))
        async with reach_job(request, text, on_state=partial(say_link, display)) as (job, worker):
            display.connected(worker.name, gpu_text(worker))
            display.finished(await job.fetch(output, display.download))
