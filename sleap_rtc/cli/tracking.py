"""What ``sleap-rtc track`` does once its options are read: find, connect, submit, watch, bring home."""

import asyncio
from contextlib import closing

from sleap_rtc.cli.bringing import Home
from sleap_rtc.cli.choosing import RoomChoice
from sleap_rtc.cli.following import TRACKING, Asks, Results, until_interrupted
from sleap_rtc.cli.output import note
from sleap_rtc.cli.progress import JobDisplay, make_display
from sleap_rtc.cli.running import beside
from sleap_rtc.cli.submitting import Remote, reach
from sleap_rtc.cli.telling import saying_images
from sleap_rtc.cli.track_request import TrackRequest
from sleap_rtc.client.assembling import expanded
from sleap_rtc.client.merging import prepare_merge
from sleap_rtc.client.model_finding import find_model
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.predictions import find_output
from sleap_rtc.client.track_assembling import FoundModels, assemble_track, check_data, find_meant
from sleap_rtc.client.video_names import is_on_worker
from sleap_rtc.errors import UsageError
from sleap_rtc.protocol.models import ModelFormat, ModelRef, RoomModel
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import ServiceAPI, find_room


async def track_remotely(request: TrackRequest, remote: Remote) -> int:
    """Look at data with a model, on the worker of a session string or on one of a room.

    Returns:
        The exit code.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    with make_display(json=remote.as_json, logs=remote.logs) as display:
        return await until_interrupted(lambda asks: _track(request, remote, display, asks))


async def _track(request: TrackRequest, remote: Remote, display: JobDisplay, asks: Asks) -> int:
    def say_reading(done: int, total: int) -> None:
        display.reading(unread.name, done, total)

    # what is wrong on this machine is said before anybody is asked
    models = await asyncio.to_thread(find_meant, request.tracked.models)
    await asyncio.to_thread(check_data, request.tracked.data, which=request.tracked.which)
    home = await _home(request)
    with display.paused():
        for text in models.notes:
            note(text)
    room_model = await find_room_model(models.ref, remote, display, request.format)
    with closing(await _assemble(request, models, room_model, display)) as unread:
        async with beside(unread.read(say_reading)) as reading, reach(remote, reading, display) as reached:
            package = await reading
            job = await reached.submit(package)
            package.close()
            return await reached.follow(job, asks, Results(TRACKING, home.bring))


async def _home(request: TrackRequest) -> Home:
    output, merging = request.output, None
    if request.merge is not None:
        merging = await prepare_merge(request.merge, request.tracked.data, output)
        # the predictions themselves go beside the copy
        output = merging.target.parent
    copy = merging.target if merging else None
    found = await asyncio.to_thread(find_output, request.tracked.data, output, analysis=request.analysis, beside=copy)
    places = [None if is_on_worker(text) else expanded(text) for text in request.tracked.data]
    return Home(places, found, merging)


async def find_room_model(
    ref: ModelRef | None, remote: Remote, display: JobDisplay, in_format: ModelFormat = "sleap-nn"
) -> RoomModel | None:
    """Ask the service which model of the room is meant, if one is.

    Args:
        ref: what was typed.
        remote: where the job goes.
        display: what is on the screen.
        in_format: the format of its files.

    Raises:
        UsageError: if it goes behind a session string, where there is no room.
        SleapRTCError: as `find_model` does.
    """
    if ref is None:
        return None
    if not isinstance(remote.where, RoomChoice):
        raise UsageError(
            f"'{ref}' is no model's folder on this machine, and behind a session string there is no room whose model "
            "it could be. Give a folder, or join a room (--room)."
        )
    display.connecting(f"the service at {remote.server}")
    api = ServiceAPI(remote.server, Account(remote.server))
    room = find_room(await api.rooms(), remote.where.room)
    found = await find_model(api, room.room_id, ref, room.name, in_format)
    if found.version is not None and ref.version is None:
        with display.paused():
            note(f"{ref} is {found.name}@{found.version}.")
    return found


async def _assemble(
    request: TrackRequest, models: FoundModels, room_model: RoomModel | None, display: JobDisplay
) -> UnreadPackage:
    return await assemble_track(request.tracked, models, room_model, on_frames=saying_images(display, "frame"))
