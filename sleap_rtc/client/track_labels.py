"""Labels that are looked at by a model, and do not hold their images: these are put into a copy that is sent."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from sleap_rtc.client.embedding import embedded
from sleap_rtc.client.labels_asking import Helper, look
from sleap_rtc.client.labels_messages import LabelsFile, LabelsLook, VideoLook
from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.text import printable

Which = Literal["suggested", "labeled", "others"]
"""Frames of labels: suggested ones, those that a user labelled, or those that have predictions alone."""
_WORDS: dict[Which, str] = {
    "suggested": "suggested frames",
    "labeled": "labelled frames",
    "others": "frames but those that a user has labelled",
}
_SHOWN = 3


async def look_at(file: Path, helper: Helper | None = None) -> LabelsLook:
    """See what videos a labels file is about.

    Raises:
        PackageError: if it cannot be read.
    """
    path = await asyncio.to_thread(file.absolute)
    (found,) = await look([LabelsFile(path=str(path), beside=str(path.parent))], helper)
    if found.problem:
        raise PackageError(f"The labels {_shown(file)} cannot be read: {found.problem}. Save them again.")
    return found


async def with_images(
    file: Path,
    which: Which | None,
    *,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    helper: Helper | None = None,
    option: str = "--data",
) -> Path:
    """A labels file that holds the images that a model is to look at; the file itself if it does already.

    Args:
        file: the labels.
        which: which of its frames; None for all.
        on_frames: told the frames embedded so far and those there are.
        helper: how the helper is started.
        option: how data is typed, for sentences.

    Raises:
        PackageError: if it has no such frames, or a video is not on this machine or cannot be read.
        StorageError: if the disk refuses.
    """
    seen = await look_at(file, helper)
    if which is None:
        if any(not video.embedded for video in seen.videos):
            raise PackageError(_says_give_video(file, seen, option))
        return file
    counts = [_count(video, which) for video in seen.videos]
    if not any(counts):
        raise PackageError(f"The labels {_shown(file)} have no {_WORDS[which]}, so there is nothing to look at.")
    needed = [count > 0 and not video.embedded for video, count in zip(seen.videos, counts, strict=True)]
    if not any(needed):
        return file
    places = [_places(file, video, option) if need else None for video, need in zip(seen.videos, needed, strict=True)]
    return await embedded(
        await asyncio.to_thread(file.absolute),
        places,
        every=which == "others",
        suggested=which == "suggested",
        on_frames=on_frames,
        helper=helper,
    )


def _count(video: VideoLook, which: Which) -> int:
    if which == "suggested":
        return video.suggested
    return video.trained if which == "labeled" else video.frames - video.trained


def _places(file: Path, video: VideoLook, option: str) -> tuple[str, ...]:
    missing = [name for name, place in zip(video.names, video.found, strict=True) if place is None]
    if missing:
        raise PackageError(
            f"The labels {_shown(file)} need the video '{printable(missing[0], limit=300)}', which is not on this "
            f"machine. Put it there or beside the labels; of a video on the worker say {option} LABEL:/PATH instead."
        )
    return tuple(place for place in video.found if place is not None)


def _says_give_video(file: Path, seen: LabelsLook, option: str) -> str:
    names = [printable(video.names[0], limit=200) for video in seen.videos if not video.embedded]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    some = "add --only-labeled-frames or --only-suggested-frames" if option == "--data" else f"say {option} suggestions"
    return (
        f"The labels {_shown(file)} do not hold their images. To look at all frames, give the video with {option}: "
        f"{', '.join(names[:_SHOWN])}{more}. To look at some, {some}."
    )


def _shown(file: Path) -> str:
    return f"'{printable(str(file), limit=200)}'"
