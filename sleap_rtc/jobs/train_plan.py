"""From a package to models: what each config of a training comes to, with all that was asked for beside it."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.jobs import Run
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions

from .config_rules import check_config, heads_of, load_config, model_type
from .configs import JobPaths, prepare_config
from .devices import devices_of_job
from .files import write_atomically
from .folder import JobFolder
from .making import ConversionRequest, Recipe
from .mounts import Mounts
from .overrides import merge_overrides, names_labels
from .plan import Plan
from .presets import preset_notices, preset_request
from .run_names import pick_run_name
from .sources import Listed, Package, open_package, read_config
from .start_from import start_from
from .track_plan import stage_then
from .values import Config
from .yaml_data import MAX_OWN_BYTES, read_yaml, write_yaml

_FIRST = frozenset({"centroid", "bbox_centernet", "bbox_ssd"})


@dataclass(frozen=True)
class _Source:
    """A config with its overrides, the head it trains, and what to tell about it."""

    listed: Listed
    config: Config
    head: str
    notices: list[str]


def recipes(folder: JobFolder, options: TrainOptions) -> tuple[Recipe, ...]:
    """The configs of a training that only sleap-nn can make, from those of SLEAP 1.4 and older or from its presets.

    Raises:
        PackageError, ConfigError: if the job is refused whatever they come to.
    """
    package = open_package(folder.inputs, options)
    if options.preset is not None:
        if options.configs:
            raise ConfigError(
                "A job is trained from its configs or from a preset, not from both. Leave one of them out."
            )
        return (Recipe(_preset_path(options), preset_request(options.preset)),)
    return tuple(
        Recipe(listed.path, ConversionRequest(path=str(package.files[listed.path].absolute()), name=listed.path))
        for listed in package.configs
        if package.is_legacy(listed.path)
    )


def stage(
    folder: JobFolder,
    options: TrainOptions,
    made: Mapping[str, str] | None = None,
    *,
    cpus: int | None = None,
    mounts: Mounts | None = None,
) -> Plan:
    """Read the package in a training's ``inputs/`` and write the config of every run.

    Args:
        folder: the job's.
        options: what was asked for beside the package.
        made: the YAML text of each of the job's `recipes`, by path.
        cpus: the most data loading processes; as many as there are processors if None.
        mounts: what the job may read beside its own files.

    Raises:
        PackageError: if the package holds no labels, no config, or labels that are none.
        ConfigError: if a config or what was asked beside it is refused.
    """
    package = open_package(folder.inputs, options)
    paths = JobPaths(
        files=package.files,
        labels=package.labels,
        models=folder.models,
        scratch=folder.scratch,
        train=options.labels,
        validation=options.val_labels,
        named=options.paths,
    )
    taken: set[str] = set()
    runs: list[Run] = []
    notices = preset_notices(options.preset) if options.preset else []
    sources = _sources(package, options, made or {})
    if options.start_from is not None:
        start_from(folder, [(source.config, source.head) for source in sources])
    devices = devices_of_job((source.config for source in sources), options)
    for source in sources:
        run, said = _prepare(folder, source, paths, taken, cpus or os.cpu_count() or 1, devices, options)
        runs.append(run)
        notices += [f"{run.name}: {notice}" for notice in source.notices + said]
    if options.then is not None:
        runs += stage_then(folder, options.then, runs, _looked_at(package, options), mounts or Mounts())
    return Plan(tuple(runs), tuple(notices), tuple(source.listed.path for source in sources))


def _looked_at(package: Package, options: TrainOptions) -> Path:
    """The labels whose suggestions are looked at after the training."""
    named = options.labels or package.labels
    if len(named) > 1 and not (options.then and options.then.data):
        raise ConfigError(
            f"The training has {len(named)} labels files, and it is not clear whose suggestions are to be looked at. "
            "Name the labels that are trained on with --labels."
        )
    return package.files[named[0]]


def _preset_path(options: TrainOptions) -> str:
    return f"preset/{options.preset.head}" if options.preset else ""


def _sources(package: Package, options: TrainOptions, made: Mapping[str, str]) -> list[_Source]:
    listed = [Listed(_preset_path(options))] if options.preset else package.configs
    configs = [(one, _load(package, one.path, made)) for one in listed]
    heads = {head for _, config in configs for head in heads_of(config)}
    sources = [_source(package, one, config, options, heads) for one, config in configs]
    if any(one.in_order for one in listed):
        return sources
    # the second stage of a top-down pair can be judged only beside the first
    return sorted(sources, key=lambda source: source.head not in _FIRST)


def _load(package: Package, path: str, made: Mapping[str, str]) -> Config:
    if path in made:
        return load_config(made[path].encode(), path)
    if path not in package.files or package.is_legacy(path):
        raise ConfigError(
            f"The config '{printable(path, limit=120)}' has to be made by sleap-nn, which this worker does not do. "
            "Choose another worker, or export the training package from SLEAP 1.5 or newer."
        )
    return load_config(read_config(package.files[path]), path)


def _source(package: Package, listed: Listed, config: Config, options: TrainOptions, heads: Collection[str]) -> _Source:
    name = printable(listed.path, limit=120)
    notices = []
    if listed.path in package.files and package.is_legacy(listed.path):
        notices.append(f"sleap-nn converted '{name}', a config of SLEAP 1.4 or older.")
    try:
        notices += merge_overrides(config, options.overrides, heads=heads)
    except ConfigError as error:
        raise ConfigError(f"In '{name}': {error.sentence}") from error
    for section in ("model_config", "trainer_config"):
        if section not in config:
            raise ConfigError(f"The config '{name}' has no {section}.")
    if names_labels(options.overrides):
        # what was typed counts for more than what jobs.yaml says
        listed = Listed(listed.path, listed.run_name, None, listed.in_order)
    return _Source(listed, config, model_type(config, listed.path), notices)


def _prepare(
    folder: JobFolder, source: _Source, paths: JobPaths, taken: set[str], cpus: int, devices: int, options: TrainOptions
) -> tuple[Run, list[str]]:
    trainer: Config = source.config.get("trainer_config", {})
    path = source.listed.path
    wanted = trainer.get("run_name") or source.listed.run_name
    name, renamed = pick_run_name(wanted, PurePosixPath(path).stem, taken)
    try:
        config, notices = prepare_config(
            source.config,
            run_name=name,
            paths=paths,
            cpus=cpus,
            train_labels=source.listed.train_labels,
            devices=devices,
            options=options,
        )
        # once more, with what the worker has put in
        check_config(config, "as it would run")
    except ConfigError as error:
        raise ConfigError(f"In '{printable(path, limit=120)}': {error.sentence}") from error
    file = folder.config_of(name)
    file.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    write_atomically(file, _readable(config, path))
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
