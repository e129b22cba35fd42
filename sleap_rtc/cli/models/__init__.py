"""``sleap-rtc models``: one module a command."""

import click

from sleap_rtc.cli.lazy import LazyGroup

COMMANDS = {
    "delete": ("sleap_rtc.cli.models.delete:delete", "Delete a version, or a model without a name."),
    "export": ("sleap_rtc.cli.models.export:export", "Write a model in another format."),
    "list": ("sleap_rtc.cli.models.list:list_models", "List the models of a room."),
    "promote": ("sleap_rtc.cli.models.promote:promote", "Let an alias point to a version."),
    "pull": ("sleap_rtc.cli.models.pull:pull", "Bring a model of the room to this machine."),
    "push": ("sleap_rtc.cli.models.push:push", "Give the room a model of yours, or name a run."),
    "reproduce": ("sleap_rtc.cli.models.reproduce:reproduce", "Train a model once more, in the same way."),
    "show": ("sleap_rtc.cli.models.show:show", "Show a model: its facts, who has it, what it came from."),
}
"""The commands of this group."""


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog="""\b
Examples:
  sleap-rtc models list
  sleap-rtc models show fly@4
  sleap-rtc models pull fly@production
  sleap-rtc models push models/fly --name fly
  sleap-rtc models promote fly@4 production
  sleap-rtc models delete fly@3
""",
)
def models() -> None:
    """List, pull, push, name and delete the models that a room shares.

    A model is written NAME (its newest version), NAME@4, NAME@ALIAS, or as the
    id of the job that trained it. Its files lie with the workers; the room
    knows what it is called.
    """
