"""``sleap-rtc server user add``."""

from pathlib import Path

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings
from sleap_rtc.cli.server.user.showing import show_link


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server user add ada
  sleap-rtc server user add ada --settings /etc/sleap-rtc-server.toml --json
"""
)
@click.argument("name")
@place_options
@json_option
def add(name: str, database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """Make an account of the service's own, for a service with local_accounts.

    Nobody types a password for somebody else: the link that is printed lets its
    holder choose one, once, within a day.
    """
    settings = service_settings(database, settings_file)
    from signaling_server.operating import add_user
    from sleap_rtc.cli.running import run_async

    invited = run_async(add_user(settings, name))
    show_link(invited, f"The account '{invited.name}' is made.", public_url=settings.public_url, as_json=as_json)
