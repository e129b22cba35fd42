"""Which keys of a training config name files, and what a config or an override says there. Pure: data in, texts out."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import JsonValue

from sleap_rtc.jobs.values import listed
from sleap_rtc.protocol.training import Override

LABELS = "labels"
WEIGHTS = "weights"


class Kind(NamedTuple):
    """What a key names: the folder of the package where such files go, and how their names end.

    Only files that end so are sent: a config that somebody else wrote must not pick just any file of this machine.
    """

    folder: str
    suffixes: tuple[str, ...]


TRAIN = "data_config.train_labels_path"
VALIDATION = "data_config.val_labels_path"
BACKBONE_WEIGHTS = "model_config.pretrained_backbone_weights"
HEAD_WEIGHTS = "model_config.pretrained_head_weights"
RESUMED = "trainer_config.resume_ckpt_path"

KINDS: Mapping[str, Kind] = {
    TRAIN: Kind(LABELS, (".slp",)),
    VALIDATION: Kind(LABELS, (".slp",)),
    "data_config.test_file_path": Kind(LABELS, (".slp", ".mp4", ".avi", ".mov", ".mkv", ".mj2", ".h5", ".hdf5")),
    BACKBONE_WEIGHTS: Kind(WEIGHTS, (".ckpt", ".h5")),
    HEAD_WEIGHTS: Kind(WEIGHTS, (".ckpt", ".h5")),
    RESUMED: Kind(WEIGHTS, (".ckpt",)),
}
"""The keys of sleap-nn that name files."""

_LEGACY: dict[str, tuple[str, ...]] = {
    "data.labels.training_labels": (TRAIN,),
    "data.labels.validation_labels": (VALIDATION,),
    "data.labels.test_labels": ("data_config.test_file_path",),
    "model.base_checkpoint": (BACKBONE_WEIGHTS, HEAD_WEIGHTS),
}
"""Where configs of SLEAP 1.4 and older say the same."""


class Named(NamedTuple):
    """A path that somebody wrote: for which key of sleap-nn's, and how that key is called where it stands."""

    key: str
    text: str
    written: str


def named_in(config: Mapping[str, Any]) -> Iterator[Named]:
    """The paths that a config names, whether it is sleap-nn's or one of SLEAP 1.4 and older."""
    for written, keys in ({key: (key,) for key in KINDS} | _LEGACY).items():
        for text in listed(_at(config, written)):
            yield from (Named(key, text, written) for key in keys)


def named_by(overrides: Sequence[Override]) -> Iterator[Named]:
    """The paths that overrides name, where a later one does not say otherwise."""
    for key in KINDS:
        for text in listed(overridden(overrides, key)[1]):
            yield Named(key, text, key)


def overridden(overrides: Sequence[Override], key: str) -> tuple[bool, JsonValue]:
    """Whether overrides set `key`, and to what."""
    found: tuple[bool, JsonValue] = (False, None)
    for override in overrides:
        if override.key == key:
            found = (True, override.value)
        elif key.startswith(f"{override.key}."):
            inside = _at(override.value, key.removeprefix(f"{override.key}."))
            found = found if inside is None else (True, inside)
    return found


def _at(value: Any, key: str) -> Any:
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value
