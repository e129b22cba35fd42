"""Predictions merged into a copy of the user's labels: seen to before anything is sent, done when they are home."""

import asyncio
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.client.assembling import expanded
from sleap_rtc.client.labels_asking import Helper, merge, place_videos
from sleap_rtc.client.labels_messages import LabelsLook, Merge, Merged, PlaceVideos, Predicted, VideoLook
from sleap_rtc.client.predictions import LABELS, check_free, check_writable, other_name, stem_of
from sleap_rtc.client.results import move_free
from sleap_rtc.client.track_labels import look_at
from sleap_rtc.client.video_names import spelled
from sleap_rtc.errors import PackageError, StorageError, UsageError
from sleap_rtc.protocol.text import printable
from sleap_rtc.transfer.disk import storage_error

_EMBEDDED = ".pkg.slp"


@dataclass(frozen=True)
class Merging:
    """What is merged into what.

    Attributes:
        labels: the user's labels, which stay as they are.
        target: the copy.
        videos: for each input, the video of the labels that it is, by number; None for the labels themselves.
    """

    labels: Path
    target: Path
    videos: tuple[int | None, ...]

    async def run(self, predictions: Mapping[int, Path], helper: Helper | None = None) -> tuple[Path, Merged]:
        """Write the copy.

        Args:
            predictions: by input, the file of its predictions.
            helper: how the labels helper is started.

        Returns:
            Where it is, and what is in it.

        Raises:
            PackageError: if they do not fit the labels; they stay where they are.
            StorageError: if the disk refuses.
        """
        # beside the copy, so that one rename publishes it
        scratch = self.target.with_name(f".{secrets.token_hex(6)}{_ending(self.labels)}")
        request = Merge(
            path=str(await asyncio.to_thread(self.labels.absolute)),
            target=str(await asyncio.to_thread(scratch.absolute)),
            predictions=tuple(
                Predicted(path=str(path), video=self.videos[index]) for index, path in sorted(predictions.items())
            ),
        )
        try:
            merged = await merge(request, helper)
            return await asyncio.to_thread(move_free, scratch, self.target), merged
        except OSError as error:
            raise StorageError(
                f"The merged labels cannot be written to {self.target}: {error.strerror}. The predictions are there."
            ) from error
        finally:
            await asyncio.to_thread(scratch.unlink, missing_ok=True)


async def prepare_merge(
    labels: Path,
    data: Sequence[str],
    output: Path | None,
    helper: Helper | None = None,
    *,
    option: str = "-o",
    of_labels: Mapping[str, LabelsLook] | None = None,
) -> Merging:
    """See, before anything is sent, that predictions of these inputs can be merged into labels.

    Args:
        labels: the user's labels.
        data: what is looked at.
        output: what was typed for the copy; beside the predictions in the current folder by default.
        helper: how the labels helper is started.
        option: how `output` is typed.
        of_labels: inputs that are labels about the same videos, such as those in a package that was made of `labels`.

    Raises:
        UsageError: if an input is neither the labels nor a video of theirs, or the copy's name is no labels file's.
        PackageError: if the labels cannot be read.
        ConflictError: if the copy is there already.
        StorageError: if it cannot be written there.
    """
    if not labels.is_file():  # noqa: ASYNC240 - one look, before anything runs
        raise UsageError(f"--merge names '{_shown(labels)}', which is no file. Correct the path.")
    target = output or Path(f"{stem_of(labels.name)}.merged{_ending(labels)}")
    if not target.name.lower().endswith(LABELS):
        raise UsageError(
            f"With --merge, {option} names the copy of the labels: '{_shown(target)}' does not end in .slp."
        )
    await asyncio.to_thread(check_writable, target.parent, option)
    await asyncio.to_thread(check_free, target, other_name(option))
    seen = await look_at(labels, helper)
    return Merging(labels, target, await asyncio.to_thread(_videos, labels, seen, data, of_labels or {}))


