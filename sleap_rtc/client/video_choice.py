"""What a user says about the videos of labels, what there is to decide, and what comes of it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sleap_rtc.client.video_maps import VideoMap
from sleap_rtc.protocol.training import Videos

Way = Literal["embed", "send", "worker"]


@dataclass(frozen=True)
class VideoChoice:
    """What the user typed about videos.

    Attributes:
        way: embed or send; None where it was not typed.
        places: where the videos are: on the worker, or, with a `way`, on this machine.
        remembered: whether what was said in an earlier command counts.
    """

    way: Literal["embed", "send"] | None = None
    places: Videos | None = None
    remembered: bool = True

    @property
    def typed(self) -> bool:
        """Whether anything was typed that asks for the labels to be looked at."""
        return self.way is not None or self.places is not None


@dataclass(frozen=True)
class Labels:
    """A labels file of the package.

    Attributes:
        place: its path in the package.
        file: where it is on this machine, by its absolute path.
        beside: the folder from which its relative names count.
    """

    place: str
    file: Path
    beside: Path


@dataclass(frozen=True)
class Situation:
    """What there is to decide.

    Attributes:
        labels: the labels files that need videos.
        names: the videos.
        frames: how many labelled frames are trained on.
        missing: the videos that are not on this machine.
        known: where the worker has them, as an earlier command said.
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    frames: int
    missing: tuple[str, ...]
    known: Videos | None

    @property
    def usual(self) -> Way:
        """What is done where nobody decides."""
        return "worker" if self.known else "embed"


Decide = Callable[[Situation], Awaitable[Way]]


async def as_usual(situation: Situation) -> Way:
    """Decide without asking anybody."""
    return situation.usual


@dataclass(frozen=True)
class PreparedVideos:
    """What comes of it.

    Attributes:
        replaced: labels with their images, for paths of the package.
        added: videos that are sent, by their path in the package.
        videos: what the job's options say.
        maps: what to remember once a worker has taken the job.
        recalled: whether `videos` is what was remembered.
        notes: what the user should see, a sentence each.
    """

    replaced: Mapping[str, Path] = field(default_factory=dict)
    added: Mapping[str, Path] = field(default_factory=dict)
    videos: Videos | None = None
    maps: tuple[VideoMap, ...] = ()
    recalled: bool = False
    notes: tuple[str, ...] = ()
