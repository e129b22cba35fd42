"""Which model a training shall begin with: a path that leads somewhere is that one, a name is the room's."""

from dataclasses import dataclass

from sleap_rtc.client.assembling import check_size, expanded
from sleap_rtc.client.package import UnreadPackage
from sleap_rtc.client.track_assembling import as_ref
from sleap_rtc.protocol.models import ModelRef, RoomModel
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions

_WEIGHTS = (".ckpt", ".h5")


@dataclass(frozen=True)
class Start:
    """What ``--from`` means.

    Attributes:
        ref: the room's model; None where it is a path.
        note: what the user should see, a sentence.
    """

    ref: ModelRef | None = None
    note: str | None = None


def find_start(text: str) -> Start:
    """Decide what is meant; whether a path holds weights is for `assemble` to say. Blocks.

    Raises:
        UsageError: if it is no path, and no model of a room is written like that.
    """
    path = expanded(text)
    there = path.exists()
    ref = None if text.lower().endswith(_WEIGHTS) else as_ref(text)
    if not there:
        return Start(ref)
    kind = "folder" if path.is_dir() else "file"
    shown = printable(text, limit=120)
    note = f"The {kind} '{shown}' here is used, and no model of the room that may be called so." if ref else None
    return Start(note=note)


def begun_with(package: UnreadPackage, model: RoomModel) -> UnreadPackage:
    """The same package, to be trained from a model of the room; closing either closes both.

    Raises:
        UsageError: if the options are too long then.
    """
    options = package.options
    assert isinstance(options, TrainOptions)  # noqa: S101 - what is trained has no others
    said = check_size(options.model_copy(update={"start_from": model}))
    return UnreadPackage(package.name, package.source, said, package.unasked)
