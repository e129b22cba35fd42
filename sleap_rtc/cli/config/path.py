"""``sleap-rtc config path``."""

import click

from sleap_rtc.cli.options import json_option


@click.command(
    epilog="""\b
Examples:
  sleap-rtc config path
  ${EDITOR:-nano} "$(sleap-rtc config path)"
"""
)
@json_option
def path(as_json: bool) -> None:
    """Say where the settings file lies that commands write.

    With --json also the files that are read from this folder, the nearest
    first.
    """
    from pathlib import Path

    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.config.files import find_files, own_file

    if as_json:
        emit_json({"path": str(own_file()), "read": [str(file.path) for file in find_files(Path.cwd())]})
        return
    say(str(own_file()))
