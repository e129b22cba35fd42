"""What ``sleap-rtc train`` does once its options are read: connect, submit, watch, bring home."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from sleap_rtc.cli.bringing import Home
from sleap_rtc.cli.following import BOTH, Asks, Results, models_into, until_interrupted
from sleap_rtc.cli.output import note
from sleap_rtc.cli.progress import JobDisplay, make_display
from sleap_rtc.cli.registering import check_registering, say_registered
from sleap_rtc.cli.running import beside
from sleap_rtc.cli.submitting import Remote, reach
from sleap_rtc.cli.telling import saying_images
from sleap_rtc.cli.tracking import find_room_model
from sleap_rtc.cli.video_asking import explained, see_to_videos
from sleap_rtc.client.assembling import Wanted, assemble
from sleap_rtc.client.lossviewer import MonitorPorts
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.start_model import begun_with
from sleap_rtc.client.then_assembling import FoundThen, Then, found_then
from sleap_rtc.client.video_choice import PreparedVideos, VideoChoice
from sleap_rtc.client.videos import remember


@dataclass(frozen=True)
class TrainRequest:
    """What the user asks for.

    Attributes:
        wanted: what to train.
        remote: where, and how.
        output: the folder for the models.
        then: what is looked at with them.
        monitor: where SLEAP's own monitor shows the training.
        videos: where the images of labels come from that do not hold them.
        wandb_key: the user's key for Weights & Biases, where it is told; it is kept nowhere.
    """

    wanted: Wanted
    remote: Remote
    output: Path
    monitor: MonitorPorts
    then: Then | None = None
    videos: VideoChoice = field(default_factory=VideoChoice)
    wandb_key: str | None = field(default=None, repr=False)


async def train_remotely(request: TrainRequest) -> int:
    """Train a package on the worker of a session string, or on one of a room.

    Returns:
        The exit code.

    Raises:
        SleapRTCError: whatever went wrong, as a sentence.
    """
    check_registering(request.remote, request.wanted.options.register_as)
    with make_display(json=request.remote.as_json, logs=request.remote.logs) as display:
        return await until_interrupted(lambda asks: _train(request, display, asks))


async def _train(request: TrainRequest, display: JobDisplay, asks: Asks) -> int:
    def say_reading(done: int, total: int) -> None:
        display.reading(unread.name, done, total)

    async with (
        _found(request, display) as (unread, videos, results),
        # reading takes as long as its disk needs: meanwhile the worker is reached
        beside(unread.read(say_reading)) as reading,
        reach(request.remote, reading, display) as reached,
    ):
        package = await reading
        with explained(request.videos, videos):
            job = await reached.submit(package, wandb_key=request.wandb_key)
        await remember(videos.maps)
        package.close()
        code = await reached.follow(job, asks, results, monitor=request.monitor)
    name = request.wanted.options.register_as
    if code == 0 and name is not None and not request.remote.detach:
        await say_registered(request.remote, job.id, name, display)
    return code


@asynccontextmanager
async def _found(
    request: TrainRequest, display: JobDisplay
) -> AsyncIterator[tuple[UnreadPackage, PreparedVideos, Results]]:
    """All that is sent, the images of the labels among it; and what becomes of the results."""
    wanted = request.wanted
    with closing(await assemble(wanted)) as unread:
        with display.paused():
            for text in (*wanted.notes, *_unasked(unread)):
                note(text)
        async with _then(request, unread) as then:
            # what is wrong on this machine is said before anybody is asked
            start = await find_room_model(wanted.start_from, request.remote, display)
            whole, videos = await see_to_videos(unread, request.videos, wanted.package, display)
            with closing(whole):
                if then is not None:
                    whole = await then.add_to(
                        whole, videos.replaced, on_frames=saying_images(display, "suggested frame")
                    )
                if start is not None:
                    whole = begun_with(whole, start)
                yield whole, videos, _results(request, then)


@asynccontextmanager
async def _then(request: TrainRequest, unread: UnreadPackage) -> AsyncIterator[FoundThen | None]:
    if request.then is None:
        yield None
        return
    async with found_then(request.then, unread, request.wanted.package) as found:
        yield found


def _results(request: TrainRequest, then: FoundThen | None) -> Results:
    if then is None:
        return models_into(request.output)
    return Results(BOTH, Home(then.places, then.output, then.merging, models=request.output).bring)


def _unasked(unread: UnreadPackage) -> tuple[str, ...]:
    """A config may be somebody else's: nothing leaves this machine on its word alone without being said."""
    if not unread.unasked:
        return ()
    return (f"The config names these files, and they are sent: {', '.join(map(str, unread.unasked))}",)
