"""``sleap-rtc jobs logs``."""

from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options

if TYPE_CHECKING:
    from sleap_rtc.cli.jobs.reaching import Request


@click.command(
    epilog="""\b
Examples:
  sleap-rtc jobs logs j_abcdefgh
  sleap-rtc jobs logs j_abcdefgh -f | grep -i loss
"""
)
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@where_options
def logs(job: str, follow: bool, **options: Any) -> None:
    """Print the log of a job, as far as it has been written."""
    from sleap_rtc.cli.running import run_async

    run_async(_logs(read_request(options), job, follow=follow))


async def _logs(request: "Request", text: str, *, follow: bool) -> None:
    from sleap_rtc.cli.jobs.reaching import reach_job
    from sleap_rtc.cli.output import note, write_text
    from sleap_rtc.client.link import LinkState
    from sleap_rtc.protocol.jobs import Event

    def say_link(state: LinkState, reason: str) -> None:
        if state is LinkState.LOST:
            note(f"The worker is out of reach: {reason} Trying again; the job goes on.")

    def pass_over(_: Event) -> None:
        """The log alone is asked for."""

    async with reach_job(request, text, on_state=say_link) as (job, _):
        # the last event comes once more: it may be the end, written after the summary's state was read
        since = max(0, job.summary.last_seq - 1)
        if follow and not job.summary.state.ended:
            await job.watch(pass_over, since=since, on_log=write_text)
        else:
            await job.look(pass_over, since=since, on_log=write_text)
