"""``sleap-rtc login``."""

import getpass
import sys

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc login
  sleap-rtc login --server https://rtc.lab.example --name ada
"""
)
@server_option
@click.option("--name", help="Who you are; asked for on a terminal.  [default: your user name here]")
@json_option
def login(server: str | None, name: str | None, as_json: bool) -> None:
    """Log in to a signaling service.

    By name alone, which a service allows that was started with --dev on this
    machine. The login is kept for this service, and used with no other.
    """
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry, now_ms
    from sleap_rtc.config.credentials import Credentials, Login
    from sleap_rtc.signaling.api import ServiceAPI

    settings = settings_for(server=server)
    if name is None:
        name = _ask(_user_name(), settings.server)
    grant = run_async(ServiceAPI(settings.server).login_dev(name))
    Credentials().keep_login(settings.server, Login(grant.access_token, grant.user_id, grant.name, None))
    if as_json:
        emit_json(
            {"server": settings.server, "user": grant.user_id, "name": grant.name, "expires_at": grant.login_expires_at}
        )
        return
    say(f"Logged in to {settings.server} as {grant.name}; {format_expiry(grant.login_expires_at, now_ms())}.")


def _ask(default: str | None, server: str) -> str:
    if sys.stdin.isatty() and sys.stderr.isatty():
        return str(click.prompt(f"Your name at {server}", default=default, err=True))
    if default is None:
        raise click.UsageError("This machine does not say who you are. Add --name.")
    return default


def _user_name() -> str | None:
    try:
        return getpass.getuser() or None
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return None
