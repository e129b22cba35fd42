"""``sleap-rtc room leave``."""

import click

from sleap_rtc.cli.options import server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room leave "Fly lab"
"""
)
@click.argument("room")
@server_option
def leave(room: str, server: str | None) -> None:
    """Leave a room: your connections to it are closed.

    ROOM is an id or a name. Your jobs on its workers go on to their end. The
    owner of a room hands it over or deletes it instead.
    """
    from sleap_rtc.cli.account import forget_default_room, forget_workers, logged_in_api, meant_room
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.signaling.api import Room

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def go() -> Room:
        found = await meant_room(api, settings, room)
        await api.leave_room(found.room_id)
        return found

    found = run_async(go())
    say(f"You belong to the room '{found.name}' ({found.room_id}) no longer.")
    forget_default_room(settings, found)
    forget_workers(settings, found)
