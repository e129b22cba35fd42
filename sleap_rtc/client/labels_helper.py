"""``python -m sleap_rtc.client.labels_helper``: reads labels, embeds their frames, merges predictions into them.

One request comes on standard input, and the answer goes to standard output, as JSON lines. A process of its own, for
sleap-io takes a second to import and video libraries may crash over a damaged file: `labels_asking` bounds its time.
"""

import os
import sys
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import BaseModel, TypeAdapter

from sleap_rtc.client.labels_merging import Unmerged, merge
from sleap_rtc.client.labels_messages import (
    Embed,
    Embedded,
    Embedding,
    Looked,
    Merge,
    Merged,
    Placed,
    PlaceVideos,
    Request,
)
from sleap_rtc.client.labels_placing import place_videos
from sleap_rtc.client.labels_reading import look_at
from sleap_rtc.jobs.processes import die_with_parent
from sleap_rtc.protocol.text import printable

_MEMORY = 4 * 1024**3
"""Address space for looking at files."""


class Unreadable(Exception):  # noqa: N818 - it becomes an answer
    """A frame cannot be read; says which, and of which file."""


def serve() -> int:
    """Answer one request."""
    die_with_parent()
    requests, answers = _take_pipes()
    request = TypeAdapter[Any](Request).validate_json(requests.readline())
    if isinstance(request, Embed):
        _say(answers, _embed(request, answers))
        return 0
    _limit_memory()
    if isinstance(request, Merge):
        _say(answers, _merge(request))
        return 0
    if isinstance(request, PlaceVideos):
        _say(answers, _place_videos(request))
        return 0
    _say(answers, Looked(files=tuple(look_at(file) for file in request.files)))
    return 0


def _embed(request: Embed, answers: BinaryIO) -> Embedded:
    def on_progress(done: int, total: int, phase: str) -> bool:
        if phase == "embed":
            _say(answers, Embedding(done=done, total=total))
        return True

    try:
        return Embedded(frames=embed(request, on_progress))
    except Unreadable as error:
        return Embedded(problem=str(error))
    except Exception as error:  # noqa: BLE001 - whatever the libraries raise over a file is told as a sentence
        return Embedded(problem=printable(str(error), limit=300) or type(error).__name__)


def _merge(request: Merge) -> Merged:
    try:
        return merge(request)
    except Unmerged as error:
        return Merged(problem=str(error))
    except Exception as error:  # noqa: BLE001 - whatever the libraries raise over a file is told as a sentence
        return Merged(problem=printable(str(error), limit=300) or type(error).__name__)


def _place_videos(request: PlaceVideos) -> Placed:
    try:
        return place_videos(request)
    except Exception as error:  # noqa: BLE001 - whatever h5py raises over a file is told as a sentence
        return Placed(problem=printable(str(error), limit=300) or type(error).__name__)


def embed(request: Embed, on_progress: Any = None) -> int:
    """Write the labels with the images of the frames that are wanted; return how many those are.

    Raises:
        Unreadable: if an image cannot be read.
    """
    import sleap_io

    labels = sleap_io.load_slp(request.path, open_videos=False)
    _find_videos(labels, request)
    frames = _wanted(labels, request)
    _check_readable(frames)
    # the file's own name is written into it: from within its folder, it is the same every time
    os.chdir(Path(request.target).parent)
    name = Path(request.target).name
    labels.save(name, embed=frames, embed_inplace=True, verbose=False, progress_callback=on_progress)
    return len(frames)


def _wanted(labels: Any, request: Embed) -> list[tuple[Any, int]]:
    if not request.suggested:
        return [(frame.video, frame.frame_idx) for frame in labels if request.every or is_trained_on(frame)]
    named = {(id(each.video), each.frame_idx): (each.video, each.frame_idx) for each in labels.suggestions}
    return list(named.values())


def is_trained_on(frame: Any) -> bool:
    """Whether a user has labelled a frame, with whatever sleap-nn trains on."""
    if frame.is_user_labeled:
        return True
    others = (*frame.centroids, *frame.bboxes, *frame.masks)
    return any(not getattr(other, "is_predicted", False) for other in others) or bool(frame.label_images)


def _find_videos(labels: Any, request: Embed) -> None:
    for video, places in zip(labels.videos, request.places, strict=True):
        if places is None:
            continue
        try:
            _open(video, places)
        except Exception as error:
            raise Unreadable(f"'{places[0]}' cannot be opened as a video") from error


def _open(video: Any, places: tuple[str, ...]) -> None:
    shape = (video.backend_metadata or {}).get("shape")
    video.replace_filename(list(places) if isinstance(video.filename, list) else places[0], open=True)
    # what the labels know of grey and colour goes with them
    if shape is not None and tuple(video.shape)[-1] != shape[-1] and shape[-1] in (1, 3):
        video.grayscale = shape[-1] == 1


def _check_readable(frames: list[tuple[Any, int]]) -> None:
    last: dict[int, tuple[Any, int]] = {}
    for video, index in frames:
        if id(video) not in last or last[id(video)][1] < index:
            last[id(video)] = (video, index)
    for video, index in last.values():
        try:
            video[index]
        except Exception as error:
            name = video.filename[0] if isinstance(video.filename, list) else video.filename
            raise Unreadable(f"frame {index} of '{name}' cannot be read") from error


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + _MEMORY
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep standard input and output for ourselves; what a library prints goes nowhere."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.close(nothing)
    return requests, answers


def _say(answers: BinaryIO, message: BaseModel) -> None:
    answers.write(message.model_dump_json().encode() + b"\n")
    answers.flush()


if __name__ == "__main__":
    sys.exit(serve())
