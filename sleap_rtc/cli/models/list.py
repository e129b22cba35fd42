"""``sleap-rtc models list``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.models.options import room_options

if TYPE_CHECKING:
    from sleap_rtc.signaling.model_records import NamedVersion, RoomModelRecord

FORMATS = ("sleap-nn", "onnx", "tensorrt")
"""As in `sleap_rtc.protocol.models`, which help must not import."""
RECENT = 20
"""Models without a name that are listed without --all."""


@click.command(
    "list",
    epilog="""\b
Examples:
  sleap-rtc models list
  sleap-rtc models list --room "Fly lab" --name fly
  sleap-rtc models list --format onnx
  sleap-rtc models list --all --json
""",
)
@click.option("-n", "--name", metavar="NAME", help="Only the versions of this name.")
@click.option("--format", "in_format", type=click.Choice(FORMATS), help="Only those that a worker has in this format.")
@click.option("-a", "--all", "every", is_flag=True, help=f"More than the {RECENT} newest models without a name.")
@room_options
def list_models(
    name: str | None, in_format: str | None, every: bool, room: str | None, server: str | None, as_json: bool
) -> None:
    """List the models of a room: those with a name first, then what was trained.

    A model without a name is called as the job that trained it. 'online' is
    how many of the workers that have it can be asked for it now.
    """
    from sleap_rtc.cli.models.options import room_models
    from sleap_rtc.cli.output import emit_json, note, table
    from sleap_rtc.client.model_finding import unknown_name

    _, found, models = room_models(room, server)
    if name is not None and not any(model.version_of(name) for model in models):
        raise unknown_name(models, name, found.name, or_folder=False)
    fitting = [model for model in models if in_format is None or in_format in model.formats]
    named = sorted(
        ((each, model) for model in fitting for each in model.names if name in (None, each.name)),
        key=lambda pair: (pair[0].name.casefold(), -pair[0].version),
    )
    unnamed = [model for model in fitting if not model.names] if name is None else []
    shown = unnamed if every else unnamed[:RECENT]
    rows = [*named, *((None, model) for model in shown)]
    if as_json:
        emit_json([_record(*row) for row in rows])
    elif rows:
        table(_COLUMNS, _rows(rows))
    else:
        note(_nothing(found.name, in_format))
    if len(shown) < len(unnamed):
        note(f"{len(unnamed) - len(shown)} older models without a name are not listed: sleap-rtc models list --all")


_COLUMNS = ("model", "aliases", "types", "loss", "made", "by", "online", "formats")


def _record(named: "NamedVersion | None", model: "RoomModelRecord") -> dict[str, object]:
    from sleap_rtc.cli.models.meant import called

    own = {"ref": named.ref, "aliases": list(named.aliases)} if named else {"ref": called(model), "aliases": []}
    return own | model.model_dump(mode="json")


def _rows(found: "Sequence[tuple[NamedVersion | None, RoomModelRecord]]") -> list[tuple[str, ...]]:
    import sys

    from sleap_rtc.cli.formats import enough_of
    from sleap_rtc.cli.models.meant import called
    from sleap_rtc.cli.models.words import formats_text, holders_text, loss_text, types_text
    from sleap_rtc.cli.times import format_date

    unnamed = [called(model) for named, model in found if named is None]
    short = sys.stdout.isatty()
    length = enough_of(unnamed) if short else None
    return [
        (
            named.ref if named else called(model)[:length],
            ", ".join(named.aliases) if named else "",
            types_text(model, short=short),
            loss_text(model),
            format_date(model.created_at),
            model.made_by,
            holders_text(model),
            formats_text(model, short=short),
        )
        for named, model in found
    ]


def _nothing(room: str, in_format: str | None) -> str:
    if in_format is not None:
        return f"No worker of the room '{room}' has a model as {in_format}. All: sleap-rtc models list"
    return f"The room '{room}' has no models yet: what is trained there will be listed."
