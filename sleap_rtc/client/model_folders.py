"""Models as folders of this machine: what sleap-nn leaves, what it exports, and what was pulled from a room."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.client.packing import safe_name
from sleap_rtc.errors import UsageError
from sleap_rtc.protocol.inference import MAX_MODELS
from sleap_rtc.protocol.models import RECORD
from sleap_rtc.protocol.text import printable

WEIGHTS = "best.ckpt"
CONFIG = "training_config.yaml"
_TRAINED = (WEIGHTS, CONFIG, "initial_config.yaml", RECORD)
"""What is sent of a trained model: what else lies in its folder is nothing that it needs."""
_EXPORT = "export_metadata.json"
_EXPORTED = ("model.onnx", "model.trt")
_OLD = ("best_model.h5", "training_config.json")
_MOST_FILES = 64


@dataclass(frozen=True)
class ModelFolder:
    """One model of this machine.

    Attributes:
        name: what its folder is called.
        files: what is sent of it, by the name in its folder.
    """

    name: str
    files: dict[str, Path]


@dataclass(frozen=True)
class LocalModel:
    """What one ``--model`` names: a model, or several that belong together.

    Attributes:
        name: what the folder is called.
        models: the models in it.
        together: whether they are folders of that folder, as they are in one that was pulled.
        record: its ``model.json``; None if there is none beside them.
    """

    name: str
    models: tuple[ModelFolder, ...]
    together: bool = False
    record: Path | None = None


def holds_model(path: Path) -> bool:
    """Whether a path leads to a model, or to several in a folder that was pulled. Blocks."""
    folder = _folder_of(path)
    return _model_in(folder) is not None or (_is_file(folder / RECORD) and any(_models_below(folder)))


def find_models(path: Path) -> LocalModel:
    """Find the models that a path means: their folder, or the ``best.ckpt`` in it. Blocks.

    Raises:
        UsageError: if there is none, or something of it is missing.
    """
    shown = printable(str(path), limit=200)
    folder = _folder_of(path)
    if not folder.is_dir():
        raise UsageError(f"There is no model '{shown}' on this machine: it is no folder. Correct the path.")
    name = safe_name(folder.resolve().name)
    if (model := _model_in(folder)) is not None:
        return LocalModel(name, (model,))
    below = list(_models_below(folder))
    if below and _is_file(folder / RECORD):
        if len(below) > MAX_MODELS:
            raise UsageError(f"'{shown}' holds {len(below)} models; at most {MAX_MODELS} work together.")
        return LocalModel(name, tuple(below), together=True, record=folder / RECORD)
    raise UsageError(_none_in(folder, shown, below))


def _none_in(folder: Path, shown: str, below: list[ModelFolder]) -> str:
    if below:
        named = ", ".join(each.name for each in below[:8])
        return (
            f"'{shown}' is no model, but a folder of models: {named}. Name the one that is meant with --model, or each "
            "of a top-down pair."
        )
    if _is_file(folder / WEIGHTS):
        return f"The model '{shown}' has no {CONFIG}, without which its weights mean nothing. Give its whole folder."
    if any(_is_file(folder / name) for name in _OLD):
        return f"'{shown}' has no {WEIGHTS}: a model of SLEAP 1.4 or older is not used here. Train it anew."
    return f"'{shown}' holds no model: a folder with {WEIGHTS} and {CONFIG}, or an exported one. Correct the path."


def _folder_of(path: Path) -> Path:
    return path.parent if path.name == WEIGHTS and _is_file(path) else path


def _models_below(folder: Path) -> Iterator[ModelFolder]:
    try:
        folders = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    except OSError:
        return
    for each in folders:
        if (model := _model_in(each)) is not None:
            yield model


def _model_in(folder: Path) -> ModelFolder | None:
    if _is_file(folder / WEIGHTS) and _is_file(folder / CONFIG):
        files = {name: folder / name for name in _TRAINED if _is_file(folder / name)}
        return ModelFolder(safe_name(folder.resolve().name), files)
    if _is_file(folder / _EXPORT) and any(_is_file(folder / name) for name in _EXPORTED):
        return ModelFolder(safe_name(folder.resolve().name), dict(_plain_files(folder)))
    return None


def _plain_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """All of an exported model; no link, for that might lead to something else."""
    found = sorted(each for each in folder.iterdir() if not each.is_symlink() and each.is_file())
    kept = [each for each in found if not each.name.startswith(".")]
    if len(kept) > _MOST_FILES:
        raise UsageError(
            f"The exported model '{printable(str(folder), limit=200)}' has {len(kept)} files beside it. Put it into a "
            "folder of its own."
        )
    for each in kept:
        yield safe_name(each.name), each


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # no system has such a name, or its folder is closed to us
        return False
