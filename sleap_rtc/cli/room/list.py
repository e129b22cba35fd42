"""``sleap-rtc room list``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    "list",
    epilog="""\b
Examples:
  sleap-rtc room list
  sleap-rtc room list --json
""",
)
@server_option
@json_option
def list_rooms(server: str | None, as_json: bool) -> None:
    """List the rooms you belong to; a star marks the default one."""
    from sleap_rtc.cli.account import logged_in_api, warn_of_room
    from sleap_rtc.cli.output import emit_json, note, table
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_date
    from sleap_rtc.config.clock import utc_ms

    settings = settings_for(server=server)
    rooms = run_async(logged_in_api(settings).rooms())
    default = settings.default_room
    if as_json:
        emit_json([room.model_dump() | {"default": default in (room.room_id, room.name)} for room in rooms])
        return
    if not rooms:
        note("You belong to no room yet. Make one: sleap-rtc room create --name '…'")
        return
    rows = [
        (
            "*" if default in (room.room_id, room.name) else "",
            room.name,
            room.role,
            str(room.workers_online),
            format_date(room.expires_at),
            room.room_id,
        )
        for room in rooms
    ]
    table(("", "room", "you are", "workers", "expires", "id"), rows)
    for room in rooms:
        warn_of_room(room, utc_ms())
