"""``sleap-rtc ls``."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sleap_rtc.cli.jobs.reaching import Request
    from sleap_rtc.config.secret_lookup import SecretLookup
    from sleap_rtc.config.settings import Settings
    from sleap_rtc.protocol.mounts import FolderListing, MountInfo


@click.command(
    epilog="""\b
Examples:
  sleap-rtc ls lab-gpu-1
  sleap-rtc ls lab-gpu-1 lab:/videos --room "Fly lab"
  sleap-rtc ls lab-gpu-1 lab:/videos --json
"""
)
@click.argument("worker")
@click.argument("place", required=False, metavar="[LABEL:/PATH]")
@room_option
@room_secret_option
@json_option
@server_option
@transport_option
@relay_option
def ls(
    worker: str,
    place: str | None,
    room: str | None,
    room_secret: str | None,
    as_json: bool,
    server: str | None,
    transport: str | None,
    ice_policy: str | None,
) -> None:
    """List the folders of a worker's machine that its jobs may read.

    WORKER is a name or id in the room, or a session string. Without LABEL:/PATH
    its mounts are listed, with it what lies there: files and folders, no links.
    A file's LABEL:/PATH is what train's --video-paths and the like take.
    """
    from sleap_rtc.cli.output import emit_json
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server, transport=transport, ice_policy=ice_policy)
    request = worker_request(worker, room, settings, secrets_for(settings, room_secret))
    name, mounts, listing = run_async(_ask(request, place))
    if as_json:
        shown = [each.model_dump(mode="json") for each in mounts]
        emit_json(shown if listing is None else listing.model_dump(mode="json"))
    elif listing is None:
        _show_mounts(name, mounts)
    else:
        _show_folder(listing)


def worker_request(worker: str, room: str | None, settings: "Settings", secrets: "SecretLookup") -> "Request":
    """What reaches a worker that was named by its name, its id or a session string.

    Raises:
        UsageError: if nothing says in which room it is, or two things do.
    """
    from sleap_rtc.cli.jobs.reaching import Request
    from sleap_rtc.errors import UsageError
    from sleap_rtc.protocol.session_string import PREFIX

    by_string = worker.startswith(PREFIX)
    if by_string and room is not None:
        raise UsageError("A session string names its worker already: leave --room out.")
    if not by_string and not (room or settings.default_room):
        raise UsageError(
            "Which room is the worker in? Name it with --room, or once and for all: sleap-rtc room set-default ROOM"
        )
    return Request(
        session_string=worker if by_string else None,
        session_typed=by_string,
        room=room,
        worker=None if by_string else worker,
        settings=settings,
        secrets=secrets,
    )


async def _ask(request: "Request", place: str | None) -> "tuple[str, list[MountInfo], FolderListing | None]":
    from sleap_rtc.cli.jobs.reaching import enter, find_place

    async with enter(request, find_place(request)) as (client, workers):
        presence = workers[0]
        async with client.dial(presence.worker_id, name=presence.name) as worker:
            if place is None:
                return presence.name, await worker.mounts(), None
            return presence.name, [], await worker.folder(_written_out(place))


def _written_out(place: str) -> str:
    """``lab`` and ``lab:`` are ``lab:/``."""
    label, colon, path = place.partition(":")
    return f"{label}:/" if not path and "/" not in label else f"{label}{colon}{path}"


def _show_mounts(worker: str, mounts: "Sequence[MountInfo]") -> None:
    from sleap_rtc.cli.output import note, table

    if mounts:
        table(("mount", "jobs may"), [(f"{each.label}:/", "read and write" if each.rw else "read") for each in mounts])
    else:
        note(f"{worker} has no mounts. Its owner adds them with: sleap-rtc config add-mount LABEL PATH")


def _show_folder(listing: "FolderListing") -> None:
    from sleap_rtc.cli.formats import format_size
    from sleap_rtc.cli.output import note, table
    from sleap_rtc.cli.times import format_time
    from sleap_rtc.protocol.mounts import EntryKind
    from sleap_rtc.protocol.text import escaped

    rows = [
        (
            each.kind.value,
            format_size(each.size) if each.kind is EntryKind.FILE else "",
            format_time(each.modified),
            escaped(each.name),
        )
        for each in listing.entries
    ]
    if rows:
        # the names last: one long name makes no other line longer
        table(("kind", "size", "modified", "name"), rows)
    elif not listing.more:
        note("There is nothing in this folder.")
    if listing.more:
        note(f"That is not all of it: these are the first {len(rows)} by name, of those that were found in time.")
