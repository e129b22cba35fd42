"""``sleap-rtc models``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "delete": ("sleap_rtc.cli.models.delete:delete", "Delete a version, or a model without a name."),
    "list": ("sleap_rtc.cli.models.list:list_models", "List the models of a room."),
    "promote": ("sleap_rtc.cli.models.promote:promote", "Let an alias point to a version, or take it away."),
    "pull": ("sleap_rtc.cli.models.pull:pull", "Bring a model of the room to this machine."),
    "push": ("sleap_rtc.cli.models.push:push", "Give the room a model of this machine, or a run a name."),
    "show": ("sleap_rtc.cli.models.show:show", "Show a model, who has it, and what it was made from."),
}
"""The commands of this group."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog="""\b
Examples:
  sleap-rtc models list
  sleap-rtc models show fly
  sleap-rtc models promote fly@4 production
""",
)
def models() -> None:
    """List, show, promote and delete the models of a room.

    MODEL is a name (its latest version), NAME@3, NAME@ALIAS, or the id of the
    job that trained it, or enough of the id's beginning.
    """
