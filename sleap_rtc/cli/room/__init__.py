"""``sleap-rtc room``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "create": ("sleap_rtc.cli.room.create:create", "Make a room."),
    "create-secret": ("sleap_rtc.cli.room.create_secret:create_secret", "Make a secret for a room, or a newer one."),
    "delete": ("sleap_rtc.cli.room.delete:delete", "Delete a room and its tokens."),
    "extend": ("sleap_rtc.cli.room.extend:extend", "Let a room live longer, or bring an expired one back."),
    "info": ("sleap_rtc.cli.room.info:info", "Show a room, its people and its workers."),
    "invite": ("sleap_rtc.cli.room.invite:invite", "Make a code to join a room; list and revoke such codes."),
    "join": ("sleap_rtc.cli.room.join:join", "Join a room with a code."),
    "leave": ("sleap_rtc.cli.room.leave:leave", "Leave a room."),
    "list": ("sleap_rtc.cli.room.list:list_rooms", "List your rooms."),
    "log": ("sleap_rtc.cli.room.log:log", "Show what was done in a room, and by whom."),
    "members": ("sleap_rtc.cli.room.members:members", "List the members of a room."),
    "remove": ("sleap_rtc.cli.room.remove:remove", "Remove a member from a room."),
    "rename": ("sleap_rtc.cli.room.rename:rename", "Call a room otherwise."),
    "set-default": ("sleap_rtc.cli.room.set_default:set_default", "Choose the room of commands without --room."),
    "set-secret": ("sleap_rtc.cli.room.set_secret:set_secret", "Keep a room's secret on this machine, or forget it."),
    "transfer": ("sleap_rtc.cli.room.transfer:transfer", "Hand a room over to one of its members."),
}
"""The commands of this group."""


@click.group(cls=LazyGroup, table=COMMANDS)
def room() -> None:
    """Make rooms, invite people to them, and see who does what there.

    A room is a place where people find workers.
    """
