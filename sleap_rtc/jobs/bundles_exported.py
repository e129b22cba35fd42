"""Makes the bundle of an export that is over: a network, and ``model.json`` with what it was made of."""

from pathlib import Path

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.models import MAX_RECORD, RECORD, ModelPart, ModelRecord

from .bundles import Bundle, copy_run, finish_bundle, read_small
from .folder import JobFolder
from .trained import EXPORTED, ROOM_MODEL

_NETWORK = {"onnx": "model.onnx", "tensorrt": "model.trt"}
_ABOUT = "export_metadata.json"


def make_exported(folder: JobFolder, options: ExportOptions, target: Path) -> Bundle | None:
    """Copy what a job exported, and write its ``model.json``; on disk when this returns. Blocks.

    Args:
        folder: a job that is over.
        options: what was asked of it.
        target: an empty folder for the bundle.

    Returns:
        The bundle; None if the job exported nothing, or went on meanwhile.

    Raises:
        SleapRTCError, OSError: if the job cannot be read, or the bundle not be written.
    """
    ended = folder.state()
    source = _source(folder)
    paths = [file.path.partition("/") for file in folder.results()]
    names = [name for run, _, name in paths if run == options.format and is_exported(options.format, name)]
    if ended.state is not JobState.DONE or source is None or _NETWORK[options.format] not in names:
        return None
    files = copy_run(folder, options.format, names, target / options.format)
    if folder.state().t != ended.t:
        return None
    configs = {file.path for file in files}
    told = {
        "format": options.format,
        "source": options.model.digest,
        "files": tuple(sorted(files, key=lambda file: file.path)),
        "parts": tuple(_part(part, options.format, configs) for part in source.parts),
        "made": ended.t,
    }
    return finish_bundle(target, source.model_copy(update=told))


def _source(folder: JobFolder) -> ModelRecord | None:
    """The ``model.json`` of the model that was exported; the worker put it where the job can only read it."""
    try:
        return ModelRecord.from_bytes(read_small(folder.inputs / ROOM_MODEL / RECORD, MAX_RECORD))
    except ProtocolError:
        return None


def is_exported(wanted: str, name: str) -> bool:
    """Whether a file of an export is part of its bundle, by its name."""
    if "/" in name:
        return False
    # what an engine was built from is no part of it
    others = {each for each in EXPORTED if each != _NETWORK[wanted]}
    config = name.startswith("training_config") and name.endswith((".yaml", ".json"))
    return (name.startswith(_NETWORK[wanted]) or name == _ABOUT or config) and name not in others


def _part(part: ModelPart, folder: str, files: set[str]) -> ModelPart:
    """The same part, with the config that lies beside the network now."""
    names = (f"training_config_{part.model_type}.yaml", "training_config.yaml")
    config = next((path for name in names if (path := f"{folder}/{name}") in files), "")
    return part.model_copy(update={"config": config})
