"""Where the videos of a job's labels are: what the submitter said, as the arguments that sleap-nn takes.

The places are looked up here. What comes of them for each video, the preflight sees, which can read labels.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.text import one_line, printable
from sleap_rtc.protocol.training import Videos, VideoTarget

from .below import is_file_below, why_not
from .mounts import Mounts

OPTIONS = {"paths": "--video-paths", "map": "--video-path-map", "prefix": "--prefix-map"}
"""What sleap-nn calls each way to say it."""
_UNFIT = re.compile(r"[\x00-\x1f\x7f]|\$\{")


def video_arguments(videos: Videos, inputs: Path, mounts: Mounts) -> tuple[str, ...]:
    """The arguments for ``sleap-nn train``. Blocks.

    Args:
        videos: what the submitter said.
        inputs: the folder of the package.
        mounts: what else the job may read.

    Raises:
        ConfigError: if a place is not there, or is not for jobs to read.
    """
    return tuple(word for target in videos.targets for word in _words(videos.kind, target, inputs, mounts))


def check_places(arguments: Sequence[str], inputs: Path) -> None:
    """Look once more at what `video_arguments` found, before a training opens it: hours may have passed. Blocks.

    Args:
        arguments: what it returned.
        inputs: the folder of the package, with no link in its path.

    Raises:
        ConfigError: if a place is gone, or a link has taken its place or that of a folder above.
    """
    step = 2 if arguments[:1] == (OPTIONS["paths"],) else 3
    for place in map(Path, arguments[step - 1 :: step]):
        # mounts were found without a link in their own path, too
        root = inputs if place.is_relative_to(inputs) else Path(place.anchor)
        problem = why_not(root, place, folder=arguments[0] == OPTIONS["prefix"])
        if problem:
            raise ConfigError(
                f"'{one_line(str(place), limit=200)}' was there when the job was submitted, and now {problem}. "
                "Nothing was read. Ask the worker's owner, or submit the job again with its videos."
            )


def _words(kind: str, target: VideoTarget, inputs: Path, mounts: Mounts) -> Iterator[str]:
    place = str(_place(kind, target, inputs, mounts))
    if _UNFIT.search(target.old) or _UNFIT.search(place):
        raise ConfigError(
            f"'{printable(target.old or target.new, limit=200)}' is no path of a video: it has control characters, or "
            "'${', which sleap-nn would replace. Rename the file, or send the labelled frames (--embed-frames)."
        )
    yield OPTIONS[kind]
    if kind != "paths":
        if not target.old:
            raise ConfigError(f"{OPTIONS[kind]} lacks what the labels call the video. Give both, OLD and NEW.")
        # as sleap-io spells the names of labels that were made on Windows
        yield target.old.replace("\\", "/")
    yield place


def _place(kind: str, target: VideoTarget, inputs: Path, mounts: Mounts) -> Path:
    folder = kind == "prefix"
    if not target.in_package:
        return mounts.find(target.new, folder=folder)
    path = inputs / target.new
    if ".." in path.parts or not (path.is_dir() if folder else is_file_below(inputs, path)):
        raise ConfigError(f"The video '{printable(target.new, limit=200)}' is not in the package. Send it again.")
    return path
