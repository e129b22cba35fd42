"""``sleap-rtc jobs``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "cancel": ("sleap_rtc.cli.jobs.cancel:cancel", "End a job and keep nothing of it."),
    "fetch": ("sleap_rtc.cli.jobs.fetch:fetch", "Bring home the results of a job that is over."),
    "list": ("sleap_rtc.cli.jobs.list:list_jobs", "List the jobs of a room's workers."),
    "logs": ("sleap_rtc.cli.jobs.logs:logs", "Print the log of a job."),
    "resume": ("sleap_rtc.cli.jobs.resume:resume", "Go on with a job that was lost, failed or stopped."),
    "show": ("sleap_rtc.cli.jobs.show:show", "Say how a job stands."),
    "stop": ("sleap_rtc.cli.jobs.stop:stop", "Stop a job; what it has so far is kept."),
    "watch": ("sleap_rtc.cli.jobs.watch:watch", "Watch a job and bring its results home."),
}
"""The commands of this group."""


@click.group(cls=LazyGroup, table=COMMANDS)
def jobs() -> None:
    """List, watch, stop, resume and fetch the jobs of a room's workers.

    JOB is a job's id, or enough of its beginning. A job that was sent from this
    machine is found by itself; for others say where to look: --room, or
    --session-string.
    """
