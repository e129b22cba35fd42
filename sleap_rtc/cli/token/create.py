"""``sleap-rtc token create``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import expires_option, json_option, room_option, server_option, settings_for

if TYPE_CHECKING:
    from sleap_rtc.signaling.api import NewToken, Room


@click.command(
    epilog="""\b
Examples:
  sleap-rtc token create --room "Fly lab" --name gpu-1
  sleap-rtc token create --room r_abcdefgh --name cluster --expires never
"""
)
@room_option
@click.option("-n", "--name", required=True, help="What its workers are called, unless they say otherwise.")
@expires_option("7d", "token")
@server_option
@json_option
def create(room: str | None, name: str, expires: int | None, server: str | None, as_json: bool) -> None:
    """Make a token for the workers of a room you own. It is shown this once.

    One token may serve several machines. It opens this room alone.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry
    from sleap_rtc.cli.token.showing import show_token
    from sleap_rtc.config.clock import utc_ms

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def make() -> "tuple[Room, NewToken]":
        found = await meant_room(api, settings, room)
        return found, await api.create_token(found.room_id, name, expires)

    found, made = run_async(make())
    if as_json:
        emit_json(made.model_dump() | {"room_id": found.room_id, "server": settings.server})
        return
    say(f"The token '{made.name}' of the room '{found.name}' is made; {format_expiry(made.expires_at, utc_ms())}.")
    show_token(settings.server, made.token)
