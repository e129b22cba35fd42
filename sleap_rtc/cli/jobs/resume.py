"""``sleap-rtc jobs resume``."""

from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request
    from sleap_rtc.client.remote_job import RemoteJob


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

    async with reach_job(request, text) as (job, _):
        await resume_job(job)


async def resume_job(job: "RemoteJob") -> None:
    """Let a job go on, and say how it stands.

    Raises:
        ConflictError: if there is nothing to go on with.
        BusyError: if its worker takes no new jobs.
    """
    from sleap_rtc.cli.output import say
    from sleap_rtc.protocol.jobs import JobState

    await job.resume()
    summary = job.summary
    how = f"is {summary.state}"
    if summary.state is JobState.QUEUED:
        # the queue may not have been told yet
        place = summary.position or 1
        how = "is next in line" if place <= 1 else f"waits, number {place} in line"
    say(f"The job {summary.job} goes on as attempt {summary.attempt}; it {how}.")
    say(f"Watch it with 'sleap-rtc jobs watch {summary.job}', or type its command again.")
