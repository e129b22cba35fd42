"""``sleap-rtc room transfer``."""

import click

from sleap_rtc.cli.options import server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room transfer "Fly lab" grace
  sleap-rtc room transfer r_abcdefgh u_abcdefgh --yes
"""
)
@click.argument("room")
@click.argument("member")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@server_option
def transfer(room: str, member: str, yes: bool, server: str | None) -> None:
    """Hand a room that you own over to one of its members.

    ROOM and MEMBER are ids or names. You are a member from then on; commands
    of yours that are connected to the room end, and their jobs go on.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_member
    from sleap_rtc.cli.asking import confirm
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server)
    api = logged_in_api(settings)
    found, person = run_async(meant_member(api, settings, room, member))
    if not yes:
        confirm(f"Hand the room '{found.name}' over to {person.name} ({person.user_id})? Only they can give it back.")
    run_async(api.transfer_room(found.room_id, person.user_id))
    say(f"The room '{found.name}' ({found.room_id}) belongs to {person.name} ({person.user_id}) now.")
