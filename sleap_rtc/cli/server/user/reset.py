"""``sleap-rtc server user reset``."""

from pathlib import Path

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings
from sleap_rtc.cli.server.user.showing import show_link


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server user reset ada
  sleap-rtc server user reset ada --json
"""
)
@click.argument("name")
@place_options
@json_option
def reset(name: str, database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """Make a new link for an account whose password is lost, or was never chosen.

    The old password and every login of theirs end. NAME is the account's name,
    or a user's id.
    """
    settings = service_settings(database, settings_file)
    from signaling_server.operating import reset_user
    from sleap_rtc.cli.running import run_async

    invited = run_async(reset_user(settings, name))
    show_link(
        invited,
        f"The password and the logins of '{invited.name}' are ended.",
        public_url=settings.public_url,
        as_json=as_json,
    )
