"""From the models and data that a user named to what is sent for an inference.

What is on this machine is looked at before anything is connected; a model of the room is only named here, and found
by `model_finding`.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from sleap_rtc.client.assembling import check_size, expanded
from sleap_rtc.client.labels_asking import Helper
from sleap_rtc.client.model_folders import LocalModel, find_models, holds_model
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.packing import Packing
from sleap_rtc.client.predictions import stem_of
from sleap_rtc.client.track_labels import Which, with_images
from sleap_rtc.client.video_names import is_on_worker
from sleap_rtc.errors import UsageError
from sleap_rtc.jobs.track_plan import VIDEO_SUFFIXES
from sleap_rtc.protocol.inference import MAX_INPUTS, MAX_MODELS, DataInput, TrackOptions
from sleap_rtc.protocol.models import ModelRef, RoomModel
from sleap_rtc.protocol.text import printable
from sleap_rtc.transfer.source import FilesSource

MODELS = "models"
DATA = "data"
LABELS = ".slp"
_LABELS_ONLY = {
    "only_suggested_frames": "suggested",
    "only_labeled_frames": "labeled",
    "exclude_user_labeled": "others",
}


@dataclass(frozen=True)
class Tracked:
    """What a user asks for.

    Attributes:
        models: each ``--model`` as it was typed.
        data: each ``--data`` as it was typed.
        options: all else, by `TrackOptions`' names.
    """

    models: tuple[str, ...]
    data: tuple[str, ...]
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def which(self) -> Which | None:
        """Which frames of labels are looked at; None for all."""
        found: list[Which] = [which for name, which in _LABELS_ONLY.items() if self.options.get(name)]  # type: ignore[misc]
        return found[0] if found else None


@dataclass(frozen=True)
class FoundModels:
    """The models that are meant: of this machine, or one of the room.

    Attributes:
        local: those of this machine.
        ref: the room's.
        notes: what the user should see, a sentence each.
    """

    local: tuple[LocalModel, ...] = ()
    ref: ModelRef | None = None
    notes: tuple[str, ...] = ()


def find_meant(typed: Sequence[str]) -> FoundModels:
    """Decide which models are meant: a path that leads to a model is that, a name is the room's. Blocks.

    Raises:
        UsageError: if one is neither, or they cannot be used together.
    """
    local, refs, notes = [], [], []
    for text in typed:
        path = expanded(text)
        ref = as_ref(text)
        if ref is None or holds_model(path):
            local.append(find_models(path))
            if ref is not None:
                notes.append(f"The folder '{text}' here is used, and no model of the room that may be called so.")
        else:
            refs.append(ref)
            if path.exists():
                notes.append(f"'{text}' here holds no model: the room's is meant.")
    if refs and len(typed) > 1:
        raise UsageError(
            "A model of the room is used alone: both models of a top-down pair are one version of it. Give one "
            "--model, or folders of this machine."
        )
    if sum(len(each.models) for each in local) > MAX_MODELS:
        raise UsageError(f"At most {MAX_MODELS} models work together.")
    if len({each.files[next(iter(each.files))].resolve() for one in local for each in one.models}) < sum(
        len(each.models) for each in local
    ):
        raise UsageError("A model is named twice. Leave one of them out.")
    return FoundModels(tuple(local), refs[0] if refs else None, tuple(notes))


def as_ref(text: str) -> ModelRef | None:
    """The model of a room that a text can mean; None if it can only be a path.

    Raises:
        UsageError: if it seems to mean one, and is written wrongly.
    """
    if "/" in text or "\\" in text:
        return None
    try:
        return ModelRef.parse(text)
    except UsageError:
        if "@" in text and not Path(text).exists():
            raise
        return None


def check_data(data: Sequence[str], *, which: Which | None, option: str = "--data") -> None:
    """See that inputs are there and can be read, as far as their names and first bytes tell. Blocks.

    Args:
        data: the inputs as they were typed.
        which: which frames of labels are looked at; None for all.
        option: how inputs are typed, for sentences.

    Raises:
        UsageError: if one is not.
    """
    if len(data) > MAX_INPUTS:
        raise UsageError(f"{len(data)} inputs are named; at most {MAX_INPUTS} fit into a job.")
    seen: set[str] = set()
    for text in data:
        path = expanded(text)
        key = text if is_on_worker(text) else str(path.resolve())
        if key in seen:
            raise UsageError(f"{option} names '{printable(text, limit=200)}' twice. Leave one of them out.")
        seen.add(key)
        if not is_on_worker(text):
            _check_file(text, path, option)
        if which and not text.lower().endswith(LABELS):
            typed = next(f"--{name.replace('_', '-')}" for name, each in _LABELS_ONLY.items() if each == which)
            raise UsageError(
                f"{typed} is about frames of labels, and '{printable(text, limit=200)}' is a video. Leave it out, or "
                "say which frames with --frames."
            )


def _check_file(text: str, path: Path, option: str) -> None:
    shown = printable(text, limit=200)
    if path.is_dir():
        raise UsageError(f"{option} names '{shown}', which is a folder. Give each video with a {option} of its own.")
    if not path.exists():
        raise UsageError(f"{option} names '{shown}', and there is no such file on this machine. Correct the path.")
    if not text.lower().endswith((LABELS, *VIDEO_SUFFIXES)):
        raise UsageError(f"{option} names '{shown}', neither a video ({', '.join(VIDEO_SUFFIXES[:5])} …) nor labels.")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UsageError(f"{option} names '{shown}', which cannot be read: {error.strerror}. Check it.") from error
    if empty:
        raise UsageError(f"{option} names '{shown}', which is empty. Check that it was copied whole.")


async def assemble_track(
    wanted: Tracked,
    models: FoundModels,
    room_model: RoomModel | None,
    *,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    helper: Helper | None = None,
) -> UnreadPackage:
    """Put together what is sent.

    Args:
        wanted: what the user named; `check_data` has seen the data.
        models: the models that are meant.
        room_model: the room's model, if it is one of the room.
        on_frames: told the frames of labels embedded so far and those there are.
        helper: how the labels helper is started.

    Raises:
        UsageError: if it is too much for a job.
        PackageError: if labels cannot be read, or need a video that is not here.
    """
    packing = Packing()
    inputs = [await pack_input(packing, text, wanted.which, on_frames=on_frames, helper=helper) for text in wanted.data]
    folders = [folder for local in models.local for folder in _pack(packing, local)]
    said = {"model": room_model, "model_folders": tuple(folders), "data": tuple(inputs)}
    try:
        options = TrackOptions.model_validate({**wanted.options, **said})
    except ValidationError as error:
        raise UsageError("Too many files are named, or their paths are too long. Name fewer at once.") from error
    return UnreadPackage(_name(wanted.data), FilesSource(packing.files), check_size(options))


async def pack_input(
    packing: Packing,
    text: str,
    which: Which | None = None,
    *,
    on_frames: Callable[[int, int], None] = lambda done, total: None,
    helper: Helper | None = None,
    option: str = "--data",
) -> DataInput:
    """Send one input along, unless the worker has it.

    Args:
        packing: what is sent.
        text: the input as it was typed.
        which: which frames of labels are looked at; None for all.
        on_frames: told the frames of labels embedded so far and those there are.
        helper: how the labels helper is started.
        option: how inputs are typed, for sentences.

    Raises:
        PackageError: if labels cannot be read, or need a video that is not here.
    """
    if is_on_worker(text):
        return DataInput(path=text, in_package=False)
    file = expanded(text)
    if not file.name.lower().endswith(LABELS):
        return DataInput(path=await asyncio.to_thread(packing.add, DATA, file))
    images = await with_images(file, which, on_frames=on_frames, helper=helper, option=option)
    name = file.name if images == file else f"{stem_of(file.name)}.pkg.slp"
    return DataInput(path=await asyncio.to_thread(packing.add, DATA, images, name))


def _pack(packing: Packing, local: LocalModel) -> list[str]:
    """Send models along; return their folders in the package."""
    outer = packing.folder(f"{MODELS}/{local.name}")
    if local.record is not None:
        packing.put(f"{outer}/{local.record.name}", local.record)
    folders = []
    for model in local.models:
        folder = packing.folder(f"{outer}/{model.name}") if local.together else outer
        for name, file in model.files.items():
            packing.put(f"{folder}/{name}", file)
        folders.append(folder)
    return folders


def _name(data: Sequence[str]) -> str:
    """What the job is called."""
    first = printable(data[0].replace("\\", "/").rpartition("/")[2], limit=200) or "data"
    return first if len(data) == 1 else f"{first} + {len(data) - 1} more"
