"""``sleap-rtc jobs stop``."""

from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request


@click.command(
    epilog="""\b
Examples:
  sleap-rtc jobs stop j_abcdefgh
"""
)
@job_argument
@where_options
def stop(job: str, **options: Any) -> None:
    """Stop a job after its current step; its best model so far is kept.

    sleap-nn then validates and saves, which may take a while. Whoever watches
    the job gets the model; otherwise 'sleap-rtc jobs fetch' brings it home. Of
    an inference, the predictions of what was looked at to its end are kept.
    """
    from sleap_rtc.cli.running import run_async

    run_async(_stop(read_request(options), job))


async def _stop(request: "Request", text: str) -> None:
    from sleap_rtc.cli.following import TRAINING, results_of
    from sleap_rtc.cli.jobs.reaching import reach_job
    from sleap_rtc.cli.output import note, say

    async with reach_job(request, text) as (job, worker):
        if job.summary.state.ended:
            say(f"The job {job.id} on {worker.name} is over already: {job.summary.state}.")
            return
        await job.stop()
    words = results_of(job.summary, None).words
    if words is TRAINING:
        say(f"The job {job.id} on {worker.name} stops after its current step.")
        note(f"Its best model comes home with: sleap-rtc jobs watch {job.id}")
        return
    say(f"The job {job.id} on {worker.name} stops.")
    model = "Its best model, and what" if "models" in words.results else "What"
    note(f"{model} was looked at to its end comes home with: sleap-rtc jobs watch {job.id}")
