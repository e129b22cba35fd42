"""``sleap-rtc server db backup``."""

import asyncio
from pathlib import Path

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings


@click.command(
    epilog="""\b
Examples:
  sleap-rtc server db backup sleap-rtc-2026-11-28.zip
  sleap-rtc server db backup /backups/$(date +%F).zip
"""
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@place_options
@json_option
def backup(file: Path, database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """Write all that the service keeps to the new file FILE; it may run meanwhile.

    The file also holds the key that tokens are hashed under, so keep it where only you can read it. It can be restored
    into any database, also of another kind.
    """
    settings = service_settings(database, settings_file)
    from signaling_server.backups.saving import back_up
    from sleap_rtc.cli.formats import count, format_size
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.config.clock import utc_ms

    manifest = asyncio.run(back_up(settings, file, now=utc_ms()))
    size = file.stat().st_size
    if as_json:
        facts = {"rows": manifest.rows, "revision": manifest.revision, "made_at": manifest.made_at}
        emit_json({"file": str(file), "bytes": size} | facts)
    else:
        say(
            f"{file} holds {count(manifest.rows, 'row')} ({format_size(size)}) and the key to the tokens: keep it safe."
        )
