"""What was asked for beside the files, as arguments of sleap-nn's ``predict``: every one of them ours."""

from collections.abc import Iterator

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.inference import TrackWords
from sleap_rtc.protocol.text import printable

TRACKERS = ("classic", "sort", "deepsort", "strongsort", "bytetrack", "botsort", "ocsort", "deepocsort")
"""sleap-nn's own names, as of 0.3.5."""
MAX_FRAMES = 5_000_000
"""Frames of one input that may be named; without naming any, all are looked at."""
MAX_LISTED = 100_000
"""Frames that may be named where they are not one range: sleap-nn has to be told each of them."""
_VALUES = ("batch_size", "peak_threshold", "max_instances", "tracker", "max_tracks", "tracking_window_size", "runtime")
_FLAGS = (
    "only_suggested_frames", "only_labeled_frames", "exclude_user_labeled", "tracking", "no_empty_frames",
)  # fmt: skip
OF_LABELS = ("only_suggested_frames", "only_labeled_frames", "exclude_user_labeled")
"""What is about labels, and no video."""
_OF_TRACKING = ("tracker", "max_tracks", "tracking_window_size")


def track_arguments(options: TrackWords, *, labels: bool) -> tuple[str, ...]:
    """The arguments for one input, but for its files.

    Args:
        options: what was asked for.
        labels: whether the input is a labels file, and no video.

    Raises:
        ConfigError: if what was asked for contradicts itself, or the input.
    """
    _check(options, labels=labels)
    return tuple(_words(options))


def _check(options: TrackWords, *, labels: bool) -> None:
    asked = [name for name in OF_LABELS if getattr(options, name)]
    if asked and not labels:
        raise ConfigError(
            f"{_spelled(asked[0])} is about labels, and the input is a video. Give labels, or leave it out."
        )
    if options.frames is not None and asked:
        raise ConfigError(f"--frames and {_spelled(asked[0])} both say which frames. Leave one of them out.")
    if options.only_suggested_frames and options.only_labeled_frames:
        raise ConfigError("--only-suggested-frames and --only-labeled-frames exclude each other. Leave one out.")
    lone = next((name for name in _OF_TRACKING if getattr(options, name) is not None), None)
    if lone and not options.tracking:
        raise ConfigError(f"{_spelled(lone)} is about following animals. Add --tracking, or leave it out.")
    if options.tracker is not None and options.tracker not in TRACKERS:
        raise ConfigError(
            f"sleap-nn has no tracker '{printable(options.tracker)}': there are {', '.join(TRACKERS)}. Choose one."
        )


def _words(options: TrackWords) -> Iterator[str]:
    for name in _VALUES:
        value = getattr(options, name)
        if value is not None:
            yield from (f"--{name}", str(value))
    yield from (f"--{name}" for name in _FLAGS if getattr(options, name))
    for kind in options.formats:
        yield from ("--output_format", kind)
    if options.frames is not None:
        yield from ("--frames", frames_argument(options.frames))


def frames_argument(text: str) -> str:
    """Frames as sleap-nn reads them: it takes one range, or single frames, and not both.

    Raises:
        ConfigError: if more than `MAX_FRAMES` are named, or more than `MAX_LISTED` that are not one range.
    """
    ranges = _merged(text)
    count = sum(last - first + 1 for first, last in ranges)
    if count > MAX_FRAMES:
        raise ConfigError(
            f"--frames names more than {MAX_FRAMES} frames. Leave it out, or give several jobs a part each."
        )
    first, last = ranges[0]
    if len(ranges) == 1:
        return f"{first}-{last}" if first < last else f"{first}"
    # a few characters of the submitter's must not become megabytes here, for each input once more
    if count > MAX_LISTED:
        raise ConfigError(
            f"--frames names more than {MAX_LISTED} frames in several ranges. Give each range a job of its own."
        )
    return ",".join(str(frame) for first, last in ranges for frame in range(first, last + 1))


def _merged(text: str) -> list[tuple[int, int]]:
    """The ranges in order, those that overlap or touch as one; nothing is counted out, however many they are."""
    ranges: list[tuple[int, int]] = []
    pairs = (part.partition("-")[::2] if "-" in part else (part, part) for part in text.split(","))
    for first, last in sorted((int(first), int(last)) for first, last in pairs):
        if ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = ranges[-1][0], max(last, ranges[-1][1])
        else:
            ranges.append((first, last))
    return ranges


def last_frame(text: str) -> int:
    """The last of the frames that are named, from 0."""
    return max(int(part.rpartition("-")[2]) for part in text.split(","))


def _spelled(name: str) -> str:
    return "--" + name.replace("_", "-")
