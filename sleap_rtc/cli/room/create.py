"""``sleap-rtc room create``."""

import click

from sleap_rtc.cli.options import expires_option, json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room create --name "Fly lab"
  sleap-rtc room create --name "Fly lab" --expires never
"""
)
@click.option("-n", "--name", required=True, help="What to call it.")
@expires_option("30d", "room")
@server_option
@json_option
def create(name: str, expires: int | None, server: str | None, as_json: bool) -> None:
    """Make a room and own it."""
    from sleap_rtc.cli.account import logged_in_api
    from sleap_rtc.cli.output import emit_json, note, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry
    from sleap_rtc.config.clock import utc_ms
    from sleap_rtc.config.servers import server_words

    settings = settings_for(server=server)
    room = run_async(logged_in_api(settings).create_room(name, expires))
    if as_json:
        emit_json(room.model_dump())
        return
    say(f"The room '{room.name}' is made: {room.room_id}; {format_expiry(room.expires_at, utc_ms())}.")
    words = server_words(settings.server)
    note("Next, a token for its first worker, an invite for its first member, and the room as your default:")
    note(f"  sleap-rtc token create{words} --room {room.room_id} --name gpu-1")
    note(f"  sleap-rtc room invite{words} {room.room_id}")
    note(f"  sleap-rtc room set-default{words} {room.room_id}")
