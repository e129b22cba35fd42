"""``sleap-rtc room remove``."""

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room remove "Fly lab" grace
  sleap-rtc room remove r_abcdefgh u_abcdefgh --yes
"""
)
@click.argument("room")
@click.argument("member")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@server_option
@json_option
def remove(room: str, member: str, yes: bool, server: str | None, as_json: bool) -> None:
    """Remove a member from a room that you own: they are disconnected at once.

    ROOM and MEMBER are ids or names. Invites that are open end with it, so
    that nobody comes back with an old code.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_member
    from sleap_rtc.cli.asking import confirm
    from sleap_rtc.cli.formats import count
    from sleap_rtc.cli.output import emit_json, note, say, warn
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server)
    api = logged_in_api(settings)
    found, person = run_async(meant_member(api, settings, room, member))
    if not yes:
        confirm(f"Remove {person.name} ({person.user_id}) from the room '{found.name}'?")
    removal = run_async(api.remove_member(found.room_id, person.user_id))
    if as_json:
        emit_json({"room_id": found.room_id, "user_id": person.user_id} | removal.model_dump())
        return
    say(f"{person.name} ({person.user_id}) is removed from the room '{found.name}'.")
    if removal.invites_revoked:
        note(f"{count(removal.invites_revoked, 'open invite')} ended with it. Make another: sleap-rtc room invite")
    if removal.tokens_left:
        tokens = count(removal.tokens_left, "worker token")
        warn(f"{person.name} made {tokens} of this room that can be used still. See them: sleap-rtc token list")
    _say_rotate(settings.server, found.room_id, person.name)


def _say_rotate(server: str, room: str, name: str) -> None:
    from sleap_rtc.cli.output import note, warn
    from sleap_rtc.config.room_secrets import RoomSecretStore
    from sleap_rtc.config.servers import server_words
    from sleap_rtc.errors import ConfigError

    try:
        known = RoomSecretStore().kept(server, room) is not None
    except ConfigError as error:
        warn(error.sentence)
        known = True
    if known:
        warn(f"{name} knows the room's secret. Make another one, and give it to everybody else:")
        note(f"  sleap-rtc room create-secret{server_words(server)} {room} --end-old")
