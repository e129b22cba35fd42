"""``sleap-rtc server db``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "upgrade": ("sleap_rtc.cli.server.db.upgrade:upgrade", "Bring the database up to date."),
    "backup": ("sleap_rtc.cli.server.db.backup:backup", "Write all that the service keeps to a file."),
    "restore": ("sleap_rtc.cli.server.db.restore:restore", "Bring a backup back."),
}
"""The commands of this group."""


@click.group(cls=LazyGroup, table=COMMANDS)
def db() -> None:
    """Upgrade, back up and restore the service's database."""
