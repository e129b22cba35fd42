"""``sleap-rtc models delete``."""

import click

from sleap_rtc.cli.models.options import ref_argument, room_options


@click.command(
    epilog="""\b
Examples:
  sleap-rtc models delete fly@4
  sleap-rtc models delete j_abcdefgh --yes
"""
)
@ref_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@room_options
def delete(ref: str, yes: bool, room: str | None, server: str | None, as_json: bool) -> None:
    """Delete a version of a model, such as fly@4, or a model without a name.

    Only who trained or pushed it and the room's owner may. Its number is never
    used again. Unless the model has another name, workers remove its files.
    """
    from sleap_rtc.cli.asking import confirm
    from sleap_rtc.cli.formats import count
    from sleap_rtc.cli.models.options import room_model
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.errors import UsageError
    from sleap_rtc.protocol.models import ModelRef

    typed = ModelRef.parse(ref)
    if typed.job is None and typed.version is None:
        raise UsageError(f"Say which version to delete by its number: {typed.name}@1. See: sleap-rtc models list")
    api, found, meant = room_model(ref, room, server)
    model, named = meant.model, meant.named
    if named is None and model.names:
        raise UsageError(f"The model of {ref} is {model.names[0].ref}. Delete it by that name.")
    others = [each.ref for each in model.names if each != named]
    if not yes:
        held = count(len(model.holders), "worker")
        files = f"its model stays as {others[0]}" if others else f"{held} will remove its files"
        confirm(f"Delete {meant.ref} from the room '{found.name}'? This cannot be undone; {files}.")
    if named is not None:
        run_async(api.delete_version(found.room_id, named.name, named.version))
    else:
        run_async(api.delete_model(found.room_id, model.digest))
    if as_json:
        emit_json({"room_id": found.room_id, "ref": meant.ref, "digest": model.digest, "remains": others})
    else:
        kept = f"; the model stays as {', '.join(others)}" if others else ""
        say(f"{meant.ref} is deleted from the room '{found.name}'{kept}.")
