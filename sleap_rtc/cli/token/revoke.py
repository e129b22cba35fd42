"""``sleap-rtc token revoke``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import room_option, server_option, settings_for

if TYPE_CHECKING:
    from sleap_rtc.signaling.api import Room, TokenInfo


@click.command(
    epilog="""\b
Examples:
  sleap-rtc token revoke gpu-1
  sleap-rtc token revoke gpu-1 --room "Fly lab"
"""
)
@click.argument("token")
@room_option
@server_option
def revoke(token: str, room: str | None, server: str | None) -> None:
    """End a token: its workers are disconnected at once.

    TOKEN is its name, its first characters or its id, as sleap-rtc token list
    shows them. Jobs that run on those workers go on to their end.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.token.finding import find_token

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def end() -> "tuple[Room, TokenInfo]":
        found = await meant_room(api, settings, room)
        meant = find_token(await api.tokens(found.room_id), token, found.name)
        await api.revoke_token(found.room_id, meant.token_id)
        return found, meant

    found, meant = run_async(end())
    say(f"The token '{meant.name}' ({meant.display}…) of the room '{found.name}' is revoked; its workers are gone.")
