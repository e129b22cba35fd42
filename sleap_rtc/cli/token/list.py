"""``sleap-rtc token list``."""

import click

from sleap_rtc.cli.options import json_option, room_option, server_option, settings_for


@click.command(
    "list",
    epilog="""\b
Examples:
  sleap-rtc token list
  sleap-rtc token list --room "Fly lab" --json
""",
)
@room_option
@server_option
@json_option
def list_tokens(room: str | None, server: str | None, as_json: bool) -> None:
    """List the worker tokens of a room you own; their first characters only."""
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.output import emit_json, note, table, warn
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.times import format_expiry, format_time
    from sleap_rtc.config.clock import utc_ms
    from sleap_rtc.signaling.api import Room, TokenInfo

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def ask() -> tuple[Room, list[TokenInfo]]:
        found = await meant_room(api, settings, room)
        return found, await api.tokens(found.room_id)

    found, tokens = run_async(ask())
    if as_json:
        emit_json([token.model_dump() for token in tokens])
        return
    if not tokens:
        note(f"The room '{found.name}' has no tokens. Make one: sleap-rtc token create --room {found.room_id} --name …")
        return
    rows = [
        (
            token.name,
            f"{token.display}…",
            f"{token.state}, replaced" if token.replaced_at else token.state,
            format_time(token.expires_at),
            format_time(token.last_used_at),
            token.created_by,
        )
        for token in tokens
    ]
    table(("name", "token", "state", "expires", "last used", "made by"), rows)
    for token in tokens:
        if token.expires_soon and token.state == "active" and not token.replaced_at:
            until = format_expiry(token.expires_at, utc_ms())
            warn(f"Of the token '{token.name}': {until}. Make its successor: sleap-rtc token rotate {token.token_id}")
