"""A model on this machine, on its way to a worker: which files of a folder make it up."""

from collections.abc import Iterator
from pathlib import Path

from sleap_rtc.errors import PackageError
from sleap_rtc.protocol.models import RECORD
from sleap_rtc.transfer.source import FilesSource

BEST, CONFIG = "best.ckpt", "training_config.yaml"
_FILES = (BEST, CONFIG, "initial_config.yaml", "training_log.csv")


def model_files(folder: Path) -> dict[str, Path]:
    """The files of a model by the path that each one has in its bundle. Blocks.

    Args:
        folder: a run folder (with ``best.ckpt``), a folder of run folders, or one that was pulled.

    Raises:
        PackageError: if it is none of these.
    """
    if not folder.is_dir():
        raise PackageError(f"There is no folder {folder}. Give the folder of a model: the one with its {BEST} in it.")
    runs = [folder] if (folder / BEST).exists() else [path for path in sorted(folder.iterdir()) if _is_run(path)]
    if not runs:
        raise PackageError(
            f"{folder} holds no model: neither {BEST} is in it, nor a folder with one. A model that was exported is "
            "pushed as the model that it was made from."
        )
    found = {f"{_name_of(run)}/{path.name}": path for run in runs for path in _files_of(run)}
    for run in runs:
        if f"{_name_of(run)}/{CONFIG}" not in found:
            raise PackageError(f"{run / CONFIG} is missing: without it nobody knows what kind of model that is.")
    if runs != [folder] and (folder / RECORD).is_file():
        found[RECORD] = folder / RECORD
    return found


def model_source(folder: Path) -> tuple[FilesSource, int]:
    """A model's files, ready to be listed, and when the newest of its weights was written, in UTC milliseconds. Blocks.

    Raises:
        PackageError: as `model_files` does.
    """
    files = model_files(folder)
    try:
        made = max(path.stat().st_mtime for name, path in files.items() if name.endswith(f"/{BEST}"))
    except OSError as error:
        raise PackageError(f"{folder} cannot be read: {error.strerror}.") from error
    return FilesSource(files), int(made * 1000)


def _is_run(path: Path) -> bool:
    return path.is_dir() and (path / BEST).is_file()


def _name_of(run: Path) -> str:
    return run.resolve().name


def _files_of(run: Path) -> Iterator[Path]:
    for path in sorted(run.iterdir()):
        if path.is_file() and (path.name in _FILES or path.name.startswith("metrics.")):
            yield path