def _videos(
    labels: Path, seen: LabelsLook, data: Sequence[str], of_labels: Mapping[str, LabelsLook]
) -> tuple[int | None, ...]:
    found: list[int | None] = []
    for text in data:
        if text in of_labels:
            _check_same(labels, seen, text, of_labels[text])
            found.append(None)
        else:
            found.append(_video(labels, seen, text))
    return tuple(found)


def _check_same(labels: Path, seen: LabelsLook, text: str, other: LabelsLook) -> None:
    """See that labels are about the same videos in the same order: predictions know them by their place."""
    if [_last(_name(video)) for video in seen.videos] != [_last(_name(video)) for video in other.videos]:
        raise UsageError(
            f"The labels '{printable(text, limit=200)}' are about other videos than {_shown(labels)}: predictions of "
            "theirs could not be merged. Leave out --merge, or name the labels that they were made of."
        )


def _video(labels: Path, seen: LabelsLook, text: str) -> int | None:
    path = expanded(text)
    if path.exists() and path.samefile(labels):
        return None
    for matches in (
        [at for at, video in enumerate(seen.videos) if path.exists() and _is(video, path)],
        [at for at, video in enumerate(seen.videos) if _last(_name(video)) == _last(text)],
    ):
        if len(matches) == 1:
            return matches[0]
    names = ", ".join(printable(_name(video), limit=120) for video in seen.videos[:5])
    raise UsageError(
        f"'{printable(text, limit=200)}' is no video of {_shown(labels)}, or several are called so: its predictions "
        f"could not be merged. Videos of the labels: {names or 'none'}. Leave out --merge, or give the labels' own."
    )


def _name(video: VideoLook) -> str:
    return video.source if video.embedded else video.names[0]


def _is(video: VideoLook, path: Path) -> bool:
    place = video.source if video.embedded else video.found[0]
    return place is not None and not video.series and bool(place) and Path(place).is_file() and path.samefile(place)


def _last(name: str) -> str:
    return spelled(name).rpartition("/")[2]


def _ending(labels: Path) -> str:
    return _EMBEDDED if labels.name.lower().endswith(_EMBEDDED) else LABELS


async def name_input(predictions: Path, local: Path, helper: Helper | None = None) -> None:
    """Let a file of predictions name what was looked at by its place on this machine.

    Args:
        predictions: the file, whole; another whole one takes its place.
        local: the video or labels.
        helper: how the labels helper is started.

    Raises:
        PackageError: if the file is damaged; it stays as it is.
        StorageError: if the disk refuses.
    """
    scratch = predictions.with_name(f".{secrets.token_hex(6)}{LABELS}")
    try:
        await asyncio.to_thread(shutil.copyfile, predictions, scratch)
        path, place = await asyncio.to_thread(scratch.absolute), await asyncio.to_thread(local.absolute)
        if await place_videos(PlaceVideos(path=str(path), local=str(place)), helper):
            await asyncio.to_thread(shutil.copymode, predictions, scratch)
            await asyncio.to_thread(scratch.replace, predictions)
    except OSError as error:
        raise storage_error(error, predictions) from error
    finally:
        await asyncio.to_thread(scratch.unlink, missing_ok=True)


def predictions_by_input(places: Sequence[Path], names: Sequence[str]) -> dict[int, Path]:
    """Which file holds the predictions of which input.

    Args:
        places: what came home.
        names: what each input's predictions should be called.

    Raises:
        PackageError: if a file was called otherwise, for its name was taken meanwhile.
    """
    found = {place.name: place for place in places if place.name.endswith(LABELS)}
    strange = set(found) - set(names)
    if strange:
        raise PackageError(
            f"The predictions are in {found[min(strange)]}, for the name that they should have was taken meanwhile. "
            "They were not merged."
        )
    return {index: found[name] for index, name in enumerate(names) if name in found}


def _shown(path: Path) -> str:
    return printable(str(path), limit=200)
