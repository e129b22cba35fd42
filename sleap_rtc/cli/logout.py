"""``sleap-rtc logout``."""

import click

from sleap_rtc.cli.options import server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc logout
  sleap-rtc logout --server https://rtc.lab.example
"""
)
@server_option
def logout(server: str | None) -> None:
    """End the login on this machine.

    Workers that run here go on: their tokens are their own.
    """
    from sleap_rtc.cli.output import say, warn
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.config.credentials import Credentials
    from sleap_rtc.errors import AuthenticationError, SleapRTCError
    from sleap_rtc.signaling.api import ServiceAPI

    settings = settings_for(server=server)
    credentials = Credentials()
    known = credentials.login(settings.server)
    if known is None:
        say(f"Nobody is logged in to {settings.server}.")
        return
    try:
        run_async(ServiceAPI(settings.server, known.access_token).logout())
    except AuthenticationError:
        pass  # it has ended already
    except SleapRTCError as error:
        warn(f"{error.sentence} The login is removed from this machine; the service still knows it until it expires.")
    credentials.forget_login(settings.server)
    say(f"{known.name} is logged out of {settings.server}.")
