"""``sleap-rtc server db upgrade``."""

import asyncio
from pathlib import Path

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server db upgrade
  sleap-rtc server db upgrade --database /srv/sleap-rtc/service.db
"""
)
@place_options
@json_option
def upgrade(database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """Bring the database up to date, making it if there is none.

    The service does the same whenever it starts. Back up first: an older version of sleap-rtc cannot use what a newer
    one has upgraded.
    """
    settings = service_settings(database, settings_file)
    from signaling_server.db import bring_up_to_date
    from sleap_rtc.cli.output import emit_json, say

    before, after = asyncio.run(bring_up_to_date(settings.database_url))
    if as_json:
        emit_json({"from": before, "to": after})
    elif before == after:
        say(f"The database is up to date (revision {after}).")
    else:
        say(f"The database is now at revision {after}; before it was {f'at {before}' if before else 'empty'}.")
