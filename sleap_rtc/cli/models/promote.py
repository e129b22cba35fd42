"""``sleap-rtc models promote``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.models.options import ref_argument, room_options

if TYPE_CHECKING:
    from sleap_rtc.cli.models.meant import Meant


@click.command(
    epilog="""\b
Examples:
  sleap-rtc models promote fly@4 production
  sleap-rtc models promote fly@production last-good
  sleap-rtc models promote fly production --remove
"""
)
@ref_argument
@click.argument("alias")
@click.option("--remove", is_flag=True, help="Take the alias away instead; the version stays.")
@room_options
def promote(ref: str, alias: str, remove: bool, room: str | None, server: str | None, as_json: bool) -> None:
    """Let ALIAS point to a version of a model, such as fly@4.

    Whoever then writes fly@ALIAS means that version. What runs already goes on
    with the version that it began with. Every member of the room may do this.
    """
    from sleap_rtc.cli.models.options import room_model
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.errors import UsageError

    api, found, meant = room_model(ref, room, server)
    if meant.named is None:
        names = ", ".join(each.ref for each in meant.model.names)
        hint = f"Write one of its names: {names}." if names else "It has none yet."
        raise UsageError(f"An alias belongs to a name of the room, and {ref} is a job. {hint}")
    name, version = meant.named.name, meant.named.version
    if remove:
        pointed = _pointing(meant, alias, explicit="@" in ref)
        run_async(api.remove_alias(found.room_id, name, alias))
        if as_json:
            emit_json({"name": name, "alias": alias, "version": None, "was": pointed})
        else:
            say(f"{name}@{alias} is gone; it was {name}@{pointed}, which stays.")
        return
    moved = run_async(api.move_alias(found.room_id, name, alias, version))
    if as_json:
        emit_json(moved.model_dump())
    elif moved.was == version:
        say(f"{name}@{alias} was {name}@{version} already.")
    else:
        before = f"; it was {name}@{moved.was}" if moved.was is not None else ""
        say(f"{name}@{alias} is {name}@{version} now{before}.")


def _pointing(meant: "Meant", alias: str, *, explicit: bool) -> int:
    """The version that an alias points to; it has to be the one that was typed, if one was."""
    from sleap_rtc.errors import ConflictError, NotFoundError

    named = meant.named
    assert named is not None  # noqa: S101 - looked at before
    line = [each for model in meant.models for each in model.names if each.name == named.name]
    pointed = next((each.version for each in line if alias in each.aliases), None)
    if pointed is None:
        have = ", ".join(sorted(alias for each in line for alias in each.aliases)) or "none"
        raise NotFoundError(f"The model '{named.name}' has no alias '{alias}'. Aliases: {have}.")
    if explicit and pointed != named.version:
        raise ConflictError(
            f"{named.name}@{alias} is {named.name}@{pointed}, not @{named.version}; nothing was changed. To take it "
            f"away all the same: sleap-rtc models promote {named.name} {alias} --remove"
        )
    return pointed
