"""``sleap-rtc jobs fetch``."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options
from sleap_rtc.cli.options import events_option, results_option

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
@results_option
@events_option
@where_options
def fetch(job: str, output: Path | None, as_json: bool, **options: Any) -> None:
    """Bring home the results of a job that is over: models or predictions.

    They arrive whole or not at all, and never over what is there. Of
    a job that still runs, 'sleap-rtc jobs watch' brings them when it ends.
    """
    from sleap_rtc.cli.running import run_async

    run_async(_fetch(read_request(options), job, output, as_json=as_json))


async def _fetch(request: "Request", text: str, output: Path | None, *, as_json: bool) -> None:
    from functools import partial

    from sleap_rtc.cli.following import results_of
    from sleap_rtc.cli.jobs.reaching import reach_job
    from sleap_rtc.cli.progress import make_display
    from sleap_rtc.cli.telling import say_link, say_met_beside
    from sleap_rtc.client.choice import gpu_text

    with make_display(json=as_json) as display:
        display.connecting(f"the worker of {text}")
        request = replace(request, on_met=partial(say_met_beside, display))
        async with reach_job(request, text, on_state=partial(say_link, display)) as (job, worker):
            display.connected(worker.name, gpu_text(worker))
            results = results_of(job.summary, output)
            assert results.bring is not None  # noqa: S101 - they are not left there
            display.finished(await results.bring(job, display.download), results.words.results)
