"""``sleap-rtc models show``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.models.options import ref_argument, room_options

if TYPE_CHECKING:
    from sleap_rtc.cli.models.meant import Lineage, Meant
    from sleap_rtc.signaling.model_records import RoomModelRecord

_LABEL = 12


@click.command(
    epilog="""\b
Examples:
  sleap-rtc models show fly
  sleap-rtc models show fly@production --json
  sleap-rtc models show j_abcdefgh
"""
)
@ref_argument
@room_options
def show(ref: str, room: str | None, server: str | None, as_json: bool) -> None:
    """Show a model: its facts, who has it, and the models that it came from.

    MODEL is NAME, NAME@4, NAME@ALIAS or the id of a job. What it came from is
    shown as far as the room knows it, with the losses side by side.
    """
    from sleap_rtc.cli.models.meant import lineage
    from sleap_rtc.cli.models.options import room_model
    from sleap_rtc.cli.output import emit_json, say, table

    _, _, meant = room_model(ref, room, server)
    past = lineage(meant.models, meant.model)
    if as_json:
        emit_json(_record(meant, past))
        return
    for label, text in _lines(meant):
        say(f"{label:<{_LABEL}}{text}")
    if meant.model.holders:
        say()
        table(("worker", "now", "format", "size", "digest"), _holders(meant.model))
    else:
        say(f"{'Workers':<{_LABEL}}none has it any more")
    if meant.model.parent is not None:
        say()
        table(("trained from", "types", "loss", "change", "made", "by"), _chain(meant, past))


def _record(meant: "Meant", past: "Lineage") -> dict[str, object]:
    chain = [
        {"digest": each.digest, "names": [named.ref for named in each.names], "job_id": each.job_id, "loss": each.loss}
        for each in past.chain
    ]
    own = {"ref": meant.ref, "aliases": list(meant.named.aliases) if meant.named else []}
    return own | meant.model.model_dump(mode="json") | {"lineage": chain, "unknown_ancestor": past.unknown}


def _lines(meant: "Meant") -> list[tuple[str, str]]:
    from sleap_rtc.cli.formats import format_size
    from sleap_rtc.cli.models.words import full_loss_text, types_text
    from sleap_rtc.cli.times import format_time

    model, named = meant.model, meant.named
    others = [each.ref for each in model.names if each != named]
    lines = [
        ("Model", meant.ref),
        ("Aliases", ", ".join(named.aliases) if named else ""),
        ("Also called", ", ".join(others)),
        ("Named", f"{format_time(named.created_at)}, by {named.created_by}" if named else ""),
        ("Types", types_text(model)),
        ("Runs", model.title),
        ("Loss", full_loss_text(model)),
        ("Made", ", ".join(filter(None, (format_time(model.created_at), model.made_by and f"by {model.made_by}")))),
        ("Job", model.job_id or ""),
        ("sleap-nn", model.sleap_nn),
        ("Size", format_size(model.size)),
        ("Formats", ", ".join(model.formats)),
        ("Digest", model.digest),
    ]
    return [(label, text) for label, text in lines if text]


def _holders(model: "RoomModelRecord") -> list[tuple[str, ...]]:
    from sleap_rtc.cli.formats import format_size

    return [
        (holder.worker_name, "online" if holder.online else "away", each.format, format_size(each.size), each.digest)
        for holder in model.holders
        for each in holder.formats
    ]


def _chain(meant: "Meant", past: "Lineage") -> list[tuple[str, ...]]:
    """The oldest last, each one step further to the right, with how much better or worse it was than its parent."""
    from sleap_rtc.cli.models.meant import called
    from sleap_rtc.cli.models.words import full_loss_text, types_text
    from sleap_rtc.cli.times import format_date

    rows: list[tuple[str, ...]] = []
    for depth, (model, parent) in enumerate(zip(past.chain, [*past.chain[1:], None], strict=True)):
        name = called(model) if depth else meant.ref
        rows.append(
            (
                _branch(depth) + name,
                types_text(model),
                full_loss_text(model),
                _change(model, parent),
                format_date(model.created_at),
                model.made_by,
            )
        )
    if past.unknown is not None:
        rows.append((f"{_branch(len(past.chain))}{past.unknown[:12]}… (not in this room)", "", "", "", "", ""))
    return rows


def _branch(depth: int) -> str:
    return "" if depth == 0 else "  " * (depth - 1) + "└ "


def _change(model: "RoomModelRecord", parent: "RoomModelRecord | None") -> str:
    if parent is None or model.loss is None or not parent.loss:
        return ""
    return f"{100 * (model.loss - parent.loss) / abs(parent.loss):+.1f} %"
