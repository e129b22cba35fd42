"""``sleap-rtc token``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "create": ("sleap_rtc.cli.token.create:create", "Make a token for a room's workers."),
    "list": ("sleap_rtc.cli.token.list:list_tokens", "List the tokens of a room."),
    "revoke": ("sleap_rtc.cli.token.revoke:revoke", "End a token; its workers are disconnected."),
    "rotate": ("sleap_rtc.cli.token.rotate:rotate", "Make a new token in the place of one."),
}
"""The commands of this group."""


@click.group(cls=LazyGroup, table=COMMANDS)
def token() -> None:
    """Make, list, rotate and revoke worker tokens: what workers start with."""
