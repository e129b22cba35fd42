"""What ``sleap-rtc train`` does once its options are read: connect, submit, watch, bring home."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

from sleap_rtc.cli.following import Asks, models_into, until_interrupted
from sleap_rtc.cli.output import note
from sleap_rtc.cli.progress import JobDisplay, make_display
from sleap_rtc.cli.registering import check_registering, say_registered
from sleap_rtc.cli.running import beside
from sleap_rtc.cli.submitting import Remote, reach
from sleap_rtc.cli.video_asking import explained, see_to_videos
from sleap_rtc.client.assembling import Wanted, assemble
from sleap_rtc.client.lossviewer import MonitorPorts
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.video_choice import PreparedVideos, VideoChoice
from sleap_rtc.client.videos import remember


@dataclass(frozen=True)
class TrainRequest:
    """What the user asks for.

    Attributes:
        wanted: what to train.
        remote: where, and how.
        output: the folder for the models.
        monitor: where SLEAP's own monitor shows the training.
        videos: where the images of labels come from that do not hold them.
        wandb_key: the user's key for Weights & Biases, where it is told; it is kept nowhere.
    """

    wanted: Wanted
    remote: Remote
    output: Path
    monitor: MonitorPorts
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
        _found(request, display) as (unread, videos),
        # reading takes as long as its disk needs: meanwhile the worker is reached
        beside(unread.read(say_reading)) as reading,
        reach(request.remote, reading, display) as reached,
    ):
        package = await reading
        with explained(request.videos, videos):
            job = await reached.submit(package, wandb_key=request.wandb_key)
        await remember(videos.maps)
        package.close()
        code = await reached.follow(job, asks, models_into(request.output), monitor=request.monitor)
    name = request.wanted.options.register_as
    if code == 0 and name is not None and not request.remote.detach:
        await say_registered(request.remote, job.id, name, display)
    return code


@asynccontextmanager
async def _found(request: TrainRequest, display: JobDisplay) -> AsyncIterator[tuple[UnreadPackage, PreparedVideos]]:
    """All that is sent, the images of the labels among it."""
    with closing(await assemble(request.wanted)) as unread:
        _say_unasked(unread)
        whole, videos = await see_to_videos(unread, request.videos, request.wanted.package, display)
        with closing(whole):
            yield whole, videos


def _say_unasked(unread: UnreadPackage) -> None:
    """A config may be somebody else's: nothing leaves this machine on its word alone without being said."""
    if unread.unasked:
        note(f"The config names these files, and they are sent: {', '.join(map(str, unread.unasked))}")
