"""``sleap-rtc room extend``."""

import click

from sleap_rtc.cli.options import expires_option, json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room extend "Fly lab"
  sleap-rtc room extend "Fly lab" --expires 90d
  sleap-rtc room extend r_abcdefgh --expires never
"""
)
@click.argument("room")
@expires_option("30d", "room")
@server_option
@json_option
def extend(room: str, expires: int | None, server: str | None, as_json: bool) -> None:
    """Let a room that you own live longer, counted from now.

    ROOM is an id or a name. A room that expired can be brought back for a
    week, with its members and its tokens.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry
    from sleap_rtc.config.clock import utc_ms
    from sleap_rtc.signaling.api import ChangedRoom

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def change() -> ChangedRoom:
        found = await meant_room(api, settings, room)
        return await api.extend_room(found.room_id, expires)

    changed = run_async(change())
    if as_json:
        emit_json(changed.model_dump())
        return
    say(f"The room '{changed.name}' ({changed.room_id}) lives on; {format_expiry(changed.expires_at, utc_ms())}.")
