"""What is looked at after a training, with the models that it has made: found on this machine, and sent along."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from sleap_rtc.client.assembling import check_size, expanded
from sleap_rtc.client.labels_asking import Helper
from sleap_rtc.client.labels_messages import LabelsLook
from sleap_rtc.client.merging import Merging, prepare_merge
from sleap_rtc.client.named_paths import TRAIN, overridden
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.packing import Packing
from sleap_rtc.client.predictions import SUGGESTIONS, Output, find_output, stem_of
from sleap_rtc.client.track_assembling import LABELS, check_data, pack_input
from sleap_rtc.client.track_labels import look_at, with_images
from sleap_rtc.client.video_choice import Labels
from sleap_rtc.client.video_names import is_on_worker
from sleap_rtc.client.with_videos import labels_here
from sleap_rtc.errors import PackageError, UsageError
from sleap_rtc.jobs.values import listed
from sleap_rtc.protocol.files import is_clutter
from sleap_rtc.protocol.inference import DataInput, ThenTrack
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.transfer.merged import MergedSource
from sleap_rtc.transfer.source import FilesSource

ON = "--on"
SUGGESTED = "suggestions"
PREDICTIONS = "--predictions"
OnFrames = Callable[[int, int], None]


@dataclass(frozen=True)
class Then:
    """What a user asks to be looked at.

    Attributes:
        data: each ``--on`` as it was typed: a video, labels, or `SUGGESTED`.
        words: how to look, by `ThenTrack`'s names.
        output: where the predictions go, or, with `merge`, what the copy of the labels is called.
        merge: the labels that the predictions are put into a copy of.
        analysis: whether analysis files are written as well.
    """

    data: tuple[str, ...]
    words: Mapping[str, object] = field(default_factory=dict)
    output: Path | None = None
    merge: Path | None = None
    analysis: bool = False


@dataclass(frozen=True)
class FoundThen:
    """The same, found.

    Attributes:
        then: what was asked for.
        data: what each input is called: as it was typed, or, of labels trained on, by its place in the package.
        suggested: of those, the labels whose suggested frames are looked at.
        output: where the predictions go.
        merging: what they are merged into.
    """

    then: Then
    data: tuple[str, ...]
    suggested: Mapping[str, Labels]
    output: Output
    merging: Merging | None

    @property
    def places(self) -> list[Path | None]:
        """Where each input lies on this machine; None for the worker's, and for labels in a zip."""
        return [self._place(text) for text in self.data]

    def _place(self, text: str) -> Path | None:
        labels = self.suggested.get(text)
        if labels is None:
            return None if is_on_worker(text) else expanded(text)
        # what was unpacked to be looked at is gone when the predictions are home
        return labels.file if labels.file.parent == labels.beside else None

    async def add_to(
        self,
        package: UnreadPackage,
        replaced: Mapping[str, Path],
        *,
        on_frames: OnFrames = lambda done, total: None,
        helper: Helper | None = None,
    ) -> UnreadPackage:
        """Send along what the worker needs for it; closing what is returned closes the package.

        Args:
            package: what is trained on.
            replaced: the labels of it that are sent in a copy with images, by their place.
            on_frames: told the frames of labels embedded so far and those there are.
            helper: how the labels helper is started.

        Raises:
            UsageError: if it is too much for a job.
            PackageError: if labels have no suggested frames, or need a video that is not here.
            StorageError: if the disk refuses.
        """
        options = package.options
        assert isinstance(options, TrainOptions)  # noqa: S101 - what is trained has no others
        packing = Packing([path for path, _ in await asyncio.to_thread(package.source.files)])
        inputs = []
        for text in self.data:
            if text in self.suggested:
                inputs.append(await self._pack_labels(packing, text, replaced, on_frames, helper))
            else:
                inputs.append(await pack_input(packing, text, on_frames=on_frames, helper=helper, option=ON))
        said = {**self.then.words, "data": tuple(inputs), "only_suggested_frames": bool(self.suggested)}
        try:
            then = ThenTrack.model_validate(said)
        except ValidationError as error:
            raise UsageError("Too many files are named, or their paths are too long. Name fewer at once.") from error
        source = MergedSource(package.source, FilesSource(packing.files)) if packing.files else package.source
        options = check_size(options.model_copy(update={"then": then}))
        return UnreadPackage(package.name, source, options, package.unasked)

    async def _pack_labels(
        self, packing: Packing, place: str, replaced: Mapping[str, Path], on_frames: OnFrames, helper: Helper | None
    ) -> DataInput:
        file = self.suggested[place].file
        images = await with_images(file, "suggested", on_frames=on_frames, helper=helper, option=ON)
        if images == file and place not in replaced:
            return DataInput(path=place)
        # what is trained on holds the images of other frames; and beside a video, labels are taken to be about that one
        name = f"{stem_of(place)}{SUGGESTIONS}"
        return DataInput(path=await asyncio.to_thread(packing.add, SUGGESTED, images, name))


