"""``sleap-rtc server db restore``."""

import asyncio
from pathlib import Path

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server db restore backup.zip
  sleap-rtc server db restore backup.zip --replace
  sleap-rtc server db restore backup.zip \\
      --database postgresql+asyncpg://sleap@db.lab.example/sleap
"""
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace what the database holds; it is backed up first, beside FILE.")
@place_options
@json_option
def restore(file: Path, replace: bool, database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """Make the database what it was in the backup FILE, and up to date. Stop the service first.

    Either all of it is brought back or nothing is changed.
    """
    settings = service_settings(database, settings_file)
    from signaling_server.backups.restoring import restore as bring_back
    from sleap_rtc.cli.formats import count
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.times import format_time
    from sleap_rtc.config.clock import utc_ms

    restored = asyncio.run(bring_back(settings, file, replace=replace, now=utc_ms()))
    manifest, before = restored.manifest, restored.before
    if as_json:
        facts = {"rows": manifest.rows, "made_at": manifest.made_at}
        emit_json(facts | {"before": None if before is None else str(before)})
        return
    say(f"{count(manifest.rows, 'row')} of {format_time(manifest.made_at)} are back.")
    if before is not None:
        say(f"What was there before is in {before}.")
