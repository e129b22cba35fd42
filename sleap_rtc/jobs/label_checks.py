"""What sleap-nn needs to find in the labels, beside the config that is trained on them.

The rules are those of sleap-nn's own set-up, which finds them one at a time and minutes later. `Labels`, frames and
videos are sleap-io's; this module runs where they exist, in the preflight helper, and imports none of it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sleap_rtc.protocol.text import printable

from .values import Config

MAX_FRAMES = 20_000
"""Labelled frames of one file that are looked at."""
_POSES = frozenset(
    {"single_instance", "centroid", "centered_instance", "bottomup", "multi_class_bottomup", "multi_class_topdown"}
)
_QUOTED = 120


@dataclass(frozen=True)
class Opened:
    """A labels file.

    Attributes:
        path: where it is.
        name: its path in the package.
        labels: what sleap-io read from it.
        datasets: the HDF5 datasets in it.
    """

    path: Path
    name: str
    labels: Any
    datasets: frozenset[str]

    def frames(self) -> Iterator[Any]:
        """The labelled frames, as many as are looked at."""
        return islice(self.labels, MAX_FRAMES)


@dataclass(frozen=True)
class Task:
    """A config with all defaults, and the labels it is trained and validated on."""

    config: Config
    train: list[Opened]
    validation: list[Opened]

    @property
    def head_type(self) -> str:
        """The model type."""
        heads = self.config["model_config"]["head_configs"]
        return next((str(name) for name, head in heads.items() if head is not None), "")

    @property
    def head(self) -> dict[str, Config]:
        """The parts of the head, by name."""
        parts = self.config["model_config"]["head_configs"].get(self.head_type) or {}
        return {str(name): part for name, part in parts.items() if isinstance(part, dict)}

    @property
    def data(self) -> Config:
        """The config's ``data_config``."""
        section: Config = self.config["data_config"]
        return section


def label_problems(task: Task) -> Iterator[str]:
    """Why sleap-nn will not train this config on these labels."""
    yield from _frame_problems(task)
    yield from _skeleton_problems(task)
    if task.head_type == "single_instance":
        yield from _crowded_frames(task)


def label_notices(task: Task) -> Iterator[str]:
    """What sleap-nn will do otherwise than the config says."""
    nodes = _nodes(task)
    anchor = task.head.get("confmaps", {}).get("anchor_part") if task.head_type == "centroid" else None
    if anchor is not None and anchor not in nodes:
        yield (
            f"The skeleton has no node '{_shown(anchor)}', which anchor_part names: the centroid is the middle of the "
            "visible nodes instead."
        )
    channels, asked = _channels(task), _channels_asked(task)
    if channels is not None and asked is not None and channels != asked:
        yield f"The backbone's in_channels is {asked}, and the images have {channels}: sleap-nn sets it to {channels}."


def image_shape(task: Task) -> tuple[int, int] | None:
    """Height and width of the images that go into the model, as far as the labels tell; None for crops."""
    preprocessing = task.data.get("preprocessing") or {}
    shape = _video_shape(task)
    if shape is None or task.head_type in ("centered_instance", "multi_class_topdown"):
        return None
    scale = preprocessing.get("scale")
    scale = scale if isinstance(scale, float) and 0 < scale <= 1 else 1.0
    return int(shape[1] * scale), int(shape[2] * scale)


def _frame_problems(task: Task) -> Iterator[str]:
    fraction = task.data.get("validation_fraction")
    same, grouped = task.data.get("use_same_data_for_val"), task.data.get("split") is not None
    chosen = same or bool(task.validation)
    usable = _anything if _is_lenient(task, chosen=chosen) else _trainable(task)
    if not any(usable(frame) for opened in task.train for frame in opened.frames()):
        yield _no_frames(task.train, "trains")
    if task.validation and not same:
        if not any(usable(frame) for opened in task.validation for frame in opened.frames()):
            yield _no_frames(task.validation, "validates")
    elif not chosen and not grouped and isinstance(fraction, float) and fraction > 1:
        yield f"data_config.validation_fraction is {fraction:g}: give the share of the frames, between 0 and 1."


def _is_lenient(task: Task, *, chosen: bool) -> bool:
    """Whether any labelled frame counts: for heads that train on other things than instances, or where they say so."""
    return (
        task.head_type not in _POSES
        or bool(task.data.get("centroids_from_masks"))
        or (chosen and not task.data.get("user_instances_only"))
    )


def _trainable(task: Task) -> Callable[[Any], bool]:
    def usable(frame: Any) -> bool:
        if frame.has_user_instances:
            return True
        return task.head_type == "centroid" and any(not centroid.is_predicted for centroid in frame.centroids)

    return usable


def _anything(_: Any) -> bool:
    return True


