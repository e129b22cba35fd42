"""What a package holds to train: its files, its labels, and which of its configs train, in which order."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.protocol.files import is_clutter
from sleap_rtc.protocol.text import one_line, printable
from sleap_rtc.protocol.training import TrainOptions

from .trained import ROOM_MODEL
from .yaml_data import MAX_BYTES, read_yaml

MAX_RUNS = 16
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OF_A_MODEL = frozenset(
    {"initial_config.yaml", "training_config.yaml", "initial_config.json", "training_config.json", "training_job.json"}
)
"""What is written beside a model: such a model comes along to start from, not to be trained again."""


@dataclass(frozen=True)
class Listed:
    """A config of the package to train.

    Attributes:
        path: where it lies in the package.
        run_name: what ``jobs.yaml`` calls its run.
        train_labels: what ``jobs.yaml`` trains it on.
        in_order: whether it trains where it is listed; else the first stage of a pair comes first.
    """

    path: str
    run_name: str | None = None
    train_labels: str | None = None
    in_order: bool = False


@dataclass(frozen=True)
class Package:
    """The files of a job, and those that it trains on.

    Attributes:
        files: every regular file by its path in the package.
        labels: those that hold labels.
        configs: those that are trained.
    """

    files: Mapping[str, Path]
    labels: Sequence[str]
    configs: Sequence[Listed]

    def is_legacy(self, path: str) -> bool:
        """Whether a file is a config of SLEAP 1.4 or older."""
        return path.lower().endswith(".json") and _looks_legacy(self.files[path])


def open_package(inputs: Path, options: TrainOptions) -> Package:
    """Look through the files in a job's ``inputs/``.

    Raises:
        PackageError: if there are no labels, labels that are none, no config, too many, or not what the options name.
        ConfigError: if ``jobs.yaml`` cannot be read.
    """
    found = {path.relative_to(inputs).as_posix(): path for path in _regular_files(inputs)}
    files = {name: path for name, path in found.items() if not is_clutter(name)}
    if not files:
        raise PackageError("The package is empty: it needs a labels file (.pkg.slp) and at least one training config.")
    if (odd := next((name for name in files if "${" in name), None)) is not None:
        # where a path stands in a config, sleap-nn would put another one in its place
        raise PackageError(
            f"The file name '{one_line(odd, limit=120)}' is refused: it holds '${{', which sleap-nn would replace. "
            "Rename the file."
        )
    labels = _trained_on(_labels(files), options)
    _check_named(files, labels, options)
    configs = () if options.preset else _configs(files, options)
    if len(configs) > MAX_RUNS:
        raise PackageError(f"The package holds {len(configs)} training configs; at most {MAX_RUNS} fit into a job.")
    return Package(files, labels, configs)


def read_config(path: Path) -> bytes:
    """The bytes of a config, at most one more than is allowed."""
    with path.open("rb") as source:
        return source.read(MAX_BYTES + 1)


def _regular_files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _labels(files: Mapping[str, Path]) -> list[str]:
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


def _trained_on(labels: list[str], options: TrainOptions) -> list[str]:
    """The labels without those that came along to be looked at afterwards."""
    named = {*options.labels, *options.val_labels, *options.paths.values()}
    looked_at = {data.path for data in options.then.data if data.in_package} - named if options.then else set()
    # a package whose only labels are both is trained on them
    return [path for path in labels if path not in looked_at] or labels


def _check_named(files: Mapping[str, Path], labels: Sequence[str], options: TrainOptions) -> None:
    for what, wanted, there in (
        ("config", options.configs, files),
        ("file", options.paths.values(), files),
        ("labels file", (*options.labels, *options.val_labels), labels),
    ):
        missing = next((path for path in wanted if path not in there), None)
        if missing is not None:
            raise PackageError(
                f"The job names the {what} '{printable(missing, limit=120)}', which is not in its package. "
                "Submit it again with that file."
            )


def _configs(files: Mapping[str, Path], options: TrainOptions) -> Sequence[Listed]:
    if options.configs:
        return [Listed(path) for path in dict.fromkeys(options.configs)]
    listing = next((path for path in files if PurePosixPath(path).name.lower() in ("jobs.yaml", "jobs.yml")), None)
    return (_listed(files, listing) if listing else []) or _found(files)


def _listed(files: Mapping[str, Path], listing: str) -> list[Listed]:
    """The configs that ``jobs.yaml`` lists, in its order; none where it has no training section."""
    try:
        content = read_yaml(read_config(files[listing]))
    except ConfigError as error:
        raise ConfigError(f"The file '{printable(listing, limit=120)}' is refused: {error.sentence}.") from error
    training = content.get("training") if isinstance(content, dict) else None
    entries = [entry for entry in training if isinstance(entry, dict)] if isinstance(training, list) else []
    found = []
    for entry in entries[: MAX_RUNS + 1]:
        run_path, labels = entry.get("run_path"), entry.get("train_labels")
        name = PurePosixPath(run_path.replace("\\", "/")).name if isinstance(run_path, str) else None
        path = _beside(files, listing, entry.get("cfg"))
        found.append(Listed(path, name, labels if isinstance(labels, str) else None, in_order=True))
    return found


def _beside(files: Mapping[str, Path], listing: str, cfg: object) -> str:
    name = str(cfg).replace("\\", "/")
    places = [str(PurePosixPath(listing).parent / name), str(PurePosixPath(listing).parent / PurePosixPath(name).name)]
    path = next((place for place in places if place in files), None)
    if path is None:
        raise PackageError(
            f"jobs.yaml lists the config '{printable(name, limit=120)}', which is not in the package. Add it."
        )
    return path


def _found(files: Mapping[str, Path]) -> list[Listed]:
    trained = {str(PurePosixPath(path).parent) for path in files if path.lower().endswith((".ckpt", ".h5"))}
    paths = [
        path
        for path, file in files.items()
        if not (PurePosixPath(path).name.lower() in _OF_A_MODEL and str(PurePosixPath(path).parent) in trained)
        and not path.startswith(f"{ROOM_MODEL}/")
        and _looks_like_config(path, file)
    ]
    # a config that was converted by hand, and what it was made from, are one
    stems = {str(PurePosixPath(path).with_suffix("")) for path in paths if not path.lower().endswith(".json")}
    paths = [p for p in paths if not p.lower().endswith(".json") or str(PurePosixPath(p).with_suffix("")) not in stems]
    if not paths:
        raise PackageError(
            "The package holds no training config: add the YAML file of each model to train, "
            "as SLEAP's 'Export training job package' does."
        )
    return [Listed(path) for path in sorted(paths)]


def _looks_like_config(path: str, file: Path) -> bool:
    if path.lower().endswith(".json"):
        return _looks_legacy(file)
    if not path.lower().endswith((".yaml", ".yml")):
        return False
    data = read_config(file)
    return b"model_config" in data and b"trainer_config" in data


def _looks_legacy(file: Path) -> bool:
    data = read_config(file)
    return b'"optimization"' in data and b'"model"' in data
