"""Predictions that name files of the worker's, made to name those of this machine. Runs in the labels helper.

Only names change, with h5py alone: a file of many predictions need not be read for it.
"""

import json
from pathlib import Path
from typing import Any

import h5py

from sleap_rtc.client.labels_messages import MAX_VIDEOS, Placed, PlaceVideos
from sleap_rtc.client.packing import safe_name
from sleap_rtc.client.predictions import SUGGESTIONS, stem_of
from sleap_rtc.client.video_names import spelled
from sleap_rtc.jobs.hdf5_links import datasets_of


def place_videos(request: PlaceVideos) -> Placed:
    """Change the names in a file; what it says of other files stays.

    Raises:
        PackageError: if the file refers to other files.
        OSError, ValueError, KeyError, TypeError: if it is no labels file.
    """
    path, local = Path(request.path), Path(request.local)
    datasets_of(path, path.name)
    changed = 0
    with h5py.File(path, "r+") as file:
        entries = file["videos_json"]
        if entries.shape[0] > MAX_VIDEOS:
            raise ValueError(f"more than {MAX_VIDEOS} videos")
        for index in range(entries.shape[0]):
            before = json.loads(entries[index])
            after = _placed(before, local)
            if after is not before:
                entries[index] = json.dumps(after, separators=(",", ":"))
                changed += 1
    return Placed(videos=changed)


def _placed(entry: dict[str, Any], local: Path) -> dict[str, Any]:
    name = spelled(str(entry["filename"])).rpartition("/")[2]
    source = entry.get("source_video")
    if name == safe_name(local.name):
        return entry | {"filename": str(local), "backend": entry["backend"] | {"filename": str(local)}}
    copies = [safe_name(f"{stem_of(local.name)}{ending}") for ending in (".pkg.slp", SUGGESTIONS)]
    if name in copies and isinstance(source, dict):
        return source  # the copy with images was made for the worker alone
    return entry
