"""What is asked of the labels helper and what it answers: JSON, one line each.

The helper reads files that others may have made, so its answers are checked like a stranger's.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_LINE = 8 * 1024 * 1024
"""Bytes of the longest line of the helper: labels on many single images name each of them."""
MAX_VIDEOS = 10_000
MAX_IMAGES = 100_000
Name = Annotated[str, StringConstraints(max_length=4096)]


class _Line(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class LabelsFile(_Line):
    """A labels file, and the folder from which its relative names count."""

    path: str
    beside: str


class Look(_Line):
    """Say what videos labels files are about."""

    type: Literal["look"] = "look"
    files: tuple[LabelsFile, ...]


class Embed(_Line):
    """Write a copy of a labels file with the images of its labelled frames in it.

    Attributes:
        path: the labels.
        target: where to write; its folder is there and empty.
        places: where the images of each video are read: a file, or one for each of its images; None for one that is
            not needed.
        every: embed every labelled frame, also those that only have predictions.
        suggested: embed the suggested frames, and no others.
    """

    type: Literal["embed"] = "embed"
    path: str
    target: str
    places: tuple[tuple[str, ...] | None, ...]
    every: bool = False
    suggested: bool = False


class VideoLook(_Line):
    """A video of a labels file.

    Attributes:
        names: what the labels call it, as sleap-io spells it; several where it is images.
        found: where they are on this machine, None for each that is not.
        frames: how many labelled frames it has.
        trained: how many of them have more than predictions, so that a training takes them.
        suggested: how many frames of it are suggested to be labelled.
        embedded: whether the labels file holds its images.
        source: what the video was called that those images are from, as sleap-io spells it; empty if that is unknown.
        series: whether it is single images.
    """

    names: Annotated[tuple[Name, ...], Field(min_length=1, max_length=MAX_IMAGES)]
    found: tuple[str | None, ...]
    frames: int
    trained: int
    suggested: int = 0
    embedded: bool
    source: Name = ""
    series: bool = False

    @property
    def needed(self) -> bool:
        """Whether its images are wanted and not in the labels file."""
        return self.frames > 0 and not self.embedded


class LabelsLook(_Line):
    """What is known of a labels file; `problem` says in a few words why it is nothing."""

    videos: Annotated[tuple[VideoLook, ...], Field(max_length=MAX_VIDEOS)] = ()
    problem: str | None = None

    @property
    def needed(self) -> tuple[VideoLook, ...]:
        """The videos whose images are wanted and not there."""
        return tuple(video for video in self.videos if video.needed)


class Looked(_Line):
    """The answer to `Look`, in its order."""

    type: Literal["looked"] = "looked"
    files: tuple[LabelsLook, ...]


class Embedding(_Line):
    """How far an `Embed` is, in frames."""

    type: Literal["embedding"] = "embedding"
    done: int
    total: int


class Embedded(_Line):
    """The end of an `Embed`: how many frames, or why not, and over which file where that is known."""

    type: Literal["embedded"] = "embedded"
    frames: int = 0
    problem: str | None = None


class Predicted(_Line):
    """A file of predictions.

    Attributes:
        path: where it is.
        video: the video of the labels that it is about, by its number; None for all of them, in their order.
    """

    path: str
    video: int | None = None


class Merge(_Line):
    """Write a copy of a labels file with predictions in it, where no user has labelled.

    Attributes:
        path: the labels.
        target: where to write; nothing is there.
        predictions: the files of predictions.
    """

    type: Literal["merge"] = "merge"
    path: str
    target: str
    predictions: tuple[Predicted, ...]


class Merged(_Line):
    """The end of a `Merge`; `problem` says why there is nothing.

    Attributes:
        frames: how many frames have predictions now.
        kept: how many frames were left as they are, for a user has labelled them.
    """

    type: Literal["merged"] = "merged"
    frames: int = 0
    kept: int = 0
    problem: str | None = None


class PlaceVideos(_Line):
    """Let a file of predictions name the input as it is called on this machine, where it has the worker's name for it.

    Attributes:
        path: the predictions, which are changed.
        local: what was looked at: a video, or labels.
    """

    type: Literal["place"] = "place"
    path: str
    local: str


class Placed(_Line):
    """The end of a `PlaceVideos`: how many videos have another name now."""

    type: Literal["placed"] = "placed"
    videos: int = 0
    problem: str | None = None


Request = Annotated[Look | Embed | Merge | PlaceVideos, Field(discriminator="type")]
Answer = Annotated[Looked | Embedding | Embedded | Merged | Placed, Field(discriminator="type")]
