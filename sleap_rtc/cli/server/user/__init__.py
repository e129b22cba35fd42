"""``sleap-rtc server user``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "add": ("sleap_rtc.cli.server.user.add:add", "Make an account, and a link to choose its password."),
    "list": ("sleap_rtc.cli.server.user.list:list_users", "List everybody who has logged in or may."),
    "disable": ("sleap_rtc.cli.server.user.disable:disable", "Let a user in no longer; their logins end."),
    "enable": ("sleap_rtc.cli.server.user.enable:enable", "Let a user in again."),
    "reset": ("sleap_rtc.cli.server.user.reset:reset", "Make a new link; the old password and logins end."),
}
"""The commands of this group."""


@click.group(cls=LazyGroup, table=COMMANDS)
def user() -> None:
    """Say who may use the service on this machine.

    These commands work on its database directly, whether it runs or not. Take
    the same --database and --settings as for the service.
    """
