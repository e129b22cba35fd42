"""What ``sleap-rtc jobs resume`` does with a job that was found."""

from sleap_rtc.cli.output import say
from sleap_rtc.client.remote import RemoteJob
from sleap_rtc.protocol.jobs import JobState


async def resume_job(job: RemoteJob) -> None:
    """Let a job go on, and say how it stands.

    Raises:
        ConflictError: if there is nothing to go on with.
        BusyError: if its worker takes no new jobs.
    """
    await job.resume()
    summary = job.summary
    how = f"is {summary.state}"
    if summary.state is JobState.QUEUED:
        # the queue may not have been told yet
        place = summary.position or 1
        how = "is next in line" if place <= 1 else f"waits, number {place} in line"
    say(f"The job {summary.job} goes on as attempt {summary.attempt}; it {how}.")
    say(f"Watch it with 'sleap-rtc jobs watch {summary.job}', or type its train command again.")
