"""``sleap-rtc jobs watch``."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sleap_rtc.cli.jobs.options import job_argument, read_request, where_options
from sleap_rtc.cli.options import events_option, give_up_option, logs_option, monitor_options, results_option

if TYPE_CHECKING:
    from sleap_rtc.cli.following import Asks
    from sleap_rtc.cli.jobs.reaching import Request
    from sleap_rtc.cli.progress import JobDisplay
    from sleap_rtc.client.lossviewer import MonitorPorts


@click.command(
    epilog="""\b
Examples:
  sleap-rtc jobs watch j_abcdefgh
  sleap-rtc jobs watch j_abcdefgh --logs -o /data/models
  sleap-rtc jobs watch j_abcdefgh --no-fetch --json
"""
)
@job_argument
@results_option
@click.option("--no-fetch", is_flag=True, help="Leave the results on the worker.")
@logs_option
@events_option
@give_up_option
@monitor_options
@where_options
def watch(**options: Any) -> int:
    """Watch a job from its beginning and bring its results home.

    What happened so far comes first. A job may be watched from several places
    at once. Ctrl-C asks whether to leave it, to stop it and keep the best model,
    or to cancel it.
    """
    from sleap_rtc.cli.following import until_interrupted
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.client.lossviewer import MonitorPorts
    from sleap_rtc.config.timeouts import Timeouts

    timeouts = Timeouts(give_up=options.pop("give_up"))
    request = replace(read_request(options), timeouts=timeouts)
    no_fetch = options.pop("no_fetch")
    options["monitor"] = MonitorPorts(options.pop("publish_port"), options.pop("controller_port"))
    wanted = _Wanted(**options, leave=no_fetch)

    async def run() -> int:
        from sleap_rtc.cli.progress import make_display

        with make_display(json=wanted.as_json, logs=wanted.logs) as display:
            return await until_interrupted(lambda asks: _watch(request, wanted, display, asks))

    return run_async(run())


@dataclass(frozen=True)
class _Wanted:
    """What the user wants to see and to get; `leave`: the results stay where they are."""

    job: str
    output: Path | None
    leave: bool
    logs: bool
    as_json: bool
    monitor: "MonitorPorts"


async def _watch(request: "Request", wanted: _Wanted, display: "JobDisplay", asks: "Asks") -> int:
    from functools import partial

    from sleap_rtc.cli.following import Following, results_of
    from sleap_rtc.cli.jobs.reaching import reach_job
    from sleap_rtc.cli.telling import say_link, say_met_beside
    from sleap_rtc.client.choice import gpu_text

    display.connecting(f"the worker of {wanted.job}")
    request = replace(request, on_met=partial(say_met_beside, display))
    async with reach_job(request, wanted.job, on_state=partial(say_link, display)) as (job, worker):
        display.connected(worker.name, gpu_text(worker))
        asks.has_job = True
        display.accepted(job.summary)
        results = results_of(job.summary, wanted.output, leave=wanted.leave)
        return await Following(
            job, display, asks.queue, results=results, logs=wanted.logs, monitor=wanted.monitor
        ).run()
