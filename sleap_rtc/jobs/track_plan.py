"""From models and data to predictions: what an inference looks at, with what, one run for each input."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.protocol.inference import DataInput, TrackOptions
from sleap_rtc.protocol.jobs import Run, Verb
from sleap_rtc.protocol.text import one_line, printable

from .below import is_file_below
from .config_rules import heads_of
from .folder import JobFolder
from .mounts import Mounts
from .plan import Plan
from .run_names import pick_run_name
from .track_arguments import track_arguments
from .track_task import TrackTask
from .yaml_data import MAX_OWN_BYTES, read_yaml

ROOM_MODEL = "room-model"
"""The folder of a job's inputs in which the worker puts a model of the room."""
VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mj2", ".mkv", ".h5", ".hdf5", ".tif", ".tiff", ".seq")
"""Videos that sleap-io opens, each one file."""
CONFIG, CHECKPOINT = "training_config.yaml", "best.ckpt"
EXPORTED = ("model.onnx", "model.trt")
"""The network in a folder that ``sleap-nn export`` wrote; of a pair it is in one file, too."""
_SECOND_STAGE = frozenset({"centered_instance", "multi_class_topdown"})
_FIRST_STAGE = frozenset({"centroid", "bbox_centernet", "bbox_ssd"})


def stage_track(folder: JobFolder, options: TrackOptions, mounts: Mounts) -> Plan:
    """Find the models and the data of an inference, and write down what each run does.

    Args:
        folder: the job's, with all its files in ``inputs/``.
        options: what was asked for.
        mounts: what jobs may read beside their own files.

    Raises:
        PackageError: if a file is not there, or not what it has to be.
        ConfigError: if what was asked for is refused.
    """
    models = _model_folders(folder, options)
    _check_models(models)
    places = tuple(path.relative_to(folder.path).as_posix() for path in models)
    taken: set[str] = set()
    runs = []
    for data in options.data:
        path = _find(folder, data, mounts)
        labels = path.suffix.lower() == ".slp"
        name, _ = pick_run_name(None, _stem(path), taken)
        task = TrackTask(
            models=places,
            data=str(path),
            output=f"{name}.predictions.slp",
            arguments=track_arguments(options, labels=labels),
            frames=options.frames,
            only=next((only for only in ("suggested", "labeled") if getattr(options, f"only_{only}_frames")), None),
        )
        file = folder.task_of(name)
        task.write(file)
        runs.append(Run(name=name, verb=Verb.TRACK, config=file.relative_to(folder.path).as_posix()))
    return Plan(tuple(runs), ())


def _stem(path: Path) -> str:
    return path.name[: -len(".pkg.slp")] if path.name.lower().endswith(".pkg.slp") else path.stem


def _model_folders(folder: JobFolder, options: TrackOptions) -> list[Path]:
    if options.model is not None:
        root = folder.inputs / ROOM_MODEL
        found = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
        if not found:
            raise PackageError("The room's model holds nothing to run. Ask whoever made it, or choose another version.")
        return found
    folders = [folder.inputs / place for place in options.model_folders]
    missing = next((path for path in folders if not path.is_dir() or path.is_symlink()), None)
    if missing is not None:
        shown = one_line(missing.relative_to(folder.inputs).as_posix(), limit=120)
        raise PackageError(f"The model '{shown}' is not among the job's files. Submit it again with that folder.")
    return folders


def _check_models(models: list[Path]) -> None:
    """Check that models are some, and belong together.

    Raises:
        PackageError: if they are not, or do not.
    """
    exported = [path for path in models if _exported(path)]
    if exported and len(models) > 1:
        raise PackageError("An exported model is whole by itself. Give its folder alone, or checkpoints instead of it.")
    if exported:
        return
    heads = [_head(path) for path in models]
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


def _exported(model: Path) -> bool:
    return any(is_file_below(model, model / name) for name in EXPORTED)


def _head(model: Path) -> str:
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


def _find(folder: JobFolder, data: DataInput, mounts: Mounts) -> Path:
    shown = one_line(data.path, limit=200)
    if PurePosixPath(data.path).suffix.lower() not in (".slp", *VIDEO_SUFFIXES):
        raise PackageError(f"'{shown}' is no video and no labels: it ends in none of {', '.join(_suffixes())}.")
    if not data.in_package:
        return mounts.find(data.path)
    inputs = folder.inputs.resolve()
    path = inputs / data.path
    if ".." in path.parts or not is_file_below(inputs, path):
        raise PackageError(f"'{shown}' is not among the job's files. Submit it again with that file.")
    return path


def _suffixes() -> Iterator[str]:
    yield ".slp"
    yield from VIDEO_SUFFIXES
