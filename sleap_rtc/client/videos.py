"""Labels that do not hold their images: embed them, send the videos, or say where the worker has them.

Nothing here asks the user or reads a labels file itself: the caller decides, and a helper process reads.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.client.embedding import embedded
from sleap_rtc.client.labels_asking import Helper, look
from sleap_rtc.client.labels_messages import LabelsFile, LabelsLook, VideoLook
from sleap_rtc.client.packing import Packing
from sleap_rtc.client.video_choice import Decide, Labels, PreparedVideos, Situation, VideoChoice, as_usual
from sleap_rtc.client.video_maps import VideoMap, VideoMaps
from sleap_rtc.client.video_names import check_places, local_names, spelled
from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import MAX_NAMED, Videos, VideoTarget

FOLDER = "videos"
SUFFIXES = (
    ".mp4", ".avi", ".mov", ".mj2", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".m4v", ".h5", ".hdf5",
    ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp",
)  # fmt: skip
"""What is sent: labels that somebody else made must not pick just any file of this machine, and no other labels."""
_MAX_BYTES = 32 * 1024
"""Bytes of what is said about videos: it goes with a control message."""


@dataclass(frozen=True)
class _Read:
    labels: Labels
    look: LabelsLook


async def prepare_videos(
    labels: Sequence[Labels],
    choice: VideoChoice,
    *,
    decide: Decide = as_usual,
    taken: Iterable[str] = (),
    every: bool = False,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    helper: Helper | None = None,
) -> PreparedVideos:
    """See that a job has the images of its labels.

    Args:
        labels: the labels files to look at.
        choice: what the user typed.
        decide: picks a way where none was typed.
        taken: the paths of the package.
        every: whether frames that only have predictions are trained on as well.
        on_frames: told the frames embedded so far and those there are.
        helper: how the helper is started.

    Raises:
        UsageError: if what was typed does not fit the labels.
        PackageError: if a video is not there, or cannot be read.
        StorageError: if the disk refuses.
    """
    if not labels:
        return PreparedVideos()
    found = await look([LabelsFile(path=str(each.file), beside=str(each.beside)) for each in labels], helper)
    read = [_Read(each, seen) for each, seen in zip(labels, found, strict=True)]
    for each in read:
        if each.look.problem and choice.typed:
            raise PackageError(f"The labels {each.labels.place} cannot be read: {each.look.problem}. Save them again.")
    # what cannot be read here is the worker's to judge, where nothing was asked about it
    read = [each for each in read if not each.look.problem]
    if choice.places is not None:
        check_places(choice.places, [(each.labels.place, each.look) for each in read], local=choice.way is not None)
    if choice.places is not None and choice.way is None:
        return PreparedVideos(videos=choice.places, maps=_to_remember(choice.places, read))
    needing = [each for each in read if each.look.needed]
    if not needing:
        return PreparedVideos(notes=("The labels hold their images already.",) if choice.way else ())
    here, situation = await asyncio.to_thread(_find, needing, choice, every=every)
    way = choice.way or await decide(situation)
    if way == "worker" and situation.known is not None:
        return PreparedVideos(videos=situation.known, recalled=True, notes=(_recalled(situation.known),))
    if way == "send":
        return _sent(here, Packing(taken))
    return await _embedded(here, every=every, on_frames=on_frames, helper=helper)


def _find(needing: Sequence[_Read], choice: VideoChoice, *, every: bool) -> tuple[list[_Read], Situation]:
    here = [_Read(each.labels, _moved(each.look, choice.places)) for each in needing]
    return here, _situation(here, choice, every=every)


def _situation(here: Sequence[_Read], choice: VideoChoice, *, every: bool) -> Situation:
    needed = [video for each in here for video in each.look.needed]
    names = tuple(dict.fromkeys(name for video in needed for name in video.names))
    missing = dict.fromkeys(name for video in needed for name in _missing(video))
    known = VideoMaps().places_of(names) if choice.remembered and choice.way is None else None
    return Situation(
        labels=tuple(each.labels.place for each in here),
        names=names,
        frames=sum(video.frames if every else video.trained for video in needed),
        missing=tuple(missing),
        known=known,
    )


def _moved(seen: LabelsLook, places: Videos | None) -> LabelsLook:
    """The same, with the videos found where the user says they are on this machine."""
    if places is None:
        return seen
    videos = []
    for index, video in enumerate(seen.videos):
        moved = local_names(places, index, video.names)
        found = tuple(
            before if new == name else str(Path(new).absolute()) if Path(new).is_file() else None
            for name, new, before in zip(video.names, moved, video.found, strict=True)
        )
        videos.append(video.model_copy(update={"found": found}))
    return seen.model_copy(update={"videos": tuple(videos)})


def _missing(video: VideoLook) -> list[str]:
    return [name for name, place in zip(video.names, video.found, strict=True) if place is None]


async def _embedded(
    here: Sequence[_Read], *, every: bool, on_frames: Callable[[int, int], None], helper: Helper | None
) -> PreparedVideos:
    wanted: list[tuple[_Read, list[tuple[str, ...] | None]]] = []
    for each in here:
        places = [_places(each, video) if _is_embedded(video, every=every) else None for video in each.look.videos]
        wanted.append((each, places))
    replaced = {}
    for each, places in wanted:
        file = await embedded(each.labels.file, places, every=every, on_frames=on_frames, helper=helper)
        replaced[each.labels.place] = file
    frames = sum(
        video.frames if every else video.trained
        for each in here
        for video in each.look.needed
        if _is_embedded(video, every=every)
    )
    names = ", ".join(printable(place, limit=120) for place in replaced)
    return PreparedVideos(replaced=replaced, notes=(f"{names}: sent with the images of {frames} labelled frames.",))


def _is_embedded(video: VideoLook, *, every: bool) -> bool:
    return video.needed and (every or video.trained > 0)


def _places(each: _Read, video: VideoLook) -> tuple[str, ...]:
    found = tuple(place for place in video.found if place is not None)
    if len(found) < len(video.found):
        raise _not_here(each, _missing(video)[0], "embedding its frames needs it", "--embed-frames")
    return found


def _not_here(each: _Read, name: str, why: str, way: str) -> PackageError:
    shown = printable(name, limit=300)
    return PackageError(
        f"The labels {printable(each.labels.place, limit=120)} need the video '{shown}', which is not on this machine, "
        f"and {why}. Put it there or beside the labels, or say where it is: here, with {way} "
        f"--video-path-map '{shown}' PATH; or on the worker, with --video-path-map '{shown}' LABEL:/PATH."
    )


def _sent(here: Sequence[_Read], packing: Packing) -> PreparedVideos:
    targets: dict[str, str] = {}
    for each in here:
        for video in each.look.needed:
            for name, place in zip(video.names, video.found, strict=True):
                if place is None:
                    raise _not_here(each, name, "so it cannot be sent", "--send-videos")
                # nor by a link of theirs that is called like a video
                if not all(str(file).lower().endswith(SUFFIXES) for file in (place, Path(place).resolve())):
                    raise PackageError(
                        f"The labels {printable(each.labels.place, limit=120)} name '{printable(place, limit=200)}' as "
                        "a video, and it is not sent: its name is not a video's. Embed the frames (--embed-frames)."
                    )
                target = packing.add(FOLDER, Path(place))
                if targets.setdefault(name, target) != target:
                    raise PackageError(
                        f"Two labels files call different videos '{printable(name, limit=200)}', and a worker could "
                        "not tell them apart. Embed the frames instead (--embed-frames)."
                    )
    if len(targets) > MAX_NAMED:
        raise _too_many(len(targets))
    videos = Videos(
        kind="map",
        targets=tuple(VideoTarget(old=old, new=new, in_package=True) for old, new in targets.items()),
    )
    if len(videos.model_dump_json().encode()) > _MAX_BYTES:
        raise _too_many(len(targets))
    listed = ", ".join(map(str, packing.files.values()))
    return PreparedVideos(added=packing.files, videos=videos, notes=(f"These videos are sent: {listed}",))


def _too_many(count: int) -> PackageError:
    return PackageError(
        f"{count} videos or images are too many to be sent one by one. Embed the frames instead (--embed-frames)."
    )


def _to_remember(places: Videos, read: Sequence[_Read]) -> tuple[VideoMap, ...]:
    if places.kind != "paths":
        return tuple(VideoMap(kind=places.kind, old=spelled(each.old), new=each.new) for each in places.targets)
    return tuple(
        VideoMap(kind="map", old=video.names[0], new=target.new)
        for each in read
        for video, target in zip(each.look.videos, places.targets, strict=True)
        if not video.embedded and not video.series and video.names[0]
    )


def _recalled(known: Videos) -> str:
    said = ", ".join(f"{each.old} → {each.new}" for each in known.targets[:3])
    more = f" and {len(known.targets) - 3} more" if len(known.targets) > 3 else ""
    return (
        f"The worker's own videos are used, as an earlier command said: {printable(said, limit=300)}{more}. "
        "--no-remembered-maps asks anew."
    )


async def remember(maps: Sequence[VideoMap]) -> None:
    """Remember what was said, once a worker has taken a job on its word.

    Raises:
        StorageError: if the disk refuses.
    """
    if maps:
        await asyncio.to_thread(VideoMaps().remember, maps)
