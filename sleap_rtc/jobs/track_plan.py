"""From models and data to predictions: what an inference looks at, with what, one run for each input."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.inference import DataInput, ThenTrack, TrackOptions, TrackWords
from sleap_rtc.protocol.jobs import Run, Verb
from sleap_rtc.protocol.text import one_line

from .below import is_file_below
from .folder import JobFolder
from .mounts import Mounts
from .plan import Plan
from .run_names import pick_run_name
from .track_arguments import OF_LABELS, track_arguments
from .track_task import TrackTask
from .trained import check_models, room_model_folders

VIDEO_SUFFIXES = (".mp4", ".avi", ".mov", ".mj2", ".mkv", ".h5", ".hdf5", ".tif", ".tiff", ".seq")
"""Videos that sleap-io opens, each one file."""


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
    check_models(models)
    places = tuple(path.relative_to(folder.path).as_posix() for path in models)
    paths = [_find(folder, data, mounts) for data in options.data]
    return Plan(track_runs(folder, [(path, options) for path in paths], places, set()), ())


def stage_then(folder: JobFolder, then: ThenTrack, trained: Sequence[Run], labels: Path, mounts: Mounts) -> list[Run]:
    """Write down what an inference does with the models that the same job trains before.

    Args:
        folder: the job's.
        then: what was asked for.
        trained: the runs that train.
        labels: the labels they are trained on, whose suggestions are looked at where no data is named.
        mounts: what jobs may read beside their own files.

    Raises:
        PackageError, ConfigError: as `stage_track` does.
    """
    places = [(folder.models / run.name).relative_to(folder.path).as_posix() for run in trained]
    paths = [_find(folder, data, mounts) for data in then.data]
    if not paths:
        paths, then = [labels.absolute()], then.model_copy(update={"only_suggested_frames": True})
    # beside suggestions there may be videos, in which nothing is suggested
    of_videos = then.model_copy(update=dict.fromkeys(OF_LABELS, False)) if any(map(_is_labels, paths)) else then
    taken = {run.name.lower() for run in trained}
    inputs = [(path, then if _is_labels(path) else of_videos) for path in paths]
    return list(track_runs(folder, inputs, places, taken))


def track_runs(
    folder: JobFolder, inputs: Sequence[tuple[Path, TrackWords]], models: Collection[str], taken: set[str]
) -> tuple[Run, ...]:
    """One run for each input, each with its task.

    Args:
        folder: the job's.
        inputs: what is looked at, each with what sleap-nn is told about it.
        models: folders of models, below the job's folder.
        taken: names of other runs, in lower case.
    """
    runs = []
    for path, words in inputs:
        name, _ = pick_run_name(None, _stem(path), taken)
        task = TrackTask(
            models=tuple(models),
            data=str(path),
            output=f"{name}.predictions.slp",
            arguments=track_arguments(words, labels=_is_labels(path)),
            frames=words.frames,
            only=next((only for only in ("suggested", "labeled") if getattr(words, f"only_{only}_frames")), None),
        )
        file = folder.task_of(name)
        task.write(file)
        runs.append(Run(name=name, verb=Verb.TRACK, config=file.relative_to(folder.path).as_posix()))
    return tuple(runs)


def _is_labels(path: Path) -> bool:
    return path.suffix.lower() == ".slp"


def _stem(path: Path) -> str:
    return path.name[: -len(".pkg.slp")] if path.name.lower().endswith(".pkg.slp") else path.stem


def _model_folders(folder: JobFolder, options: TrackOptions) -> list[Path]:
    if options.model is not None:
        return room_model_folders(folder)
    folders = [folder.inputs / place for place in options.model_folders]
    missing = next((path for path in folders if not path.is_dir() or path.is_symlink()), None)
    if missing is not None:
        shown = one_line(missing.relative_to(folder.inputs).as_posix(), limit=120)
        raise PackageError(f"The model '{shown}' is not among the job's files. Submit it again with that folder.")
    return folders


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
