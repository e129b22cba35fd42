"""``sleap-rtc whoami``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for
from sleap_rtc.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  sleap-rtc whoami
  sleap-rtc whoami --all
  sleap-rtc whoami --devices
"""
)
@server_option
@click.option("--all", "everywhere", is_flag=True, help="At every service that this machine is logged in to.")
@click.option("--devices", is_flag=True, help="Every machine and browser where you are logged in.")
@json_option
def whoami(server: str | None, everywhere: bool, devices: bool, as_json: bool) -> None:
    """Say who is logged in, as the service sees it."""
    from sleap_rtc.cli.account import logged_in_api
    from sleap_rtc.cli.identities import ask_everywhere, device_rows, identity_rows
    from sleap_rtc.cli.output import emit_json, say, table
    from sleap_rtc.cli.running import run_async

    if everywhere and devices:
        raise UsageError("Give either --all or --devices, not both.")
    if everywhere:
        found = run_async(ask_everywhere())
        if as_json:
            emit_json([each.as_json() for each in found])
        elif not found:
            say("This machine is logged in to no service. Run: sleap-rtc login")
        else:
            table(("service", "who", "state"), identity_rows(found))
        return
    settings = settings_for(server=server)
    api = logged_in_api(settings)
    if devices:
        logins = run_async(api.logins())
        if as_json:
            emit_json([each.model_dump() for each in logins])
        else:
            table(("", "device", "kind", "from", "logged in", "last seen", "ends", "id"), device_rows(logins))
        return
    me = run_async(api.me())
    if as_json:
        emit_json({"server": settings.server, "user": me.user_id, "name": me.name})
        return
    say(f"{me.name} ({me.user_id}) at {settings.server}")
