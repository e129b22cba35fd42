"""``sleap-rtc models push``."""

import click

from sleap_rtc.cli.options import (
    events_option,
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
  sleap-rtc models push models/fly --name fly
  sleap-rtc models push models/fly-3 --name worm --worker lab-gpu
  sleap-rtc models push j_abcdefgh --name fly
"""
)
@click.argument("what", metavar="FOLDER|JOB")
@click.option("--name", required=True, metavar="NAME", help="What the room shall call it; it becomes NAME@1, NAME@2 …")
@click.option("--worker", metavar="WORKER", help="The worker of the room that keeps it: its name or id.")
@click.option(
    "--auto-select/--no-auto-select",
    default=None,
    help="Choose the room's worker by itself.  [default: client.auto_select of the configuration]",
)
@room_option
@room_secret_option
@server_option
@transport_option
@relay_option
@events_option
def push(
    what: str,
    name: str,
    worker: str | None,
    auto_select: bool | None,
    room: str | None,
    room_secret: str | None,
    server: str | None,
    transport: str | None,
    ice_policy: str | None,
    as_json: bool,
) -> None:
    """Give the room a model of this machine, or a run of the room a name.

    FOLDER is a model's folder (with its best.ckpt), a folder of such folders (a
    top-down pair), or one that was pulled: a worker of the room keeps it. JOB is
    the id of a job of the room, or its beginning: its model is with its worker
    already, and only gets the name.
    """
    from sleap_rtc.cli.models.pushing import PushRequest, push_model
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server, transport=transport, ice_policy=ice_policy)
    chooses = settings.client.auto_select if auto_select is None else auto_select
    request = PushRequest(
        what, name, settings, secrets_for(settings, room_secret), room=room, worker=worker, auto_select=bool(chooses)
    )
    named = run_async(push_model(request, as_json=as_json))
    if as_json:
        emit_json(named.model_dump())
    else:
        say(f"{named.name}@{named.version}")
