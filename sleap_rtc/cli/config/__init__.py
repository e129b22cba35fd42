"""``sleap-rtc config``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "add-mount": ("sleap_rtc.cli.config.add_mount:add_mount", "Let jobs on this machine name files of a folder."),
    "init": ("sleap_rtc.cli.config.init:init", "Write a settings file that explains itself."),
    "path": ("sleap_rtc.cli.config.path:path", "Say where the settings file lies that commands write."),
    "set": ("sleap_rtc.cli.config.set:set_key", "Set a key in that file."),
    "show": ("sleap_rtc.cli.config.show:show", "Show every setting and where it came from."),
}
"""The commands of this group."""


@click.group(cls=LazyGroup, table=COMMANDS)
def config() -> None:
    """Show and change the settings of this machine.

    The nearer place wins, key by key: options, the environment, sleap-rtc.toml
    in this folder or the nearest above, ~/sleap-rtc.toml, config.toml in
    ~/.sleap-rtc. Commands write only the last one.
    """
