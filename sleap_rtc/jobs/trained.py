"""Folders of trained models among a job's files: what they are, and whether they belong together."""

from collections.abc import Sequence
from pathlib import Path

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.protocol.text import printable

from .below import is_file_below
from .config_rules import heads_of
from .folder import JobFolder
from .yaml_data import MAX_OWN_BYTES, read_yaml

ROOM_MODEL = "room-model"
"""The folder of a job's inputs in which the worker puts a model of the room."""
CONFIG, CHECKPOINT = "training_config.yaml", "best.ckpt"
EXPORTED = ("model.onnx", "model.trt")
"""The network in a folder that ``sleap-nn export`` wrote; of a pair it is in one file, too."""
_SECOND_STAGE = frozenset({"centered_instance", "multi_class_topdown"})
_FIRST_STAGE = frozenset({"centroid", "bbox_centernet", "bbox_ssd"})


def room_model_folders(folder: JobFolder) -> list[Path]:
    """The folders of the model of the room that was placed among a job's files.

    Raises:
        PackageError: if there are none.
    """
    root = folder.inputs / ROOM_MODEL
    found = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not found:
        raise PackageError("The room's model holds nothing to run. Ask whoever made it, or choose another version.")
    return found


def check_models(models: Sequence[Path]) -> None:
    """Check that models are some, and belong together.

    Raises:
        PackageError: if they are not, or do not.
    """
    exported = [path for path in models if is_exported(path)]
    if exported and len(models) > 1:
        raise PackageError("An exported model is whole by itself. Give its folder alone, or checkpoints instead of it.")
    if exported:
        return
    heads = [head_of(path) for path in models]
    if any(head in _SECOND_STAGE for head in heads) and not any(head in _FIRST_STAGE for head in heads):
        raise PackageError(
            "The models look at single animals, and none finds where they are. Add the centroid model that belongs to "
            "them."
        )
    twice = next((head for head in heads if heads.count(head) > 1), None)
    if twice is not None:
        raise PackageError(
            f"Two of the models are of the kind '{twice}', so which one counts is not clear. Leave one out."
        )
    if len(heads) > 1 and not set(heads) <= _FIRST_STAGE | _SECOND_STAGE | {"embedding"}:
        raise PackageError(f"The models do not work together: {', '.join(heads)}. Give one, or a top-down pair.")


def is_exported(model: Path) -> bool:
    """Whether a folder holds an exported network."""
    return any(is_file_below(model, model / name) for name in EXPORTED)


def head_of(model: Path) -> str:
    """What a trained model finds, under sleap-nn's name.

    Raises:
        PackageError: if the folder is no trained model's.
    """
    shown = printable(model.name, limit=80)
    for name in (CONFIG, CHECKPOINT):
        if not is_file_below(model, model / name):
            raise PackageError(
                f"The model '{shown}' has no {name}: it is no folder that sleap-nn trained. Give the folder with both "
                f"{CHECKPOINT} and {CONFIG}; models of SLEAP 1.4 and older have to be trained anew."
            )
    try:
        with (model / CONFIG).open("rb") as source:
            config = read_yaml(source.read(MAX_OWN_BYTES + 1), MAX_OWN_BYTES)
    except ConfigError as error:
        raise PackageError(f"The {CONFIG} of the model '{shown}' is refused: {error.sentence}.") from error
    heads = heads_of(config) if isinstance(config, dict) else []
    if len(heads) != 1:
        raise PackageError(f"The {CONFIG} of the model '{shown}' does not say what the model finds. Pull it again.")
    return printable(heads[0], limit=64)
