"""``sleap-rtc room set-default``."""

import click

from sleap_rtc.cli.options import server_option, settings_for


@click.command(
    "set-default",
    epilog="""\b
Examples:
  sleap-rtc room set-default "Fly lab"
""",
)
@click.argument("room")
@server_option
def set_default(room: str, server: str | None) -> None:
    """Choose the room of commands without --room: its id or name.

    Written to config.toml in ~/.sleap-rtc.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.config.set import say_what_wins
    from sleap_rtc.cli.output import say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.config.editing import set_value

    settings = settings_for(server=server)
    found = run_async(meant_room(logged_in_api(settings), settings, room))
    path = set_value("default_room", found.room_id)
    say(f"The default room is '{found.name}' ({found.room_id}), in {path}.")
    say_what_wins("default_room", path)
