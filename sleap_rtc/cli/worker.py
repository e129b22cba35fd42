"""``sleap-rtc worker``."""

import socket
from pathlib import Path

import click

from sleap_rtc.cli.options import server_option, transport_option


@click.command(
    epilog="""\b
Examples:
  sleap-rtc worker
  sleap-rtc worker --server https://rtc.lab.example --name lab-gpu-1
"""
)
@server_option
@click.option("--name", help="What clients see; this machine's name by default.")
@click.option(
    "--jobs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where jobs are kept; ~/.sleap-rtc/jobs by default.",
)
@click.option("--drain", is_flag=True, help="On Ctrl-C, take no new job and wait for those it has.")
@transport_option
def worker(server: str, name: str | None, jobs: Path | None, drain: bool, transport: str) -> int:
    """Offer this machine's GPU for training.

    Prints a session string: give it to whoever may train here. Ctrl-C ends the
    worker; jobs that run go on, and are found again by the next start.
    """
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.serving import serve

    return run_async(serve(server, name or socket.gethostname(), jobs, drain=drain, transport=transport))
