"""``sleap-rtc room delete``."""

import click

from sleap_rtc.cli.options import server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room delete "Fly lab"
  sleap-rtc room delete r_abcdefgh --yes
"""
)
@click.argument("room")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@server_option
def delete(room: str, yes: bool, server: str | None) -> None:
    """Delete a room with its tokens: its workers are disconnected.

    ROOM is an id or a name. Jobs that run on its workers go on to their end.
    """
    from sleap_rtc.cli.account import forget_default_room, forget_workers, logged_in_api, meant_room
    from sleap_rtc.cli.asking import confirm
    from sleap_rtc.cli.formats import count
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server)
    api = logged_in_api(settings)
    found = run_async(meant_room(api, settings, room))
    if not yes:
        others = f"{count(found.members, 'member')} and {count(found.workers_online, 'worker')} online"
        confirm(f"Delete the room '{found.name}' ({found.room_id}) with {others}? This cannot be undone.")
    run_async(api.delete_room(found.room_id))
    say(f"The room '{found.name}' ({found.room_id}) is deleted.")
    forget_default_room(settings, found)
    forget_workers(settings, found)
