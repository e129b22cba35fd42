"""From what a user named to what is sent: the package, the configs, and the files on this machine that they call for.

The client reads configs only to find the paths in them, and changes none. A path is one of this machine: relative to
the current folder, as sleap-nn takes it, else to the folder of the config that names it. Which file of the package
each path stands for is said in the job's options; the worker, which merges and writes the config that runs, looks it
up there.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sleap_rtc.errors import ConfigError, UsageError
from sleap_rtc.jobs.matching import match_file
from sleap_rtc.jobs.yaml_data import MAX_BYTES, read_yaml
from sleap_rtc.protocol.files import is_clutter
from sleap_rtc.protocol.inference import TrackOptions
from sleap_rtc.protocol.models import ModelRef
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.transfer.merged import MergedSource
from sleap_rtc.transfer.source import FilesSource, Source

from .named_paths import KINDS, LABELS, TRAIN, VALIDATION, Kind, Named, named_by, named_in, overridden
from .package import UnreadPackage, check_contents, open_source, shown_name
from .packing import Packing

CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
MAX_CONFIGS = 16
_CONFIGS = "configs"
_Options = TypeVar("_Options", TrainOptions, TrackOptions)
_MAX_OPTIONS = 48 * 1024
"""Bytes of the options: a control message, which they are a part of, has at most 64 KiB."""
_MODELS = {
    "trainer_config.resume_ckpt_path": ("last.ckpt", "best.ckpt"),
    "model_config.pretrained_backbone_weights": ("best.ckpt", "best_model.h5"),
    "model_config.pretrained_head_weights": ("best.ckpt", "best_model.h5"),
}
"""What is taken of a model's folder."""


@dataclass(frozen=True)
class Wanted:
    """What a user asks to be trained.

    Attributes:
        package: a folder or zip; None if all is named by itself.
        configs: configs by their path.
        config_names: configs by their name in `config_dir`, with or without suffix.
        config_dir: None where it was not typed: the current folder then, and after it the package.
        labels: the files to train on.
        val_labels: the files to validate on.
        options: all else; the paths in it are the user's own.
        spelled: by key, the option that was typed for it: a mistake is told in the user's words.
        start_from: the model of the room to begin with, as it was typed.
        notes: what the user should see, a sentence each.
    """

    package: Path | None = None
    configs: tuple[str, ...] = ()
    config_names: tuple[str, ...] = ()
    config_dir: str | None = None
    labels: tuple[str, ...] = ()
    val_labels: tuple[str, ...] = ()
    options: TrainOptions = field(default_factory=TrainOptions)
    spelled: Mapping[str, str] = field(default_factory=dict)
    start_from: ModelRef | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Config:
    """A config that is trained: its path in the package, and its file unless the package has it."""

    place: str
    file: Path | None


async def assemble(wanted: Wanted) -> UnreadPackage:
    """Find every file that belongs to a training, without reading any but the configs.

    Raises:
        UsageError: if something named on the command line is not there, or means two things.
        ConfigError: if a config cannot be read, or names a file that is not there.
        PackageError: if the package, with what goes with it, cannot be trained.
    """
    return await asyncio.to_thread(_assemble, wanted)


def _assemble(wanted: Wanted) -> UnreadPackage:
    package = open_source(wanted.package) if wanted.package else None
    try:
        held = [path for path, _ in package.files() if not is_clutter(path)] if package else []
        assembly = _Assembly(wanted, held)
        options = assembly.run()
        added = FilesSource(assembly.packing.files)
        source: Source = MergedSource(package, added) if package and assembly.packing.files else package or added
        names = [path for path, _ in source.files()]
        check_contents(wanted.package, names, configured=bool(options.configs or options.preset))
        name = shown_name(wanted.package) if wanted.package else _name(options)
        return UnreadPackage(name, source, options, tuple(assembly.unasked))
    except BaseException:
        if package:
            package.close()
        raise


