"""``sleap-rtc room join``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for

if TYPE_CHECKING:
    from sleap_rtc.config.settings import Settings
    from sleap_rtc.signaling.api import JoinedRoom


@click.command(
    epilog="""\b
Examples:
  sleap-rtc room join --code 7K3QX-9ZP2M
  sleap-rtc room join
"""
)
@click.option("--code", help="The code that you were given; asked for on a terminal.")
@server_option
@json_option
def join(code: str | None, server: str | None, as_json: bool) -> None:
    """Join a room with a code that its owner made for you.

    Upper and lower case, dashes and spaces make no difference.
    """
    from sleap_rtc.cli.account import logged_in_api
    from sleap_rtc.cli.asking import can_ask
    from sleap_rtc.cli.output import emit_json
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server)
    api = logged_in_api(settings)
    if code is None:
        if not can_ask():
            raise click.UsageError("There is no terminal to ask on. Add --code.")
        code = str(click.prompt("The code you were given", err=True))
    joined = run_async(api.redeem_invite(code))
    if as_json:
        emit_json(joined.model_dump())
        return
    _show(settings, joined)


def _show(settings: "Settings", joined: "JoinedRoom") -> None:
    from sleap_rtc.cli.output import note, say
    from sleap_rtc.cli.times import format_expiry
    from sleap_rtc.config.clock import utc_ms
    from sleap_rtc.config.servers import server_words

    room = f"the room '{joined.name}' ({joined.room_id})"
    if joined.joined:
        say(f"You are a member of {room} now; {format_expiry(joined.expires_at, utc_ms())}.")
    else:
        say(f"You belong to {room} already, as its {joined.role}; the code was not used up.")
    words = server_words(settings.server)
    note("Next, see its workers, and train on one of them:")
    note(f"  sleap-rtc room info{words} {joined.room_id}")
    note(f"  sleap-rtc train{words} --room {joined.room_id} --pkg-path PACKAGE.zip")
    if settings.default_room is None:
        note("To leave --room out from then on:")
        note(f"  sleap-rtc room set-default{words} {joined.room_id}")
