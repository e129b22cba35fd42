"""From a package to runs: which labels and configs it holds, in which order they train, and what each one runs with."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.protocol.files import is_clutter
from sleap_rtc.protocol.jobs import Run
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import JobOptions

from .configs import JobPaths, load_config, model_type, prepare_config
from .devices import devices_of_job
from .files import write_atomically
from .folder import JobFolder
from .run_names import pick_run_name
from .values import Config
from .yaml_data import MAX_BYTES, MAX_OWN_BYTES, read_yaml, write_yaml

MAX_RUNS = 16
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OF_A_MODEL = frozenset({"initial_config.yaml", "training_config.yaml"})
"""What sleap-nn writes beside a model: such a model comes along to start from, not to be trained again."""
_FIRST = frozenset({"centroid", "bbox_centernet", "bbox_ssd"})


@dataclass(frozen=True)
class Plan:
    """The runs of a job in order, and what the submitter should know about them."""

    runs: tuple[Run, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    """A config of the package, and what ``jobs.yaml`` says about it."""

    path: str
    config: Config
    head: str
    run_name: str | None = None
    train_labels: str | None = None


def stage(folder: JobFolder, *, cpus: int | None = None) -> Plan:
    """Read the package in a job's ``inputs/`` and write the config of every run below ``work/``.

    Raises:
        PackageError: if the package holds no labels, no config, or labels that are none.
        ConfigError: if a config is refused.
    """
    found = {path.relative_to(folder.inputs).as_posix(): path for path in _regular_files(folder.inputs)}
    files = {name: path for name, path in found.items() if not is_clutter(name)}
    if not files:
        raise PackageError("The package is empty: it needs a labels file (.pkg.slp) and at least one training config.")
    labels = _labels(files)
    sources = _sources(files)
    paths = JobPaths(files=files, labels=labels, models=folder.models, scratch=folder.scratch)
    options = folder.spec().options
    devices = devices_of_job((source.config for source in sources), options)
    taken: set[str] = set()
    runs: list[Run] = []
    notices: list[str] = []
    for source in sources:
        run, said = _prepare(folder, source, paths, taken, cpus or os.cpu_count() or 1, devices, options)
        runs.append(run)
        notices += [f"{run.name}: {notice}" for notice in said]
    return Plan(tuple(runs), tuple(notices))


def _regular_files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _labels(files: dict[str, Path]) -> list[str]:
    labels = [path for path in files if path.lower().endswith(".slp")]
    if not labels:
        raise PackageError(
            "The package holds no labels: add a labels file with embedded images (.pkg.slp), "
            "as SLEAP's 'Export training job package' does."
        )
    for path in labels:
        with files[path].open("rb") as source:
            if source.read(len(_HDF5)) != _HDF5:
                raise PackageError(
                    f"'{printable(path, limit=120)}' is no labels file: it does not hold HDF5 data. Export it again."
                )
    return labels


def _sources(files: dict[str, Path]) -> list[_Source]:
    listing = next((path for path in files if PurePosixPath(path).name.lower() in ("jobs.yaml", "jobs.yml")), None)
    sources = _listed_sources(files, listing) if listing else []
    sources = sources or _found_sources(files)
    if len(sources) > MAX_RUNS:
        raise PackageError(f"The package holds {len(sources)} training configs; at most {MAX_RUNS} fit into a job.")
    return sources


def _listed_sources(files: dict[str, Path], listing: str) -> list[_Source]:
    """The configs that ``jobs.yaml`` lists, in its order; none where it has no training section."""
    try:
        content = read_yaml(_read(files[listing]))
    except ConfigError as error:
        raise ConfigError(f"The file '{printable(listing, limit=120)}' is refused: {error.sentence}.") from error
    training = content.get("training") if isinstance(content, dict) else None
    entries = [entry for entry in training if isinstance(entry, dict)] if isinstance(training, list) else []
    found = []
    for entry in entries[: MAX_RUNS + 1]:
        path = _beside(files, listing, entry.get("cfg"))
        run_path, labels = entry.get("run_path"), entry.get("train_labels")
        config, head = _load(files, path)
        name = PurePosixPath(run_path.replace("\\", "/")).name if isinstance(run_path, str) else None
        found.append(_Source(path, config, head, name, labels if isinstance(labels, str) else None))
    return found


def _beside(files: dict[str, Path], listing: str, cfg: object) -> str:
    name = str(cfg).replace("\\", "/")
    places = [str(PurePosixPath(listing).parent / name), str(PurePosixPath(listing).parent / PurePosixPath(name).name)]
    path = next((place for place in places if place in files), None)
    if path is None:
        raise PackageError(
            f"jobs.yaml lists the config '{printable(name, limit=120)}', which is not in the package. Add it."
        )
    return path


def _found_sources(files: dict[str, Path]) -> list[_Source]:
    trained = {str(PurePosixPath(path).parent) for path in files if path.lower().endswith((".ckpt", ".h5"))}
    paths = [
        path
        for path in files
        if path.lower().endswith((".yaml", ".yml"))
        and not (PurePosixPath(path).name.lower() in _OF_A_MODEL and str(PurePosixPath(path).parent) in trained)
        and _looks_like_config(files[path])
    ]
    if not paths:
        _refuse_legacy(files)
        raise PackageError(
            "The package holds no training config: add the YAML file of each model to train, "
            "as SLEAP's 'Export training job package' does."
        )
    if len(paths) > MAX_RUNS:
        raise PackageError(f"The package holds {len(paths)} training configs; at most {MAX_RUNS} fit into a job.")
    sources = [_Source(path, *_load(files, path)) for path in paths]
    # the second stage of a top-down pair can be judged only beside the first
    return sorted(sources, key=lambda source: (source.head not in _FIRST, source.path))


def _looks_like_config(path: Path) -> bool:
    data = _read(path)
    return b"model_config" in data and b"trainer_config" in data


def _refuse_legacy(files: dict[str, Path]) -> None:
    for path, file in files.items():
        if path.lower().endswith(".json"):
            data = _read(file)
            if b'"optimization"' in data and b'"model"' in data:
                raise ConfigError(
                    f"'{printable(path, limit=120)}' is a config of SLEAP 1.4 or older, which sleap-nn cannot run. "
                    "Export the training package from SLEAP 1.5 or newer."
                )


def _load(files: dict[str, Path], path: str) -> tuple[Config, str]:
    if path.lower().endswith(".json"):
        _refuse_legacy({path: files[path]})
    config = load_config(_read(files[path]), path)
    for section in ("model_config", "trainer_config"):
        if section not in config:
            raise ConfigError(f"The config '{printable(path, limit=120)}' has no {section}.")
    return config, model_type(config, path)


def _read(path: Path) -> bytes:
    with path.open("rb") as source:
        return source.read(MAX_BYTES + 1)


def _prepare(
    folder: JobFolder, source: _Source, paths: JobPaths, taken: set[str], cpus: int, devices: int, options: JobOptions
) -> tuple[Run, list[str]]:
    trainer: Config = source.config.get("trainer_config", {})
    wanted = trainer.get("run_name") or source.run_name
    name, renamed = pick_run_name(wanted, PurePosixPath(source.path).stem, taken)
    try:
        config, notices = prepare_config(
            source.config,
            run_name=name,
            paths=paths,
            cpus=cpus,
            train_labels=source.train_labels,
            devices=devices,
            options=options,
        )
    except ConfigError as error:
        raise ConfigError(f"In '{printable(source.path, limit=120)}': {error.sentence}") from error
    file = folder.config_of(name)
    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    write_atomically(file, _readable(config, source.path))
    run = Run(
        name=name,
        model_type=source.head,
        config=file.relative_to(folder.path).as_posix(),
        max_epochs=_count(trainer.get("max_epochs")),
        devices=config["trainer_config"]["trainer_devices"],
    )
    return run, renamed + notices


def _readable(config: Config, name: str) -> bytes:
    """The config as it is written, once it is certain that the supervisor can read that."""
    data = write_yaml(config).encode()
    try:
        read_yaml(data, MAX_OWN_BYTES)
    except ConfigError as error:
        raise ConfigError(
            f"The config '{printable(name, limit=120)}', written out, is refused: {error.sentence}."
        ) from error
    return data


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