class _Assembly:
    """Collects the files of one training.

    Args:
        wanted: what the user named.
        held: the files of the package.

    Attributes:
        packing: the files found.
        unasked: those that only a config names, for the user to see.
    """

    def __init__(self, wanted: Wanted, held: Sequence[str]) -> None:
        self.packing = Packing(held)
        self.unasked: list[Path] = []
        self._wanted = wanted
        self._held = held

    def run(self) -> TrainOptions:
        """Collect, and return the options with each path of the user's said."""
        wanted = self._wanted
        configs = list(self._configs())
        labels = [self._typed(text, "--labels") for text in wanted.labels]
        val_labels = [self._typed(text, "--val-labels") for text in wanted.val_labels]
        for each in named_by(wanted.options.overrides):
            named = each._replace(written=wanted.spelled.get(each.key, each.written))
            if self._place(named, None) is None:
                raise UsageError(f"{_says(named)}, {_missing(named)}. Correct the path.")
        for config in configs:
            if config.file is not None:
                self._follow(config.file)
        return _checked(
            wanted.options,
            configs=tuple(dict.fromkeys(config.place for config in configs)),
            # named twice, a file counts twice, as it does for sleap-nn
            labels=tuple(labels),
            val_labels=tuple(val_labels),
            paths=dict(self.packing.meant),
        )

    def _configs(self) -> Iterator[_Config]:
        wanted = self._wanted
        for text in wanted.configs:
            file = expanded(text)
            if not _is_file(file):
                raise UsageError(f"There is no config '{printable(text, limit=200)}'. Correct the path.")
            if file.suffix.lower() not in CONFIG_SUFFIXES:
                raise UsageError(f"'{printable(text, limit=200)}' is no config: its name ends in no {_suffixes()}.")
            yield _Config(self.packing.add(_CONFIGS, file), file)
        folder = expanded(wanted.config_dir or ".")
        for name in wanted.config_names:
            yield self._named_config(name, folder)

    def _named_config(self, name: str, folder: Path) -> _Config:
        spelled = [name] if name.lower().endswith(CONFIG_SUFFIXES) else [name + suffix for suffix in CONFIG_SUFFIXES]
        file = next((folder / each for each in spelled if _is_file(folder / each)), None)
        if file is not None:
            return _Config(self.packing.add(_CONFIGS, file), file)
        if self._wanted.config_dir is None:
            held = [path for path in self._held if path.lower().endswith(CONFIG_SUFFIXES)]
            if match := next((match for each in spelled if (match := match_file(each, held))), None):
                return _Config(match, None)
        where = printable(str(folder if self._wanted.config_dir else Path.cwd()), limit=200)
        if not _is_folder(folder):
            raise UsageError(f"--config-dir names '{where}', which is no folder. Correct the path.")
        there = ", ".join(_configs_in(folder)) or "none"
        raise UsageError(
            f"There is no config '{printable(name, limit=120)}' in {where}"
            f"{' or in the package' if self._held and self._wanted.config_dir is None else ''}. "
            f"Configs in that folder: {there}. Name another folder with --config-dir."
        )

    def _typed(self, text: str, option: str) -> str:
        file = expanded(text)
        if not _is_file(file):
            raise UsageError(f"{option} names '{printable(text, limit=200)}', which is no file. Correct the path.")
        if file.suffix.lower() not in KINDS[TRAIN].suffixes:
            raise UsageError(f"{option} names '{printable(text, limit=200)}', which is no labels file (.slp).")
        return self.packing.mean(text, self.packing.add(LABELS, file))

    def _follow(self, config: Path) -> None:
        """Collect what a config names, but for what the command line says otherwise."""
        said = {key for key in KINDS if overridden(self._wanted.options.overrides, key)[0]}
        said |= {TRAIN} if self._wanted.labels else set()
        said |= {VALIDATION} if self._wanted.val_labels else set()
        shown = printable(config.name, limit=120)
        before = set(self.packing.files)
        for named in named_in(_read_config(config)):
            if named.key in said or self._place(named, config.parent) is not None:
                continue
            if named.key == TRAIN and len(self._held_of(KINDS[TRAIN])) == 1:
                continue  # the worker takes a package's only labels, whatever the config calls them
            raise ConfigError(
                f"The config '{shown}': {_says(named)}, {_missing(named)}. Correct it, or "
                f"say otherwise on the command line: {_instead(named.key)}."
            )
        self.unasked += [file for place, file in self.packing.files.items() if place not in before]

    def _place(self, named: Named, beside: Path | None) -> str | None:
        """Where the file that is named is in the package; None if there is none."""
        kind = KINDS[named.key]
        file = _find(named, beside)
        if file is None:
            match = match_file(named.text, self._held_of(kind))
            return match and self.packing.mean(named.text, match)
        if file.suffix.lower() not in kind.suffixes:
            raise UsageError(f"{_says(named)}, which does not end in {' or '.join(kind.suffixes)}. Name another file.")
        if beside is not None and file.resolve().suffix.lower() not in kind.suffixes:
            # whoever wrote the config may have put the link beside it
            raise UsageError(
                f"{_says(named)}, a link to a file that does not end in {' or '.join(kind.suffixes)}: it is sent only "
                "if you name it yourself, on the command line."
            )
        return self.packing.mean(named.text, self.packing.add(kind.folder, file))

    def _held_of(self, kind: Kind) -> list[str]:
        return [path for path in self._held if path.lower().endswith(kind.suffixes)]


