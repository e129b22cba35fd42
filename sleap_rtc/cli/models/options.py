"""Options that the commands about models share, and the room's models that they are about."""

from typing import TYPE_CHECKING

import click

from sleap_rtc.cli.options import F, json_option, room_option, server_option, settings_for, with_options

if TYPE_CHECKING:
    from sleap_rtc.cli.models.meant import Meant
    from sleap_rtc.signaling.api import Room, ServiceAPI
    from sleap_rtc.signaling.model_records import RoomModelRecord

_WHERE = (room_option, server_option, json_option)


def room_options(command: F) -> F:
    """Add ``--room``, ``--server`` and ``--json``."""
    return with_options(command, _WHERE)


def ref_argument(command: F) -> F:
    """Add MODEL, as `ref`."""
    return click.argument("ref", metavar="MODEL")(command)


def room_models(room: str | None, server: str | None) -> "tuple[ServiceAPI, Room, list[RoomModelRecord]]":
    """Ask the service for the models of the room that is meant.

    Args:
        room: what was typed for ``--room``.
        server: what was typed for ``--server``.

    Raises:
        SleapRTCError: if nobody is logged in, no such room is theirs, or the service is out of reach.
    """
    from sleap_rtc.cli.account import logged_in_api, meant_room
    from sleap_rtc.cli.running import run_async

    settings = settings_for(server=server)
    api = logged_in_api(settings)

    async def ask() -> "tuple[Room, list[RoomModelRecord]]":
        found = await meant_room(api, settings, room)
        return found, await api.models(found.room_id)

    return api, *run_async(ask())


def room_model(ref: str, room: str | None, server: str | None) -> "tuple[ServiceAPI, Room, Meant]":
    """Ask the service which model of the room is meant.

    Args:
        ref: what was typed for MODEL.
        room: what was typed for ``--room``.
        server: what was typed for ``--server``.

    Raises:
        UsageError: if that is no model's name, or several jobs begin like it.
        NotFoundError: if the room has no such model.
        SleapRTCError: as `room_models` does.
    """
    from sleap_rtc.cli.models.meant import find_meant
    from sleap_rtc.protocol.models import ModelRef

    wanted = ModelRef.parse(ref)
    api, found, models = room_models(room, server)
    return api, found, find_meant(models, wanted, found.name)
