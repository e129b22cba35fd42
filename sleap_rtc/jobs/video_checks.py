"""Whether the videos of labels are files that the job may read: in the labels, in the package, or below a mount.

Runs where `Labels` of sleap-io exist, in the preflight helper, and imports none of it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.text import printable

from .below import is_file_below
from .label_checks import MAX_FRAMES, Opened, shown_name
from .mounts import Mounts
from .video_places import OPTIONS

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
"""How an address begins, or a protocol of a video library such as ``concat:``; a drive has one letter."""
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"<", b"[playlist]", b"v=0")
"""How files begin that are lists of other files to video libraries, whatever they are called."""
_QUOTED = 200


@dataclass(frozen=True)
class Granted:
    """What a job may read.

    Attributes:
        inputs: the package, with no link in its path.
        mounts: what it may read beside it.
        datasets_of: looks through an HDF5 file, which may refer to others; raises `PackageError` if it does.
    """

    inputs: Path
    mounts: Mounts
    datasets_of: Callable[[Path, str], object]

    def problem(self, path: Path) -> str | None:
        """Why `path` is no video for this job, as the end of a sentence; None if it is one. Blocks."""
        inside = path.is_relative_to(self.inputs) and is_file_below(self.inputs, path)
        if not (path.is_absolute() and (inside or self.mounts.holds(path))):
            return "which is no file in the package, and none below a mount of this worker"
        with path.open("rb") as file:
            start = file.read(16).removeprefix(b"\xef\xbb\xbf").lstrip()
        if start.startswith(_HDF5):
            try:
                self.datasets_of(path, shown_name(path.name))
            except (PackageError, OSError):
                return "which refers to other files"
        return "which is a list of other files" if start.startswith(_PLAYLISTS) else None


def replace_names(labels: Any, arguments: Sequence[str]) -> None:
    """Call the videos what sleap-nn will call them, told `arguments`.

    Raises:
        ValueError: if there are fewer or more paths than videos.
    """
    shapes = [(video, (video.backend_metadata or {}).get("shape")) for video in labels.videos]
    if arguments and arguments[0] == OPTIONS["paths"]:
        labels.replace_filenames(new_filenames=list(arguments[1::2]), open_videos=False)
    elif arguments:
        pairs = dict(zip(arguments[1::3], arguments[2::3], strict=True))
        way = "filename_map" if arguments[0] == OPTIONS["map"] else "prefix_map"
        labels.replace_filenames(**{way: pairs}, open_videos=False)
    for video, shape in shapes:
        # forgotten with the name, and it is the size of the images all the same
        if shape is not None and video.backend_metadata is not None:
            video.backend_metadata.setdefault("shape", shape)


def video_problems(
    opened: Opened, granted: Granted, arguments: Sequence[str] = (), *, whole: bool = False
) -> Iterator[str]:
    """A sentence for each video with labelled frames that the job cannot have; the videos get their new names.

    Args:
        opened: the labels.
        granted: what the job may read.
        arguments: what sleap-nn will be told about the videos.
        whole: whether the job looks at videos without labelled frames as well.
    """
    videos = list(opened.labels.videos)
    called = [video.filename for video in videos]
    try:
        replace_names(opened.labels, arguments)
    except ValueError:
        count = len(arguments) // 2
        yield (
            f"'{opened.name}' has {len(videos)} video{'s' * (len(videos) != 1)}, and --video-paths gives {count}: "
            "give one path for each, in the order of the labels."
        )
        return
    # of more frames than are looked at, nobody knows which videos they are of
    many = whole or len(opened.labels) > MAX_FRAMES
    used = {id(video) for video in videos} if many else {id(frame.video) for frame in opened.frames()}
    for video, before in zip(videos, called, strict=True):
        if id(video) in used and (problem := _problem(video, before, opened, granted)):
            yield problem


def _problem(video: Any, before: Any, opened: Opened, granted: Granted) -> str | None:
    names = video.filename if isinstance(video.filename, list) else [video.filename]
    old = before if isinstance(before, list) else [before]
    for index, name in enumerate(map(str, names)):
        if Path(name) == opened.path:
            if str((video.backend_metadata or {}).get("dataset")).strip("/") not in opened.datasets:
                return _lacking(opened, str(video.source_video.filename) if video.source_video is not None else name)
            continue
        was = str(old[index]) if index < len(old) else name
        if _ADDRESS.match(was) or _ADDRESS.match(name):
            return (
                f"'{opened.name}' names the video '{printable(was, limit=_QUOTED)}', which is an address and no file: "
                "a job opens none. Save the labels with embedded images (.pkg.slp), or submit with --embed-frames."
            )
        problem = None if _lies_beside(name, opened, granted) else granted.problem(Path(name))
        if problem:
            return _lacking(opened, name) if name == was else _misplaced(opened, was, name, problem, granted)
    return None


def _lies_beside(name: str, opened: Opened, granted: Granted) -> bool:
    """Whether a bare file name means a file beside the labels, as it does to sleap-io."""
    path = PurePosixPath(name)
    return len(path.parts) == 1 and ".." not in path.parts and granted.problem(opened.path.parent / name) is None


def _lacking(opened: Opened, name: str) -> str:
    return (
        f"'{opened.name}' has labels on the video '{shown_name(name)}', but not its images, and neither has the "
        "package. Save the labels with embedded images (.pkg.slp), as SLEAP's 'Export training job package' does; or "
        "submit them with --embed-frames or --send-videos, or say with --video-path-map where this worker has it."
    )


def _misplaced(opened: Opened, was: str, name: str, problem: str, granted: Granted) -> str:
    return (
        f"The video '{shown_name(was)}' of '{opened.name}' would be read from "
        f"'{printable(granted.mounts.shown(name), limit=_QUOTED)}', {problem}. Correct where the videos are."
    )