@asynccontextmanager
async def found_then(
    then: Then, unread: UnreadPackage, package: Path | None, helper: Helper | None = None
) -> AsyncIterator[FoundThen]:
    """Find what is looked at, and see that nothing is in the way of what comes of it.

    Args:
        then: what the user asks for.
        unread: what is trained on, before it gets the images of its labels.
        package: the zip or folder, where there is one.
        helper: how the labels helper is started.

    Raises:
        UsageError: if an input is not there, or it is not clear whose suggestions are meant.
        PackageError: if labels cannot be read.
        ConflictError: if there are predictions already.
        StorageError: if the disk refuses.
    """
    asked = [text for text in then.data if text != SUGGESTED]
    await asyncio.to_thread(check_data, asked, which=None, option=ON)
    places = await asyncio.to_thread(_trained_on, unread) if SUGGESTED in then.data else ()
    data = tuple(name for text in then.data for name in (places if text == SUGGESTED else (text,)))
    async with labels_here(unread.source, places, package) as files:
        suggested = {each.place: each for each in files}
        if len(suggested) < len(places):
            raise PackageError("The labels in the zip are too large to be looked at here. Unpack it, give its folder.")
        output, merging = then.output, None
        if then.merge is not None:
            looks = await _looks(suggested, helper)
            merging = await prepare_merge(then.merge, data, output, helper, option=PREDICTIONS, of_labels=looks)
            output = merging.target.parent
        copy = merging.target if merging else None
        found = await asyncio.to_thread(
            find_output, data, output, analysis=then.analysis, option=PREDICTIONS, beside=copy
        )
        yield FoundThen(then, data, suggested, found, merging)


async def _looks(labels: Mapping[str, Labels], helper: Helper | None) -> dict[str, LabelsLook]:
    return {place: await look_at(each.file, helper) for place, each in labels.items()}


def _trained_on(unread: UnreadPackage) -> Sequence[str]:
    """The labels that are trained on, by their place in the package."""
    options = unread.options
    assert isinstance(options, TrainOptions)  # noqa: S101 - what is trained has no others
    if options.labels:
        return tuple(dict.fromkeys(options.labels))
    typed = [options.paths.get(text) for text in listed(overridden(options.overrides, TRAIN)[1])]
    if typed and None not in typed:
        return tuple(dict.fromkeys(place for place in typed if place is not None))
    names = [path for path, _ in unread.source.files() if path.lower().endswith(LABELS) and not is_clutter(path)]
    trained = [name for name in names if name not in options.val_labels]
    if len(trained) != 1:
        shown = ", ".join(printable(name, limit=80) for name in trained[:5])
        raise UsageError(
            f"{ON} {SUGGESTED}: there are {len(trained)} labels files ({shown}), and it is not clear whose suggestions "
            "are meant. Name the labels that are trained on with --labels."
        )
    return tuple(trained)
