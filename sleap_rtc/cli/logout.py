"""``sleap-rtc logout``."""

import click

from sleap_rtc.cli.options import server_option, settings_for
from sleap_rtc.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  sleap-rtc logout
  sleap-rtc logout --server https://rtc.lab.example
  sleap-rtc logout --everywhere
  sleap-rtc logout --device a_3f5c
"""
)
@server_option
@click.option("--everywhere", is_flag=True, help="End your logins on all machines and in all browsers.")
@click.option(
    "--device",
    metavar="ID",
    help="End this login instead, of another machine: its id, or the beginning, from whoami --devices.",
)
def logout(server: str | None, everywhere: bool, device: str | None) -> None:
    """End the login on this machine, or elsewhere.

    Workers that run here go on: their tokens are their own.
    """
    from sleap_rtc.cli.logging_out import end_device, log_out
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.running import run_async

    if everywhere and device is not None:
        raise UsageError("Give either --everywhere or --device, not both.")
    settings = settings_for(server=server)
    if device is not None:
        say(run_async(end_device(settings.server, device)))
    else:
        say(run_async(log_out(settings.server, everywhere=everywhere)))
