"""``sleap-rtc worker trust``."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import json_option, server_option, settings_for
from sleap_rtc.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sleap_rtc.cli.worker.trusting import Change
    from sleap_rtc.config.known_workers import KnownWorker
    from sleap_rtc.config.settings import Settings


@click.command(
    epilog="""\b
Examples:
  sleap-rtc worker trust
  sleap-rtc worker trust lab-gpu-1 --room "Fly lab" --replace
  sleap-rtc worker trust lab-gpu --room "Fly lab" --add
  sleap-rtc worker trust lab-gpu-1 --forget
"""
)
@click.argument("worker", required=False)
@click.option("-r", "--room", metavar="ROOM", help="A room's id or name.  [default: default_room, for a change]")
@click.option("--replace", is_flag=True, help="Trust the worker that has this name now, and not the one before.")
@click.option("--add", is_flag=True, help="Trust all workers that have this name now, beside those known.")
@click.option("--forget", is_flag=True, help="Forget it: the next contact is the first one again.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@server_option
def trust(
    worker: str | None,
    room: str | None,
    replace: bool,
    add: bool,
    forget: bool,
    yes: bool,
    as_json: bool,
    server: str | None,
) -> None:
    """See and change which workers this machine knows.

    WORKER is a name or id. At the first contact with a worker of a room its key
    is remembered with its name; another one under that name is refused from
    then on. --replace and --add take the workers that are online; compare their
    ids with the workers' first lines before. Without either, what is known is
    listed.
    """
    if replace + add + forget > 1:
        raise UsageError("Give one of --replace, --add and --forget, not several.")
    if worker is None and (replace or add or forget):
        raise UsageError("Which worker? Give its name or id.")
    settings = settings_for(server=server)
    if worker is None or not (replace or add or forget):
        _list(settings, room, worker, as_json=as_json)
    elif forget:
        _forget(settings, room, worker, as_json=as_json)
    else:
        _trust(settings, room, worker, add=add, yes=yes, as_json=as_json)


def _list(settings: "Settings", room: str | None, worker: str | None, *, as_json: bool) -> None:
    from sleap_rtc.cli.output import emit_json, note, table
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.worker.trusting import find_known

    found = run_async(find_known(settings, room, worker))
    if as_json:
        emit_json([_record(each) for each in found])
    elif found:
        # most people have one service, and a line that repeats it is too long for a terminal
        several = {each.server for each in found} != {settings.server}
        columns = ("worker", "id", "room", "service") if several else ("worker", "id", "room")
        table(columns, [(each.name, each.worker_id, each.room, each.server)[: len(columns)] for each in found])
    else:
        note("No such worker is known here." if worker or room else "No worker was met yet.")


def _forget(settings: "Settings", room: str | None, worker: str, *, as_json: bool) -> None:
    from sleap_rtc.cli.output import emit_json, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.worker.trusting import forget_known

    gone = run_async(forget_known(settings, room, worker))
    if as_json:
        emit_json({"trusted": [], "forgotten": [_record(each) for each in gone]})
        return
    for each in gone:
        say(f"The worker {each.name} ({each.worker_id}) is forgotten.")


def _trust(settings: "Settings", room: str | None, worker: str, *, add: bool, yes: bool, as_json: bool) -> None:
    from sleap_rtc.cli.asking import confirm
    from sleap_rtc.cli.output import emit_json, note, say
    from sleap_rtc.cli.running import run_async
    from sleap_rtc.cli.worker.trusting import find_change, keep

    change = run_async(find_change(settings, room, worker, add=add))
    if not (change.new or change.gone):
        note(f"Nothing to change: {worker} is known already.")
    elif not yes:
        note(f"Known under that name: {_ids(change.known) or 'nobody yet'}")
        note(f"Online with that name: {_ids(change.online)}")
        confirm(f"Trust {'these as well' if add else 'the one that is online instead'}?")
    keep(change)
    if as_json:
        emit_json(_change_record(change))
    else:
        for each in change.new:
            say(f"The worker {each.name} ({each.worker_id}) of the room {change.room} is trusted from now on.")


def _ids(workers: "Sequence[KnownWorker]") -> str:
    return ", ".join(each.worker_id for each in workers)


def _change_record(change: "Change") -> dict[str, object]:
    return {
        "trusted": [_record(each) for each in change.new],
        "forgotten": [_record(each) for each in change.gone],
    }


def _record(worker: "KnownWorker") -> dict[str, str]:
    return {
        "server": worker.server,
        "room": worker.room,
        "worker": worker.name,
        "worker_id": worker.worker_id,
        "key": worker.key.hex(),
    }
