"""``sleap-rtc server user list``."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import json_option
from sleap_rtc.cli.server.options import place_options, service_settings

if TYPE_CHECKING:
    from signaling_server.auth.accounts import Listed


@click.command(
    "list",
    epilog="""\b
Examples:
  sleap-rtc server user list
  sleap-rtc server user list --json
""",
)
@place_options
@json_option
def list_users(database: str | None, settings_file: Path | None, as_json: bool) -> None:
    """List everybody who has logged in to the service or may."""
    settings = service_settings(database, settings_file)
    from signaling_server.operating import list_users as listed
    from sleap_rtc.cli.output import emit_json, note, table
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_time

    users = run_async(listed(settings))
    if as_json:
        emit_json([asdict(each) for each in users])
        return
    if not users:
        note("Nobody has logged in here yet, and there are no accounts.")
        return
    rows = [
        [
            each.name,
            each.provider.partition(":")[0],
            _state(each),
            str(each.logins),
            format_time(each.created_at),
            each.user_id,
        ]
        for each in users
    ]
    table(("name", "by", "state", "logins", "since", "id"), rows)


def _state(user: "Listed") -> str:
    if user.disabled_at is not None:
        return "disabled"
    return "no password yet" if user.enrolled is False else "active"
