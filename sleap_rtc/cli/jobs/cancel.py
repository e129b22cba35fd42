"""``sleap-rtc jobs cancel``."""

from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request


@click.command(
    epilog="""\b
Examples:
  sleap-rtc jobs cancel j_abcdefgh
  sleap-rtc jobs cancel j_abcdefgh --yes
"""
)
@job_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@where_options
def cancel(job: str, yes: bool, **options: Any) -> None:
    """End a job and keep nothing of it.

    On a terminal it asks first. To keep the best model so far, stop the job
    instead: sleap-rtc jobs stop.
    """
    from sleap_rtc.cli.asking import can_ask
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.client.room_jobs import check_job_text

    check_job_text(job)
    if not yes and can_ask():
        click.confirm(f"Cancel the job {job}? Nothing of it is kept.", abort=True, err=True)
    run_async(_cancel(read_request(options), job))


async def _cancel(request: "Request", text: str) -> None:
    from sleap_rtc.cli.jobs.reaching import reach_job
    from sleap_rtc.cli.output import say

    async with reach_job(request, text) as (job, worker):
        if job.summary.state.ended:
            say(f"The job {job.id} on {worker.name} is over already: {job.summary.state}.")
            return
        await job.cancel()
        job.forget()
    say(f"The job {job.id} on {worker.name} is cancelled; nothing of it is kept.")
