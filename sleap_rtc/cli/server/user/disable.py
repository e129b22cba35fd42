"""``sleap-rtc server user disable``."""

from pathlib import Path

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server user disable ada
  sleap-rtc server user disable u_abcdefgh --json
"""
)
@click.argument("name")
@place_options
@json_option
def disable(name: str, database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """Let a user in no longer, whoever vouches for them. Their logins end.

    A running service closes their connections within seconds. Their rooms, and
    the worker tokens they made, stay. NAME is a name, or a user's id.
    """
    settings = service_settings(database, settings_file)
    from signaling_server.operating import disable_user
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async

    user = run_async(disable_user(settings, name))
    if as_json:
        emit_json({"user": user.id, "name": user.name, "disabled_at": user.disabled_at})
        return
    say(f"'{user.name}' is let in no longer, and their logins are ended.")
    say(f"To let them in again: sleap-rtc server user enable {user.id}")
