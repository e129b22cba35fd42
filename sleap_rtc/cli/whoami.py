"""``sleap-rtc whoami``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc whoami
  sleap-rtc whoami --json
"""
)
@server_option
@json_option
def whoami(server: str | None, as_json: bool) -> None:
    """Say who is logged in, as the service sees it."""
    from sleap_rtc.cli.account import logged_in_api
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server)
    me = run_async(logged_in_api(settings).me())
    if as_json:
        emit_json({"server": settings.server, "user": me.user_id, "name": me.name})
        return
    say(f"{me.name} ({me.user_id}) at {settings.server}")
