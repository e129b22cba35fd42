"""Options about labels that do not hold their images, and what they say together."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sleap_rtc.cli.options import with_options
from sleap_rtc.errors import UsageError

if TYPE_CHECKING:
    from sleap_rtc.client.video_choice import VideoChoice

F = TypeVar("F", bound=Callable[..., Any])

VIDEOS = (
    click.option(
        "--embed-frames",
        is_flag=True,
        help="Send the labels with the images of their labelled frames, as a .pkg.slp has them. The default for labels "
        "without images.",
    ),
    click.option("--send-videos", is_flag=True, help="Send the videos that the labels need, whole."),
    click.option(
        "-v",
        "--video-paths",
        multiple=True,
        metavar="PATH",
        help="A video on the worker, as LABEL:/path or by its path below one of its mounts. Once for each video of the "
        "labels, in their order.",
    ),
    click.option(
        "--video-path-map",
        type=(str, str),
        multiple=True,
        metavar="OLD NEW",
        help="The video that the labels call OLD is NEW on the worker. Once for each.",
    ),
    click.option(
        "--prefix-map",
        type=(str, str),
        multiple=True,
        metavar="OLD NEW",
        help="Videos whose names begin with OLD are below the folder NEW on the worker. Once for each.",
    ),
    click.option(
        "--no-remembered-maps",
        is_flag=True,
        help="Forget for this command where earlier ones said the worker has the videos.",
    ),
)
"""Where the images of the labels come from; `read_video_options` takes what was typed."""


def video_options(command: F) -> F:
    """Add the options of `VIDEOS` to a command."""
    return with_options(command, VIDEOS)


def read_video_options(options: dict[str, Any]) -> "VideoChoice":
    """Take the options of `VIDEOS` out of what a command was given.

    Raises:
        UsageError: if they contradict each other.
    """
    from sleap_rtc.client.video_choice import VideoChoice

    embed, send = options.pop("embed_frames"), options.pop("send_videos")
    if embed and send:
        raise UsageError("--embed-frames sends images and --send-videos the videos they are from. Choose one of them.")
    return VideoChoice(
        way="embed" if embed else "send" if send else None,
        places=_places(
            paths=[("", new) for new in options.pop("video_paths")],
            map=options.pop("video_path_map"),
            prefix=options.pop("prefix_map"),
        ),
        remembered=not options.pop("no_remembered_maps"),
    )


def _places(**typed: Sequence[tuple[str, str]]) -> Any:
    from pydantic import ValidationError

    from sleap_rtc.protocol.training import MAX_NAMED, Videos

    kinds = [kind for kind, pairs in typed.items() if pairs]
    if len(kinds) > 1:
        raise UsageError("Use one of --video-paths, --video-path-map and --prefix-map, as sleap-nn does.")
    if not kinds:
        return None
    pairs = typed[kinds[0]]
    if any(not old and kinds[0] != "paths" for old, _ in pairs):
        raise UsageError("OLD is empty: give what the labels call the video, or the beginning of that.")
    try:
        targets = [{"old": old, "new": new} for old, new in pairs]
        return Videos.model_validate({"kind": kinds[0], "targets": targets})
    except ValidationError as error:
        raise UsageError(
            f"What was said about videos is refused: {error.errors()[0]['msg']}. Give at most {MAX_NAMED} paths, none "
            "of them empty."
        ) from error
