"""What videos a labels file is about, read with h5py alone: nothing is decoded, and sleap-io is not needed for it.

Runs in the labels helper.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any

import h5py
import numpy as np

from sleap_rtc.client.labels_messages import MAX_IMAGES, MAX_VIDEOS, LabelsFile, LabelsLook, VideoLook
from sleap_rtc.client.video_names import spelled
from sleap_rtc.errors import PackageError
from sleap_rtc.jobs.hdf5_links import datasets_of
from sleap_rtc.protocol.text import printable

_MAX_FRAMES = 10_000_000
_MAX_INSTANCES = 50_000_000
_BY_USER = 0
_OTHERS = ("negative_frames", "centroids", "bboxes", "masks", "label_images", "rois")
"""What is labelled beside instances, each in a place of its own."""


def look_at(file: LabelsFile) -> LabelsLook:
    """Look at a labels file; whatever is wrong with it is told, not raised."""
    try:
        datasets = datasets_of(Path(file.path), Path(file.path).name)
        with h5py.File(file.path, "r") as opened:
            return LabelsLook(videos=tuple(_videos(opened, file, datasets)))
    except PackageError as error:
        return LabelsLook(problem=error.sentence)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, RuntimeError) as error:
        return LabelsLook(problem=printable(str(error), limit=300) or type(error).__name__)


def _videos(opened: Any, file: LabelsFile, datasets: frozenset[str]) -> Iterator[VideoLook]:
    entries = opened["videos_json"][: MAX_VIDEOS + 1]
    if len(entries) > MAX_VIDEOS:
        raise ValueError(f"more than {MAX_VIDEOS} videos")
    frames, trained = _frame_counts(opened)
    suggested = _suggestions(opened)
    for index, entry in enumerate(entries):
        video = json.loads(entry)
        backend = video["backend"] if isinstance(video.get("backend"), dict) else video
        dataset = str(backend.get("dataset") or "").strip("/")
        name = str(backend.get("filename", video.get("filename", "")))
        embedded = name == "." and dataset in datasets
        images = backend.get("filenames")
        series = isinstance(images, list) and len(images) > 0
        names = [spelled(str(each)) for each in images[: MAX_IMAGES + 1]] if series else [spelled(name)]
        number = _number(dataset, index) if name == "." else index
        yield VideoLook(
            names=tuple(names),
            found=tuple(None if embedded else _found(each, Path(file.beside)) for each in names),
            frames=frames[number],
            trained=trained[number],
            suggested=_with_images(opened, dataset, suggested[index]) if embedded else len(suggested[index]),
            embedded=embedded,
            source=_source(video),
            series=series,
        )


def _source(video: Any) -> str:
    source = video.get("source_video")
    name = source.get("filename") if isinstance(source, dict) else None
    return spelled(name) if isinstance(name, str) else ""


def _frame_counts(opened: Any) -> tuple[Counter[int], Counter[int]]:
    """How many labelled frames each video has, by its number in the file, and how many that are no mere predictions."""
    if opened["frames"].shape[0] > _MAX_FRAMES or opened["instances"].shape[0] > _MAX_INSTANCES:
        raise ValueError(f"more than {_MAX_FRAMES} labelled frames, or {_MAX_INSTANCES} instances")
    frames = opened["frames"][:]
    by_users = np.concatenate([[0], np.cumsum(opened["instances"]["instance_type"] == _BY_USER)])
    begin, end = (frames[key].clip(0, len(by_users) - 1) for key in ("instance_id_start", "instance_id_end"))
    trained = by_users[end] > by_users[begin]
    if any(name in opened for name in _OTHERS):
        # a frame without instances may have been marked, or have other things than instances
        trained |= end <= begin
    videos = frames["video"]
    return Counter(videos.tolist()), Counter(videos[trained].tolist())


def _suggestions(opened: Any) -> defaultdict[int, set[int]]:
    """The suggested frames of each video, by its place in the file."""
    found: defaultdict[int, set[int]] = defaultdict(set)
    if "suggestions_json" not in opened:
        return found
    if opened["suggestions_json"].shape[0] > _MAX_FRAMES:
        raise ValueError(f"more than {_MAX_FRAMES} suggested frames")
    for entry in map(json.loads, opened["suggestions_json"][:]):
        found[int(entry["video"])].add(int(entry["frame_idx"]))
    return found


def _with_images(opened: Any, dataset: str, suggested: set[int]) -> int:
    """How many of the suggested frames of an embedded video have their image in the file."""
    numbers = f"{dataset.rpartition('/')[0]}/frame_numbers"
    if numbers not in opened:
        return len(suggested)
    return len(suggested & set(opened[numbers][:].tolist()))


def _number(dataset: str, index: int) -> int:
    """The number by which frames refer to an embedded video: that of its group, which may skip some."""
    digits = dataset.partition("/")[0].removeprefix("video")
    return int(digits) if digits.isdecimal() else index


def _found(name: str, beside: Path) -> str | None:
    """Where a file is on this machine: where it says, or beside the labels."""
    for path in (beside / name, Path(name).absolute(), beside / PureWindowsPath(name).name):
        try:
            if path.is_file():
                return str(path)
        except (OSError, ValueError):  # no system has such a name
            continue
    return None
