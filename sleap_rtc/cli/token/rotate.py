"""``sleap-rtc token rotate``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import hours_option, json_option, room_option, server_option, settings_for
from sleap_rtc.protocol.tokens import MAX_GRACE_HOURS

if TYPE_CHECKING:
    from sleap_rtc.signaling.api import Room, RotatedToken


@click.command(
    epilog="""\b
Examples:
  sleap-rtc token rotate gpu-1
  sleap-rtc token rotate gpu-1 --room "Fly lab" --grace 7d
  sleap-rtc token rotate gpu-1 --grace 0
"""
)
@click.argument("token")
@room_option
@hours_option(
    "--grace", "24h", least=0, most=MAX_GRACE_HOURS, help_text="How long the old one works on; 0 ends it at once."
)
@server_option
@json_option
def rotate(token: str, room: str | None, grace: int, server: str | None, as_json: bool) -> None:
    """Make a new token of the same name and lifetime in the place of one.

    TOKEN is its name, its first characters or its id, as sleap-rtc token list
    shows them. Start its workers with the new one before the old one ends.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry, format_time
    from sleap_rtc.cli.token.finding import find_token
    from sleap_rtc.cli.token.showing import show_token
    from sleap_rtc.config.clock import utc_ms

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def replace() -> "tuple[Room, RotatedToken]":
        found = await meant_room(api, settings, room)
        # a name means the newest of those that have it
        known = [each for each in await api.tokens(found.room_id) if not each.replaced_at or each.token_id == token]
        meant = find_token(known, token, found.name)
        return found, await api.rotate_token(found.room_id, meant.token_id, grace)

    found, made = run_async(replace())
    if as_json:
        emit_json(made.model_dump() | {"room_id": found.room_id, "server": settings.server})
        return
    until = "has ended" if grace == 0 else f"works until {format_time(made.old_ends_at)}"
    say(f"The token '{made.name}' of the room '{found.name}' has a successor; the old one {until}.")
    say(f"Of the new one: {format_expiry(made.expires_at, utc_ms())}.")
    show_token(settings.server, made.token)
