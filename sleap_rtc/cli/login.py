"""``sleap-rtc login``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc login
  sleap-rtc login --server https://rtc.lab.example --no-browser
  sleap-rtc login --name ada
"""
)
@server_option
@click.option("--name", help="Log in by name alone, which a service started with --dev allows on its own machine.")
@click.option("--no-browser", is_flag=True, help="Only show the address and the code; open no browser.")
@json_option
def login(server: str | None, name: str | None, no_browser: bool, as_json: bool) -> None:
    """Log in to a signaling service.

    Shows an address and a code: open the one in any browser, on this machine
    or another, and type the other there. The login is kept for this service,
    used with no other, and lasts as long as it is used.
    """
    from sleap_rtc.cli.logging_in import LoginRequest, log_in
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry
    from sleap_rtc.config.clock import utc_ms

    settings = settings_for(server=server)
    grant = run_async(log_in(LoginRequest(settings.server, name, open_browser=not no_browser)))
    if as_json:
        emit_json(
            {
                "server": settings.server,
                "user": grant.user_id,
                "name": grant.name,
                "login": grant.login_id,
                "expires_at": grant.login_expires_at,
            }
        )
        return
    say(f"Logged in to {settings.server} as {grant.name}; {format_expiry(grant.login_expires_at, utc_ms())}.")
