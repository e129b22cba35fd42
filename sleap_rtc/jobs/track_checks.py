"""Whether sleap-nn can look for animals in the data of a run: its video opens, its labels fit the model.

Runs in the preflight helper, where sleap-io exists, and imports none of it.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.protocol.text import printable

from .folder import JobFolder
from .label_checks import Opened, shown_name
from .track_arguments import last_frame
from .track_task import TrackTask
from .trained import CONFIG
from .values import Config, listed
from .video_checks import Granted, video_problems
from .yaml_data import MAX_OWN_BYTES, read_yaml

Open = Callable[[Path, str], Opened]
LoadVideo = Callable[[str], Any]
_QUOTED = 200


def track_problems(
    task: TrackTask, folder: Path, granted: Granted, open_labels: Open, load_video: LoadVideo
) -> Iterator[str]:
    """A sentence for each reason why a run cannot be done.

    Args:
        task: what it does.
        folder: the job's.
        granted: what the job may read.
        open_labels: opens a labels file; raises `PackageError` if it is none, or refers to other files.
        load_video: sleap-io's.
    """
    data = Path(task.data)
    name = shown_name(granted.mounts.shown(task.data)) if not data.is_relative_to(granted.inputs) else data.name
    name = printable(name, limit=_QUOTED)
    if data.suffix.lower() != ".slp":
        if problem := granted.problem(data):
            yield f"'{name}' cannot be looked at: it is a file {problem}. Give the video itself."
        else:
            yield from _video(task, name, load_video)
        return
    try:
        opened = open_labels(data, name)
    except PackageError as error:
        yield error.sentence
        return
    yield from _labels(task, opened)
    yield from _skeleton(opened, {PurePosixPath(model).name: _config_of(folder, model) for model in task.models})
    yield from video_problems(opened, granted, whole=task.only != "labeled")


def _video(task: TrackTask, name: str, load_video: LoadVideo) -> Iterator[str]:
    try:
        video = load_video(task.data)
        frames = len(video)
        if not frames or video.shape is None:
            raise ValueError("it has no frames")
    except Exception as error:  # noqa: BLE001 - a video library may raise anything over a stranger's file
        said = printable(" ".join(str(error).split()), limit=_QUOTED)
        why = said or type(error).__name__
        yield f"The video '{name}' cannot be read ({why}). Convert it, for example to H.264 in an .mp4 file."
        return
    if task.frames is not None and (last := last_frame(task.frames)) >= frames:
        yield f"--frames names frame {last}, and the last one of '{name}' is {frames - 1}. Correct the frames."


def _labels(task: TrackTask, opened: Opened) -> Iterator[str]:
    labels = opened.labels
    if task.only == "suggested" and not labels.suggestions:
        yield f"'{opened.name}' has no suggested frames. Make some in SLEAP, or leave --only-suggested-frames out."
    if task.only == "labeled" and not len(labels):
        yield f"'{opened.name}' has no labelled frames. Leave --only-labeled-frames out, or give other labels."


def _config_of(folder: Path, model: str) -> Path:
    """The config of a model: of one that the same job trains first, that of its training."""
    trained = folder / model / CONFIG
    return trained if trained.is_file() else JobFolder(folder).config_of(PurePosixPath(model).name)


def _skeleton(opened: Opened, models: Mapping[str, Path]) -> Iterator[str]:
    skeletons = opened.labels.skeletons
    if not skeletons:
        return
    there = [str(node.name) for node in skeletons[0].nodes]
    for model, config in models.items():
        wanted = _nodes(config)
        if wanted and there and wanted != there:
            yield (
                f"The skeleton of '{opened.name}' ({_named(there)}) is not the one that the model '{model}' is "
                f"trained on ({_named(wanted)}). Use labels with that skeleton, or another model."
            )


def _nodes(file: Path) -> list[str]:
    """The nodes that a model finds, in order, by its config; none where it finds one point of each, or does not say."""
    try:
        with file.open("rb") as source:
            config = read_yaml(source.read(MAX_OWN_BYTES + 1), MAX_OWN_BYTES)
    except (OSError, ConfigError):
        return []
    for head in _heads(config):
        parts = head.get("confmaps")
        names = listed(parts.get("part_names")) if isinstance(parts, dict) else []
        if names:
            return [str(name) for name in names]
    return []


def _heads(config: Any) -> Iterator[Config]:
    model = config.get("model_config") if isinstance(config, dict) else None
    heads = model.get("head_configs") if isinstance(model, dict) else None
    yield from (head for head in (heads or {}).values() if isinstance(head, dict))


def _named(nodes: list[str]) -> str:
    return printable(", ".join(nodes), limit=_QUOTED)
