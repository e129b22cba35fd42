"""``sleap-rtc room members``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room members
  sleap-rtc room members "Fly lab" --json
"""
)
@click.argument("room", required=False)
@server_option
@json_option
def members(room: str | None, server: str | None, as_json: bool) -> None:
    """List the members of a room, and since when they belong to it.

    ROOM is an id or a name; the default room without it.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import emit_json, table
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_date
    from sleap_rtc.signaling.api import Member

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def ask() -> list[Member]:
        found = await meant_room(api, settings, room)
        return await api.members(found.room_id)

    people = run_async(ask())
    if as_json:
        emit_json([each.model_dump() for each in people])
        return
    rows = [(each.name, each.role, format_date(each.joined_at), each.user_id) for each in people]
    table(("person", "role", "since", "id"), rows)
