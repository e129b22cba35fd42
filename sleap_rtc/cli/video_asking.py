"""What ``sleap-rtc train`` says and asks about labels that do not hold their images."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sleap_rtc.cli.asking import ask, can_ask
from sleap_rtc.cli.formats import count
from sleap_rtc.cli.output import note
from sleap_rtc.cli.progress import JobDisplay
from sleap_rtc.cli.telling import saying_images
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.video_choice import PreparedVideos, Situation, VideoChoice, Way
from sleap_rtc.client.video_names import is_on_worker
from sleap_rtc.client.with_videos import with_videos
from sleap_rtc.errors import ConfigError, PackageError, UsageError
from sleap_rtc.protocol.text import printable

_LETTERS: dict[str, Way] = {"e": "embed", "s": "send", "w": "worker"}
_NAMED = 3


async def see_to_videos(
    unread: UnreadPackage, choice: VideoChoice, package: Path | None, display: JobDisplay
) -> tuple[UnreadPackage, PreparedVideos]:
    """Add to a package what its labels need, and say so.

    Args:
        unread: the package.
        choice: what the user typed.
        package: the zip or folder, where there is one.
        display: what is on the screen meanwhile.

    Raises:
        SleapRTCError: as `with_videos`.
    """

    async def decide(situation: Situation) -> Way:
        with display.paused():
            return await _ask(situation)

    changed, prepared = await with_videos(
        unread, choice, decide=decide, package=package, on_frames=saying_images(display, "labelled frame")
    )
    with display.paused():
        for text in prepared.notes:
            note(text)
    return changed, prepared


async def _ask(situation: Situation) -> Way:
    if not can_ask():
        return situation.usual
    answers = {"e": f"embed: send the images of {count(situation.frames, 'labelled frame')} with the labels"}
    answers["s"] = "send the videos, whole"
    answers["w"] = (
        f"use what the worker has, as said before: {_listed([each.new for each in situation.known.targets])}"
        if situation.known
        else "use what the worker has: end here, and say where with --video-path-map OLD NEW"
    )
    missing = f" Not on this machine: {_listed(situation.missing)}." if situation.missing else ""
    question = f"{_listed(situation.labels)} does not hold its images, but names {_listed(situation.names)}.{missing}"
    default = "w" if situation.known else "e"
    # Ctrl-C ends the command: there is no job yet
    nobody: asyncio.Queue[int] = asyncio.Queue()
    way = _LETTERS[await ask(question, answers, default=default, interrupted=nobody)]
    if way == "worker" and situation.known is None:
        raise UsageError(
            "Say where the worker has the videos: --video-path-map OLD NEW or --prefix-map OLD NEW, with what the "
            f"labels say as OLD ({_listed(situation.names)}) and LABEL:/path as NEW."
        )
    return way


@contextmanager
def explained(choice: VideoChoice, prepared: PreparedVideos) -> Iterator[None]:
    """Add to a worker's refusal what only this machine knows about the videos."""
    try:
        yield
    except (ConfigError, PackageError) as error:
        if prepared.recalled:
            hint = "Where the videos are was said by an earlier command: --no-remembered-maps leaves that out."
        elif choice.way is None and (here := _here(choice)):
            hint = (
                f"On this machine there is '{printable(here, limit=200)}': add --embed-frames to send its labelled "
                "frames, or --send-videos to send it."
            )
        else:
            raise
        raise type(error)(f"{error.sentence}\n{hint}") from error


def _here(choice: VideoChoice) -> str | None:
    """A place that was said to be on the worker, and is on this machine."""
    for target in choice.places.targets if choice.places else ():
        try:
            if not is_on_worker(target.new) and Path(target.new).exists():
                return target.new
        except (OSError, ValueError):
            continue
    return None


def _listed(names: Sequence[str]) -> str:
    shown = [printable(name, limit=120) for name in names]
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ", ".join(shown[:_NAMED]) + more
