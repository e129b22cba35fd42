"""From what was typed after ``sleap-rtc track`` to what is wanted; contradictions are errors."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sleap_rtc.client.model_finding import TRAINED
from sleap_rtc.client.track_assembling import Tracked
from sleap_rtc.errors import UsageError
from sleap_rtc.jobs.track_arguments import track_arguments
from sleap_rtc.protocol.inference import DataInput, TrackOptions, check_frames
from sleap_rtc.protocol.models import ModelFormat
from sleap_rtc.protocol.text import printable

FRAMES_OF_LABELS = ("only_suggested_frames", "only_labeled_frames", "exclude_user_labeled")
_OPTIONS = (
    "frames", *FRAMES_OF_LABELS, "batch_size", "peak_threshold", "max_instances", "tracking", "tracker",
    "max_tracks", "tracking_window_size", "no_empty_frames", "runtime",
)  # fmt: skip
"""Those that `TrackOptions` has under the same name."""


@dataclass(frozen=True)
class TrackRequest:
    """What the user asks for.

    Attributes:
        tracked: models, data, and how to look.
        output: what was typed after ``-o``.
        merge: the labels that the predictions are put into a copy of.
        analysis: whether analysis files are written as well.
    """

    tracked: Tracked
    output: Path | None = None
    merge: Path | None = None
    analysis: bool = False

    @property
    def format(self) -> ModelFormat:
        """Which files of a model of the room are meant: those that the runtime runs."""
        runtime = self.tracked.options.get("runtime")
        return runtime if runtime == "onnx" or runtime == "tensorrt" else TRAINED


def read_track(options: dict[str, Any]) -> TrackRequest:
    """Take what `track_options.ALL` has out of a command's options.

    Raises:
        UsageError: if what was typed contradicts itself.
        ConfigError: if sleap-nn would not take it.
    """
    said = {name: options.pop(name) for name in _OPTIONS}
    said["formats"] = ("slp", "analysis_h5") if "analysis_h5" in options.pop("formats") else ("slp",)
    tracked = Tracked(models=options.pop("models"), data=options.pop("data"), options=said)
    check_words(said)
    return TrackRequest(
        tracked=tracked,
        output=options.pop("output"),
        merge=options.pop("merge"),
        analysis=len(said["formats"]) > 1,
    )


def check_words(said: dict[str, Any]) -> None:
    """See that how to look makes sense.

    Args:
        said: what `_OPTIONS` names, and the formats, by `TrackOptions`' names.

    Raises:
        UsageError: if it contradicts itself.
        ConfigError: if sleap-nn would not take it.
    """
    of_labels = [name for name in FRAMES_OF_LABELS if said[name]]
    if len(of_labels) > 1:
        raise UsageError(f"{_spelled(of_labels[0])} and {_spelled(of_labels[1])} say two things. Leave one out.")
    if said["frames"] is not None:
        try:
            check_frames(said["frames"])
        except ValueError as error:
            raise UsageError(f"--frames '{printable(said['frames'], limit=120)}' is refused: {error}.") from error
    try:
        # the models and the data come later
        options = TrackOptions.model_validate({**said, "model_folders": ("any",), "data": (DataInput(path="any"),)})
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0]) if problem["loc"] else "an option"
        raise UsageError(f"What {_spelled(name)} says is refused: {problem['msg']}. Use sleap-nn's words.") from error
    # what a worker would refuse is refused here, before anything is sent
    track_arguments(options, labels=bool(of_labels))


def _spelled(name: str) -> str:
    return f"--{name.replace('_', '-')}"
