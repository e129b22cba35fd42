"""``sleap-rtc server``: one module a command; its options alone mean `run`."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "db": ("sleap_rtc.cli.server.db:db", "Upgrade, back up and restore the database."),
    "user": ("sleap_rtc.cli.server.user:user", "Say who may use it, where it has accounts of its own."),
    "run": ("sleap_rtc.cli.server.run:run", "Start the service; Ctrl-C stops it."),
}
"""The commands of this group."""


class _RunByDefault(LazyGroup):
    """A group whose options alone mean its command `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in COMMANDS and args[0] not in ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault, table=COMMANDS)
def server() -> None:
    """Run the signaling service through which clients and workers find each other.

    It sees who talks to whom, and never the data. Without a command: run, with its options.
    """
