"""What a submitter may ask of an inference: models, data, and sleap-nn's own words for the rest, checked as data."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sleap_rtc.protocol.models import RoomModel
from sleap_rtc.protocol.places import PackagePath, UserPath
from sleap_rtc.protocol.using import UsesModels

ABILITY = "track"
"""What a peer says that knows such jobs."""
MAX_MODELS = 8
MAX_INPUTS = 256
_LAST_FRAME = 2**31
_FRAMES = re.compile(r"\d{1,10}(-\d{1,10})?(,\d{1,10}(-\d{1,10})?)*")


def check_frames(text: str) -> str:
    """Return `text` if it names frames as ``0-100,200,300-400`` does: from 0, both ends included.

    Raises:
        ValueError: if it does not, or a range ends before it begins.
    """
    if not _FRAMES.fullmatch(text):
        raise ValueError("frames are written as 0-100,200,300-400")
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first) or int(last or first) >= _LAST_FRAME:
            raise ValueError(f"{part} is no range of frames: it ends before it begins, or no video is that long")
    return text


Frames = Annotated[str, StringConstraints(max_length=4096), AfterValidator(check_frames)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,64}$")]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class DataInput(_Record):
    """What is looked at: a video, or labels with their images.

    Attributes:
        path: where it lies in the package, or `label:/path` under one of the worker's mounts.
        in_package: which of the two.
    """

    path: UserPath
    in_package: bool = True


class TrackWords(_Record):
    """What sleap-nn may be told about an inference, in words like its own.

    Attributes:
        frames: which frames; all if None.
        only_suggested_frames, only_labeled_frames, exclude_user_labeled: which frames of labels.
        batch_size: frames at a time.
        peak_threshold: least height of a peak in a confidence map, 0 to 1.
        max_instances: most animals in a frame.
        tracking: whether animals keep their identity from frame to frame.
        tracker: sleap-nn's name of what does that.
        max_tracks: most identities.
        tracking_window_size: frames that it looks back.
        no_empty_frames: leave out frames in which nothing was found.
        formats: what is written: ``slp``, or also sleap-io's ``analysis_h5``.
        runtime: what runs an exported model.
    """

    frames: Frames | None = None
    only_suggested_frames: bool = False
    only_labeled_frames: bool = False
    exclude_user_labeled: bool = False
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    peak_threshold: Share | None = None
    max_instances: int | None = Field(default=None, ge=1, le=1000)
    tracking: bool = False
    tracker: Word | None = None
    max_tracks: int | None = Field(default=None, ge=1, le=1000)
    tracking_window_size: int | None = Field(default=None, ge=1, le=10_000)
    no_empty_frames: bool = False
    formats: Annotated[tuple[Literal["slp", "analysis_h5"], ...], Field(min_length=1, max_length=2)] = ("slp",)
    runtime: Literal["auto", "onnx", "tensorrt"] | None = None


class ThenTrack(TrackWords):
    """An inference with the models that the same job has trained just before.

    Attributes:
        data: what to look at, one run each; where there is none, the suggested frames of the labels trained on.
    """

    data: Annotated[tuple[DataInput, ...], Field(max_length=MAX_INPUTS)] = ()


class TrackOptions(UsesModels, TrackWords):
    """What the submitter asked for beside the files.

    Attributes:
        model: the room's model; None where the models came along.
        model_folders: the models that came along: folders of the package, a top-down pair in any order.
        data: what to look at, one run each.
    """

    kind: Literal["track"] = "track"
    model: RoomModel | None = None
    model_folders: Annotated[tuple[PackagePath, ...], Field(max_length=MAX_MODELS)] = ()
    data: Annotated[tuple[DataInput, ...], Field(min_length=1, max_length=MAX_INPUTS)]

    @model_validator(mode="after")
    def _has_one_model(self) -> Self:
        if bool(self.model) == bool(self.model_folders):
            raise ValueError("an inference uses either a model of the room or models that came along")
        return self
