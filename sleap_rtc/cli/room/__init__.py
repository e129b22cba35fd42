"""``sleap-rtc room``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "create": ("sleap_rtc.cli.room.create:create", "Make a room."),
    "delete": ("sleap_rtc.cli.room.delete:delete", "Delete a room and its tokens."),
    "info": ("sleap_rtc.cli.room.info:info", "Show a room, its people and its workers."),
    "list": ("sleap_rtc.cli.room.list:list_rooms", "List your rooms."),
    "set-default": ("sleap_rtc.cli.room.set_default:set_default", "Choose the room of commands without --room."),
}
"""The commands of this group."""


@click.group(cls=LazyGroup, table=COMMANDS)
def room() -> None:
    """Make, list and delete rooms: the places where people find workers."""