def _no_frames(files: Iterable[Opened], verb: str) -> str:
    names = ", ".join(f"'{opened.name}'" for opened in files)
    return (
        f"No frame in {names} has an instance that a user has placed, and sleap-nn {verb} on nothing else: predictions "
        "do not count. Label frames, or correct predicted ones, and export the package again."
    )


def _skeleton_problems(task: Task) -> Iterator[str]:
    skeletons = [opened.labels.skeletons[0] for opened in task.train if opened.labels.skeletons]
    for skeleton, opened in zip(skeletons[1:], task.train[1:], strict=False):
        if not skeletons[0].matches(skeleton):
            yield f"The skeleton in '{opened.name}' is not that of '{task.train[0].name}'. Train files of one skeleton."
    for name, part in task.head.items():
        key = f"model_config.head_configs.{task.head_type}.{name}"
        yield from _part_problems(task, key, part)


def _part_problems(task: Task, key: str, part: Config) -> Iterator[str]:
    nodes = _nodes(task)
    if "part_names" in part:
        yield from _node_problems(key, part["part_names"], nodes)
    anchor = part.get("anchor_part")
    if anchor is not None and task.head_type != "centroid" and anchor not in nodes:
        yield (
            f"{key}.anchor_part is '{_shown(anchor)}', which is no node of the skeleton ({_listed(nodes)}). "
            "Name one of them, or set it to null."
        )
    if "edges" in part:
        yield from _edge_problems(task, key, part["edges"], nodes)
    if "classes" in part and part["classes"] is None and not any(opened.labels.tracks for opened in task.train):
        yield f"{key}.classes are the tracks of the labels, and those have none. Assign tracks, or list the classes."


def _node_problems(key: str, wanted: Any, nodes: list[str]) -> Iterator[str]:
    if wanted is None and not nodes:
        yield f"{key}.part_names are the nodes of the skeleton, and the labels have no skeleton. Export them with one."
    elif wanted is not None and list(wanted) != nodes:
        yield (
            f"{key}.part_names ({_listed(wanted)}) are not the nodes of the skeleton in its order ({_listed(nodes)}). "
            "Set part_names to null: then they are."
        )


def _edge_problems(task: Task, key: str, wanted: Any, nodes: list[str]) -> Iterator[str]:
    if wanted is None:
        skeletons = [skeleton for opened in task.train[:1] for skeleton in opened.labels.skeletons[:1]]
        if not any(skeleton.edges for skeleton in skeletons):
            yield f"{key} needs edges, and the skeleton has none. Connect its nodes in SLEAP, and export again."
        return
    unknown = sorted({str(node) for edge in wanted for node in edge} - set(nodes))
    if unknown:
        yield f"{key}.edges name nodes that the skeleton has not: {_listed(unknown)}. Set edges to null to use its own."


def _crowded_frames(task: Task) -> Iterator[str]:
    users_only = task.data.get("user_instances_only")
    for opened in task.train + task.validation:
        for frame in opened.frames():
            instances = frame.user_instances if users_only else frame.instances
            count = sum(1 for instance in instances if not instance.is_empty)
            if count > 1:
                yield (
                    f"Frame {frame.frame_idx} in '{opened.name}' has {count} instances, and a single_instance model "
                    "takes one. Remove the others, or train a top-down or bottom-up model."
                )
                break


def _nodes(task: Task) -> list[str]:
    skeletons = task.train[0].labels.skeletons if task.train else []
    return [str(name) for name in skeletons[0].node_names] if skeletons else []


def _video_shape(task: Task) -> tuple[int, ...] | None:
    videos = task.train[0].labels.videos if task.train else []
    shape = (videos[0].backend_metadata or {}).get("shape") if videos else None
    if isinstance(shape, (list, tuple)) and len(shape) == 4 and all(isinstance(size, int) for size in shape):
        return tuple(shape)
    return None


def _channels(task: Task) -> int | None:
    preprocessing = task.data.get("preprocessing") or {}
    if preprocessing.get("ensure_grayscale"):
        return 1
    if preprocessing.get("ensure_rgb"):
        return 3
    shape = _video_shape(task)
    return shape[3] if shape is not None and shape[3] > 0 else None


def _channels_asked(task: Task) -> int | None:
    backbones = task.config["model_config"]["backbone_config"].values()
    return next((backbone.get("in_channels") for backbone in backbones if isinstance(backbone, dict)), None)


def shown_name(path: str) -> str:
    """The file name of a path written on any system, for sentences."""
    return _shown(path.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])


def _listed(names: Iterable[Any]) -> str:
    return printable(", ".join(map(str, names)), limit=_QUOTED) or "none"


def _shown(text: Any) -> str:
    return printable(str(text), limit=_QUOTED)
