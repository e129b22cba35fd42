"""What an inference's results are called on this machine: by what the user named, never by what a worker says."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sleap_rtc.client.packing import safe_name
from sleap_rtc.client.results import RUN_NAME, RunFolders
from sleap_rtc.errors import ConflictError, ProtocolError, StorageError, UsageError
from sleap_rtc.protocol.files import Manifest, folded
from sleap_rtc.protocol.text import printable

LABELS = ".slp"
PREDICTIONS = ".predictions.slp"
ANALYSIS = ".analysis.h5"
SUGGESTIONS = ".suggestions.pkg.slp"
"""How a copy of labels ends that is sent with the images of their suggested frames."""
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,199}")


@dataclass(frozen=True)
class PredictionFiles:
    """An inference's results: for each run one labels file, and beside it what else was asked for.

    Attributes:
        names: by run, what its labels file is called here; by the run, where nothing is said.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    what = "predictions"

    def check(self, manifest: Manifest) -> None:
        """See that each run has labels, one file of them, and nothing but analysis files beside it.

        Raises:
            ProtocolError: if the worker offers something else.
        """
        labels: dict[str, int] = {}
        for entry in manifest.files:
            run, _, name = entry.path.partition("/")
            if not RUN_NAME.fullmatch(run) or not _FILE.fullmatch(name) or not name.endswith((LABELS, ANALYSIS)):
                raise ProtocolError("The worker offers a file that is no prediction. Nothing was written.")
            labels[run] = labels.get(run, 0) + name.endswith(LABELS)
        if any(count != 1 for count in labels.values()):
            raise ProtocolError("The worker offers a run without predictions, or with several. Nothing was written.")

    def places(self, ready: Path) -> Iterable[tuple[Path, str]]:
        """The files and their names. Blocks."""
        for run in sorted(ready.iterdir()):
            yield from self.places_of(run)

    def places_of(self, run: Path) -> Iterator[tuple[Path, str]]:
        """The files of one run. Blocks."""
        return _places_of(run, self.names.get(run.name) or f"{run.name}{PREDICTIONS}")


@dataclass(frozen=True)
class ModelsAndPredictions:
    """What a training leaves that looks at data afterwards: a folder for each model, and predictions elsewhere.

    Attributes:
        tracked: the runs that look at something.
        predictions: what theirs are called.
        folder: where those go; the folder of the models is said where they are fetched.
    """

    tracked: frozenset[str]
    predictions: PredictionFiles
    folder: Path
    what = "model"

    def check(self, manifest: Manifest) -> None:
        """See that each run has what is to be expected of it.

        Raises:
            ProtocolError: if the worker offers something else.
        """
        predictions = tuple(entry for entry in manifest if entry.path.partition("/")[0] in self.tracked)
        RunFolders().check(Manifest(files=tuple(entry for entry in manifest if entry not in predictions)))
        self.predictions.check(Manifest(files=predictions))

    def places(self, ready: Path) -> Iterable[tuple[Path, str]]:
        """Folders and files, and their names: of predictions whole paths. Blocks."""
        folder = self.folder.absolute()
        for run in sorted(ready.iterdir()):
            if run.name not in self.tracked:
                yield run, run.name
                continue
            folder.mkdir(parents=True, exist_ok=True)
            for path, name in self.predictions.places_of(run):
                yield path, str(folder / name)


def _places_of(run: Path, name: str) -> Iterator[tuple[Path, str]]:
    stem = without_ending(name)
    analyses = sorted(run.glob(f"*{ANALYSIS}"))
    for labels in run.glob(f"*{LABELS}"):
        yield labels, name
    for analysis in analyses:
        # one for each video that the labels were about
        which = f".{analysis.name.removesuffix(ANALYSIS)}" if len(analyses) > 1 else ""
        yield analysis, f"{stem}{which}{ANALYSIS}"


def without_ending(name: str) -> str:
    """A labels file's name without what says that it is one."""
    return name.removesuffix(LABELS).removesuffix(".predictions").removesuffix(".pkg") or name


@dataclass(frozen=True)
class Output:
    """Where predictions go.

    Attributes:
        folder: which folder.
        names: what each input's are called there, in the order of the inputs.
    """

    folder: Path
    names: tuple[str, ...]

    def layout(self, runs: Sequence[str]) -> PredictionFiles:
        """The names by run.

        Args:
            runs: the job's runs, one for each input and in their order.
        """
        return PredictionFiles(dict(zip(runs, self.names, strict=False)))


def find_output(
    data: Sequence[str],
    output: Path | None,
    *,
    analysis: bool = False,
    option: str = "-o",
    beside: Path | None = None,
) -> Output:
    """Decide where predictions go, and see that nothing is in their way. Blocks.

    Args:
        data: what the user named, on this machine or on the worker.
        output: what was typed: a file for one input, else a folder; the current folder by default.
        analysis: whether analysis files come beside them.
        option: how `output` is typed.
        beside: the copy of labels that `-o` names and that they go beside, where they are merged.

    Raises:
        UsageError: if one file is to hold the predictions of several inputs.
        ConflictError: if a file is there already.
        StorageError: if nothing can be written there.
    """
    if output is not None and output.suffix.lower() == LABELS and not output.is_dir():
        if len(data) > 1:
            raise UsageError(
                f"{option} names one file, {printable(str(output), limit=200)}, and there are {len(data)} inputs. Give "
                "a folder."
            )
        found = Output(output.parent, (output.name,))
    else:
        found = Output(output or Path(), tuple(_names(data)))
    check_writable(found.folder, option)
    way_out = other_name(option)
    if beside:
        way_out = f"let {option} name a copy in another folder, such as other/{printable(beside.name)}"
    for name in found.names:
        check_free(found.folder / name, way_out)
        if analysis:
            check_free(found.folder / f"{without_ending(name)}{ANALYSIS}", way_out)
    return found


def _names(data: Sequence[str]) -> Iterator[str]:
    taken: set[str] = set()
    for text in data:
        stem = stem_of(text)
        name, number = f"{stem}{PREDICTIONS}", 1
        while folded(name) in taken:
            number += 1
            name = f"{stem}-{number}{PREDICTIONS}"
        taken.add(folded(name))
        yield name


def stem_of(text: str) -> str:
    """What an input is called without its folder and its ending."""
    name = PurePosixPath(text.replace("\\", "/")).name
    stem = name.removesuffix(".slp").removesuffix(".pkg") if name.lower().endswith(".slp") else Path(name).stem
    return safe_name(stem)


def other_name(option: str) -> str:
    """What a user can do about a name that is taken, but move what has it."""
    return f"choose another name with {option}"


def check_free(path: Path, way_out: str) -> None:
    """See that nothing has this name. Blocks.

    Args:
        path: the name.
        way_out: what the user can do but move it.

    Raises:
        ConflictError: if something has.
    """
    if os.path.lexists(path):
        raise ConflictError(
            f"{printable(str(path), limit=300)} is there already, and nothing is overwritten. Move it, or {way_out}."
        )


def check_writable(folder: Path, option: str = "-o") -> None:
    """See that files can be made in a folder, which need not be there yet. Blocks.

    Raises:
        StorageError: if they cannot.
    """
    shown = printable(str(folder), limit=300)
    nearest = folder.absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise StorageError(f"{shown} cannot hold predictions: {nearest} is no folder. Choose another with {option}.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StorageError(f"Nothing can be written to {shown}: {nearest} is closed to you. Choose another: {option}.")
