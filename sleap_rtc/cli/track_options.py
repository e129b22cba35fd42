"""What ``sleap-rtc track`` takes beside where it runs; `track_request` reads it."""

from pathlib import Path

import click

_MOST = 1000
_MOST_FRAMES = 10_000
_MOST_AT_ONCE = 4096

WHAT_TO_TRACK = (
    click.option(
        "-m",
        "--model",
        "models",
        multiple=True,
        required=True,
        metavar="MODEL",
        help="A model of the room (fly, fly@3, fly@production, or the id of the job that trained it), or a model's "
        "folder on this machine. Once for each folder of a top-down pair.",
    ),
    click.option(
        "-i",
        "--data",
        multiple=True,
        required=True,
        metavar="PATH",
        help="A video or labels (.slp, .pkg.slp) on this machine, or LABEL:/path on the worker. Once for each.",
    ),
)
"""Models and data."""

FRAMES = (
    click.option("--frames", metavar="0-100,200", help="Look at these frames alone; they count from 0."),
    click.option("--only-suggested-frames", is_flag=True, help="Of labels, the suggested frames without user labels."),
    click.option("--only-labeled-frames", is_flag=True, help="Of labels, the frames that a user has labelled."),
    click.option("--exclude-user-labeled", is_flag=True, help="Of labels, the frames that no user has labelled."),
)
"""Which frames."""

FINDING = (
    click.option(
        "-b", "--batch-size", type=click.IntRange(1, _MOST_AT_ONCE), metavar="N", help="Frames looked at at once."
    ),
    click.option(
        "--peak-threshold",
        type=click.FloatRange(0, 1),
        metavar="SHARE",
        help="How sure of a point sleap-nn must be to tell of it, 0 to 1.",
    ),
    click.option("-n", "--max-instances", type=click.IntRange(1, _MOST), metavar="N", help="Most animals in a frame."),
    click.option(
        "--runtime", type=click.Choice(["auto", "onnx", "tensorrt"]), help="What runs a model that was exported."
    ),
)
"""How animals are found."""

TRACKING = (
    click.option("-t", "--tracking", is_flag=True, help="Follow each animal from frame to frame."),
    click.option("--tracker", metavar="NAME", help="sleap-nn's name of what follows them."),
    click.option("--max-tracks", type=click.IntRange(1, _MOST), metavar="N", help="Most animals that are followed."),
    click.option(
        "--tracking-window-size",
        type=click.IntRange(1, _MOST_FRAMES),
        metavar="N",
        help="How many frames it looks back.",
    ),
)
"""How they are followed."""

OUTPUT = (
    click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="PATH",
        help="Where the predictions go: a file (.slp) for one input, else a folder.  [default: NAME.predictions.slp in "
        "the current folder]",
    ),
    click.option(
        "--format",
        "formats",
        type=click.Choice(["slp", "analysis_h5"]),
        multiple=True,
        help="analysis_h5: SLEAP's analysis file as well. Labels (.slp) are always written.",
    ),
    click.option("--no-empty-frames", is_flag=True, help="Leave out frames in which nothing was found."),
    click.option(
        "--merge",
        type=click.Path(path_type=Path),
        metavar="LABELS",
        help="Put the predictions into a copy of these labels, which -o names; what a user labelled stays as it is.",
    ),
)
"""What comes of it."""

ALL = (*WHAT_TO_TRACK, *FRAMES, *FINDING, *TRACKING, *OUTPUT)
