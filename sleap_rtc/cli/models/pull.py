"""``sleap-rtc models pull``."""

from pathlib import Path

import click

from sleap_rtc.cli.options import (
    json_option,
    relay_option,
    room_option,
    room_secret_option,
    secrets_for,
    server_option,
    settings_for,
    transport_option,
)


@click.command(
    epilog="""\b
Examples:
  sleap-rtc models pull fly
  sleap-rtc models pull fly@production -o /data/fly
  sleap-rtc models pull j_abcdefgh
"""
)
@click.argument("model")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder that the model becomes.  [default: models/NAME-VERSION]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["sleap-nn", "onnx", "tensorrt"]),
    default="sleap-nn",
    show_default=True,
    help="Which files of it.",
)
@room_option
@room_secret_option
@server_option
@transport_option
@relay_option
@json_option
def pull(
    model: str,
    output: Path | None,
    form: str,
    room: str | None,
    room_secret: str | None,
    server: str | None,
    transport: str | None,
    ice_policy: str | None,
    as_json: bool,
) -> None:
    """Bring a model of the room to this machine.

    MODEL is a name (its latest version), NAME@3, NAME@ALIAS, or the id of the
    job that trained it. It comes from any worker that holds it and is online;
    each file is checked before the folder appears. Nothing is overwritten, and
    a pull that was interrupted goes on when the same command is typed again.
    """
    from sleap_rtc.cli.models.pulling import PullRequest, pull_model
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server, transport=transport, ice_policy=ice_policy)
    secrets = secrets_for(settings, room_secret)
    request = PullRequest(model, settings, secrets, room=room, output=output, form=form, as_json=as_json)
    ref, digest, found = run_async(pull_model(request))
    if as_json:
        fields = {"model": ref, "digest": digest, "folder": str(found.folder), "fresh": found.fresh}
        emit_json({**fields, "name": found.record.name, "version": found.record.version})
    elif found.fresh:
        say(f"The model {ref} is in {found.folder}")
    else:
        say(f"The model {ref} was in {found.folder} already, and is unchanged.")
