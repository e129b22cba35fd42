"""``sleap-rtc token revoke``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import room_option, server_option, settings_for
from sleap_rtc.errors import NotFoundError, UsageError
from sleap_rtc.protocol.tokens import redact

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

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def end() -> "tuple[Room, TokenInfo]":
        found = await meant_room(api, settings, room)
        meant = find_token(await api.tokens(found.room_id), token, found.name)
        await api.revoke_token(found.room_id, meant.token_id)
        return found, meant

    found, meant = run_async(end())
    say(f"The token '{meant.name}' ({meant.display}…) of the room '{found.name}' is revoked; its workers are gone.")


def find_token(tokens: "Sequence[TokenInfo]", text: str, room: str) -> "TokenInfo":
    """The token a user means by an id, a name, its first characters, or the token itself.

    Raises:
        NotFoundError: if the room has none that can be used still.
        UsageError: if several are meant.
    """
    alive = [token for token in tokens if token.state == "active"]
    for known in (alive, tokens):
        meant = [token for token in known if text in (token.token_id, token.name) or text.startswith(token.display)]
        if len(meant) > 1 and known is alive:
            listed = ", ".join(f"{token.token_id} ({token.display}…)" for token in meant)
            raise UsageError(f"Several tokens of the room '{room}' are meant: {listed}. Give the id of one.")
        if meant and known is alive:
            return meant[0]
        if meant:
            raise NotFoundError(f"The token '{meant[0].name}' of the room '{room}' is {meant[0].state} already.")
    raise NotFoundError(f"The room '{room}' has no token called '{redact(text)}'. See them: sleap-rtc token list")