def _find(named: Named, beside: Path | None) -> Path | None:
    path = expanded(named.text)
    for place in (path, beside / path) if beside else (path,):
        if _is_file(place):
            return place
        for model in _MODELS.get(named.key, ()):
            if _is_file(place / model):
                return place / model
    return None


def expanded(text: str) -> Path:
    """A path with the home folder written out, where somebody knows it."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # nobody knows whose home that is
        return Path(text)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, or a folder that is closed to us
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _configs_in(folder: Path) -> list[str]:
    try:
        found = sorted(path.name for path in folder.iterdir() if path.suffix.lower() in CONFIG_SUFFIXES)
    except OSError:
        return []
    return [printable(name, limit=80) for name in found[:8]]


def _read_config(file: Path) -> dict[str, Any]:
    shown = printable(file.name, limit=120)
    try:
        with file.open("rb") as source:
            data = source.read(MAX_BYTES + 1)
        config = json.loads(data) if file.suffix.lower() == ".json" and len(data) <= MAX_BYTES else read_yaml(data)
    except ConfigError as error:
        raise ConfigError(f"The config '{shown}' is refused: {error.sentence}.") from error
    except OSError as error:
        raise ConfigError(f"The config '{shown}' cannot be read: {error.strerror}. Check it.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The config '{shown}' is refused: it is not JSON: {printable(str(error))}.") from error
    if not isinstance(config, dict):
        raise ConfigError(f"The config '{shown}' is refused: it is not a mapping.")
    return config


def _says(named: Named) -> str:
    return f"{named.written} names '{printable(named.text, limit=200)}'"


def _missing(named: Named) -> str:
    models = _MODELS.get(named.key)
    if models and _is_folder(expanded(named.text)):
        return f"a folder that has no {' or '.join(models)}"
    return "and there is no such file on this machine"


def _instead(key: str) -> str:
    return {TRAIN: "--labels FILE", VALIDATION: "--val-labels FILE"}.get(key, "") or f"{key}=null"


def _suffixes() -> str:
    return " or ".join(CONFIG_SUFFIXES)


def _name(options: TrainOptions) -> str:
    """What a job without a package is called: by its configs, or its preset."""
    stems = [Path(place).stem for place in options.configs]
    preset = options.preset
    return printable(" + ".join(stems) or (preset.head if preset else ""), limit=256) or "package"


def _checked(options: TrainOptions, **found: object) -> TrainOptions:
    try:
        whole = TrainOptions.model_validate(options.model_dump() | found)
    except ValidationError as error:
        configs = found["configs"]
        if isinstance(configs, tuple) and len(configs) > MAX_CONFIGS:
            raise UsageError(f"{len(configs)} configs are named; at most {MAX_CONFIGS} fit into a job.") from error
        raise UsageError("Too many files are named, or their paths are too long. Put them into a package.") from error
    return check_size(whole)


def check_size(options: _Options) -> _Options:
    """Return `options` if they fit into the message that they are a part of.

    Raises:
        UsageError: if they do not.
    """
    if len(options.model_dump_json().encode()) > _MAX_OPTIONS:
        raise UsageError("The options are too long to be sent. Write them into a config, and files into a package.")
    return options
