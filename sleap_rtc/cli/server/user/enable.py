"""``sleap-rtc server user enable``."""

from pathlib import Path

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server user enable ada
  sleap-rtc server user enable u_abcdefgh --json
"""
)
@click.argument("name")
@place_options
@json_option
def enable(name: str, database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """Let a user in again. Their logins stay ended: they log in anew.

    NAME is a name, or a user's id.
    """
    settings = service_settings(database, settings_file)
    from signaling_server.operating import enable_user
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async

    user = run_async(enable_user(settings, name))
    if as_json:
        emit_json({"user": user.id, "name": user.name, "disabled_at": user.disabled_at})
        return
    say(f"'{user.name}' may log in again.")
