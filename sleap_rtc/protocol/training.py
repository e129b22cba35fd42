"""What a submitter may ask of a training beside the files of the package: sleap-nn's own words, checked as data."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from sleap_rtc.protocol.inference import ThenTrack
from sleap_rtc.protocol.models import ModelName, RoomModel
from sleap_rtc.protocol.places import PackagePath, UserPath

OverrideKey = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_]+){0,15}$", max_length=200)
]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,64}$")]
MAX_NAMED = 256


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Override(_Record):
    """One key of sleap-nn's config, dotted, and the value it gets in every config of the job."""

    key: OverrideKey
    value: JsonValue


class Preset(_Record):
    """A training without a config: sleap-nn's presets for a head, a backbone and augmentations, by its own names."""

    head: Word
    backbone: Word
    augment: Annotated[tuple[Word, ...], Field(max_length=16)] = ()


class VideoTarget(_Record):
    """Where a video of the labels is found.

    Attributes:
        old: what the labels call it, or the beginning of that; empty where the order tells.
        new: `label:/path` or an absolute path under one of the worker's mounts, or a path in the package.
        in_package: whether `new` is a path in the package.
    """

    old: Annotated[str, StringConstraints(max_length=4096)] = ""
    new: UserPath
    in_package: bool = False


class Videos(_Record):
    """Where the videos are, in one of sleap-nn's three ways: all of them in order, some by name, or by prefix."""

    kind: Literal["paths", "map", "prefix"]
    targets: Annotated[tuple[VideoTarget, ...], Field(min_length=1, max_length=MAX_NAMED)]


class TrainOptions(_Record):
    """What the submitter asked for beside the package itself.

    Attributes:
        devices: how many GPUs the job takes; what its configs ask for if None.
        strategy: sleap-nn's `trainer_config.trainer_strategy` for several devices.
        configs: the configs to train; all that the package holds if empty.
        labels: the labels to train on; what each config names if empty.
        val_labels: the labels to validate on, likewise.
        paths: where the files lie in the package that configs and overrides call by the submitter's own paths.
        overrides: merged into every config, in this order.
        preset: makes the config of a package that has none.
        videos: where the videos of the labels are, where the labels do not hold their images.
        wandb: whether Weights & Biases is told, with the key that comes beside the options.
        start_from: the model of the room whose weights the training begins with.
        then: what to look at with the models, once they are trained.
        register_as: the name that the model gets in its room when it is ready.
    """

    kind: Literal["train"] = "train"
    devices: int | None = Field(default=None, ge=1, le=64)
    strategy: Word | None = None
    configs: Annotated[tuple[PackagePath, ...], Field(max_length=16)] = ()
    labels: Annotated[tuple[PackagePath, ...], Field(max_length=MAX_NAMED)] = ()
    val_labels: Annotated[tuple[PackagePath, ...], Field(max_length=MAX_NAMED)] = ()
    paths: Annotated[dict[UserPath, PackagePath], Field(max_length=MAX_NAMED)] = {}
    overrides: Annotated[tuple[Override, ...], Field(max_length=MAX_NAMED)] = ()
    preset: Preset | None = None
    videos: Videos | None = None
    wandb: bool = False
    start_from: RoomModel | None = None
    then: ThenTrack | None = None
    register_as: ModelName | None = None
