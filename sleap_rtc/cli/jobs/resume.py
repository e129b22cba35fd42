"""``sleap-rtc jobs resume``."""

from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request


@click.command(
    epilog="""\b
Examples:
  sleap-rtc jobs resume j_abcdefgh
  sleap-rtc jobs resume j_abcdefgh --room my-lab
"""
)
@job_argument
@where_options
def resume(job: str, **options: Any) -> None:
    """Go on with a job that was lost, failed or was stopped.

    It goes on from its last checkpoint, as the same job: its next attempt waits
    in its worker's queue, and one model comes home in the end.
    """
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.client.room_jobs import check_job_text

    check_job_text(job)
    run_async(_resume(read_request(options), job))


async def _resume(request: "Request", text: str) -> None:
    from sleap_rtc.cli.jobs.reaching import reach_job
    from sleap_rtc.cli.resuming import resume_job

    async with reach_job(request, text) as (job, _):
        await resume_job(job)
