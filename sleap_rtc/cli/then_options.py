"""What ``sleap-rtc train`` takes for ``--then track``: track's own, called otherwise only where train has one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from sleap_rtc.cli.track_options import FINDING, FRAMES, OUTPUT, TRACKING

F = TypeVar("F", bound=Callable[..., Any])
_RENAMED = {"batch_size": ("track_batch_size", "--track-batch-size")}
_TAKEN = (
    "frames", "batch_size", "peak_threshold", "max_instances", "tracking", "tracker", "max_tracks",
    "tracking_window_size", "no_empty_frames", "formats",
)  # fmt: skip
"""The options of track that are taken over."""


def _options_of(*decorators: Callable[[F], F]) -> list[click.Option]:
    """The options that decorators would add."""

    def command() -> None:
        """Nothing."""

    for decorator in decorators:
        decorator(command)  # type: ignore[arg-type] # any function takes options
    return list(getattr(command, "__click_params__", ()))


def _taken_over(option: click.Option) -> Callable[[F], F]:
    """Add one of track's options, with only its long word: train has short words of its own."""
    name = str(option.name)
    words = _RENAMED.get(name) or (name, *(word for word in option.opts if word.startswith("--")))
    return click.option(
        *words,
        type=option.type,
        is_flag=option.is_flag,
        multiple=option.multiple,
        metavar=option.metavar,
        help=f"For --then track: {str(option.help)[:1].lower()}{str(option.help)[1:]}",
    )


THEN = (
    click.option(
        "--then",
        type=click.Choice(["track"]),
        help="Once the models are trained, look at data with them, in the same job.",
    ),
    click.option(
        "--on",
        multiple=True,
        metavar="DATA",
        help="For --then track: at what. suggestions (the suggested frames of the labels), a video or labels on this "
        "machine, or LABEL:/path on the worker. Once for each.",
    ),
    *(_taken_over(each) for each in _options_of(*FRAMES, *FINDING, *TRACKING, *OUTPUT) if each.name in _TAKEN),
    click.option(
        "--predictions",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="For --then track: where the predictions go, a file (.slp) for one input, else a folder.  [default: "
        "NAME.predictions.slp in the current folder]",
    ),
    click.option(
        "--merge",
        type=click.Path(path_type=Path),
        metavar="LABELS",
        help="For --then track: put the predictions into a copy of these labels, which --predictions names; what a "
        "user labelled stays as it is.",
    ),
)
"""What is done with the models; `then_request` reads it."""
NAMES = ("on", *(_RENAMED.get(name, (name,))[0] for name in _TAKEN), "predictions", "merge")
"""The parameters that say something about ``--then``."""
WORDS = {_RENAMED.get(name, (name,))[0]: name for name in _TAKEN if name != "formats"}
"""Those that `ThenTrack` has, by parameter."""
