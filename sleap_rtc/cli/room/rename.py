"""``sleap-rtc room rename``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room rename "Fly lab" "Fly and mouse lab"
"""
)
@click.argument("room")
@click.argument("name")
@server_option
@json_option
def rename(room: str, name: str, server: str | None, as_json: bool) -> None:
    """Call a room that you own otherwise.

    ROOM is an id or a name, NAME the new one. Its id stays the same.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import emit_json, note, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.signaling.api import ChangedRoom, Room

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def change() -> tuple[Room, ChangedRoom]:
        found = await meant_room(api, settings, room)
        return found, await api.rename_room(found.room_id, name)

    found, changed = run_async(change())
    if as_json:
        emit_json(changed.model_dump())
        return
    say(f"The room '{found.name}' ({found.room_id}) is called '{changed.name}' now.")
    if settings.default_room == found.name != changed.name:
        note("Your default room is written by its old name. Set it again:")
        note(f"  sleap-rtc room set-default {found.room_id}")
