"""What ``train --register`` says of the name that a model gets: the worker asks for it, the service gives it."""

import asyncio

from sleap_rtc.cli.choosing import RoomChoice
from sleap_rtc.cli.models.pushing import check_name
from sleap_rtc.cli.output import emit_json, note, say
from sleap_rtc.cli.progress import JobDisplay
from sleap_rtc.cli.submitting import Remote
from sleap_rtc.errors import SleapRTCError, UsageError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import ServiceAPI, find_room
from sleap_rtc.signaling.model_records import NamedVersion

_WITHIN = 20.0
"""Seconds that are waited for the name; the worker looks every few seconds."""


def check_registering(remote: Remote, name: str | None) -> None:
    """Refuse a name that nobody could look up, or that is none.

    Raises:
        UsageError: if it is that.
    """
    if name is None:
        return
    check_name(name)
    if not isinstance(remote.where, RoomChoice):
        raise UsageError(
            "A model gets a name in a room, and behind a session string there is none. Leave out --register, or train "
            "in a room with --room."
        )


async def say_registered(remote: Remote, job: str, name: str, display: JobDisplay) -> None:
    """Wait a moment for the name of a job's model, and say it; or that it comes later.

    Args:
        remote: where the job went.
        job: its id.
        name: the name that was asked for.
        display: what is on the screen.
    """
    named: NamedVersion | None = None
    if isinstance(remote.where, RoomChoice):
        try:
            named = await _wait(remote, remote.where.room, job, name)
        except SleapRTCError as error:
            # the training is done, and its models are here: that the service is away now changes nothing of that
            with display.paused():
                note(error.sentence)
    with display.paused():
        if remote.as_json:
            emit_json({"event": "registered", "job": job, "model": named.ref if named else None})
        elif named is not None:
            say(f"The model is {named.ref}.")
        else:
            note(
                f"The model has no name yet: the worker gives it the name {name} when it reaches the service. See: "
                "sleap-rtc models list"
            )


async def _wait(remote: Remote, room: str, job: str, name: str) -> NamedVersion | None:
    api = ServiceAPI(remote.server, Account(remote.server))
    room_id = find_room(await api.rooms(), room).room_id
    try:
        async with asyncio.timeout(_WITHIN):
            while True:
                for model in await api.models(room_id):
                    if model.job_id == job and (named := model.version_of(name)) is not None:
                        return named
                await asyncio.sleep(0.5)
    except TimeoutError:
        return None
