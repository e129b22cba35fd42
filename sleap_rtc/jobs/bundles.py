"""Makes the bundle of a job that is over: what its runs trained, and ``model.json`` beside it.

A job may be made to go on while it is copied from, and change anything in its folder: each file is opened below the
folder that is its own, no link is followed, and what was read of a job that went on meanwhile is thrown away.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sleap_rtc.config.durable import sync_folder
from sleap_rtc.errors import NotFoundError, ProtocolError
from sleap_rtc.protocol.jobs import JobSpec, Verb
from sleap_rtc.protocol.models import RECORD, BundleFile, ModelFormat, ModelPart, ModelRecord, Parent, bundle_digest
from sleap_rtc.protocol.options import JobOptions
from sleap_rtc.protocol.training import TrainOptions

from .below import BY_DESCRIPTOR, NotThereError, folder_below
from .bundles_reading import CONFIG, MAX_CONFIG, MAX_METRICS, METRICS, describe_run
from .files import write_atomically
from .folder import JobFolder, is_plain
from .outline import Outline

BEST = "best.ckpt"
KEPT = (BEST, "initial_config.yaml", CONFIG, "training_log.csv")
"""The files of a run that make up a model, beside those that begin with ``metrics.``."""
MAX_FILES = 1024
_MAX_PARTS = 16
_BLOCK = 1024 * 1024
_MARK = "models.json"
_CAREFULLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@dataclass(frozen=True)
class Bundle:
    """A bundle that is whole, on this machine.

    Attributes:
        folder: where it lies.
        digest: its digest, ``model.json`` included.
        size: bytes of its files.
        record: its ``model.json``.
    """

    folder: Path
    digest: str
    size: int
    record: ModelRecord


class Mark(BaseModel):
    """``models.json`` of a job: which bundle was made of its end at `t`, in UTC milliseconds; None of one without."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    t: int
    digest: str | None = None


def mark_of(folder: JobFolder) -> Mark | None:
    """What was noted about a job's bundle; None if it was not looked at. Blocks."""
    try:
        return Mark.model_validate_json((folder.control / _MARK).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_mark(folder: JobFolder, mark: Mark) -> None:
    """Note that a job was looked at; on disk when this returns. Blocks.

    Raises:
        StorageError: if the disk refuses.
    """
    write_atomically(folder.control / _MARK, mark.model_dump_json().encode())


def make_bundle(folder: JobFolder, target: Path) -> Bundle | None:
    """Copy what a job trained, and write its ``model.json``; on disk when this returns. Blocks.

    Made twice of the same end of a job, it is the same, byte by byte.

    Args:
        folder: a job that is over.
        target: an empty folder for the bundle.

    Returns:
        The bundle; None if the job trained nothing, or went on meanwhile.

    Raises:
        SleapRTCError, OSError: if the job cannot be read, or the bundle not be written.
    """
    ended = folder.state()
    spec = folder.spec()
    types = {run.name: run.model_type for run in spec.runs if run.verb is Verb.TRAIN}
    files: list[BundleFile] = []
    parts: list[ModelPart] = []
    versions: list[str] = []
    for name, group in groupby(folder.results(), key=lambda file: file.path.partition("/")[0]):
        names = [path for file in group if _is_kept(path := file.path.partition("/")[2])]
        if name in types and BEST in names and CONFIG in names and len(parts) < _MAX_PARTS:
            copied = copy_run(folder, name, names, target / name)
            files += copied
            part, version = _described(target / name, types[name])
            parts.append(part)
            versions.append(version)
    if not parts or folder.state().t != ended.t:
        return None
    record = _record(folder, spec, parts, files, versions[-1], ended.t)
    return finish_bundle(target, record)


def claimed_size(folder: JobFolder, is_kept: Callable[[str], bool] | None = None) -> int:
    """Bytes of what a bundle copies, as large as it says it is: holes take nothing where they lie. Blocks.

    Args:
        folder: the job's.
        is_kept: tells of a file of a run, by its name, whether it is copied; what `make_bundle` copies without it.

    Raises:
        SleapRTCError, OSError: if the job cannot be read.
    """
    is_kept = is_kept or _is_kept
    kept = (file.source for file in folder.results() if is_kept(file.path.partition("/")[2]))
    return sum(path.lstat().st_size for path in kept)


def finish_bundle(target: Path, record: ModelRecord) -> Bundle:
    """Write ``model.json`` beside the files that it names; on disk when this returns. Blocks.

    Raises:
        StorageError, OSError: if the disk refuses.
    """
    data = record.to_bytes()
    write_atomically(target / RECORD, data)
    sync_folder(target)
    listed = [(file.path, file.sha256) for file in record.files]
    digest = bundle_digest([*listed, (RECORD, hashlib.sha256(data).hexdigest())])
    return Bundle(target, digest, sum(file.size for file in record.files) + len(data), record)


def loss_of(folder: JobFolder, part: str) -> float | None:
    """The best validation loss of a job's run, out of its journal. Blocks."""
    outline = Outline(folder.events)
    outline.update()
    run = outline.runs.get(part)
    return run.loss if run is not None else None


def read_small(path: Path, limit: int) -> bytes:
    """What a plain file holds; nothing if there is none, or it is larger. Blocks."""
    try:
        with _opened(path) as file:
            data = file.read(limit + 1)
    except (OSError, NotFoundError):
        return b""
    return data if len(data) <= limit else b""


def _is_kept(name: str) -> bool:
    return "/" not in name and (name in KEPT or name.startswith("metrics."))


def copy_run(folder: JobFolder, run: str, names: list[str], target: Path) -> list[BundleFile]:
    """Copy files of one of a job's runs into a new folder; on disk when this returns. Blocks.

    Raises:
        NotFoundError: if the job has taken one of them away, or put something else there.
        OSError: if one cannot be read, or written.
    """
    target.mkdir(mode=0o700)
    found = []
    with _opener(folder, run) as opener:
        for name in sorted(names)[: MAX_FILES // _MAX_PARTS]:
            with _regular(opener(name), name) as source:
                size, sha256 = _copy(source, target / name)
            found.append(BundleFile(path=f"{run}/{name}", size=size, sha256=sha256))
    sync_folder(target)
    return found


class _Opener:
    """Opens files of a folder that a job may change: by its descriptor, where the system can."""

    def __init__(self, at: int | Path) -> None:
        self._at = at

    def __call__(self, name: str) -> int:
        if isinstance(self._at, Path):
            return os.open(self._at / name, _CAREFULLY)
        return os.open(name, _CAREFULLY, dir_fd=self._at)


@contextmanager
def _opener(folder: JobFolder, run: str) -> Iterator[_Opener]:
    root = folder.path.resolve()
    parts = (folder.work.name, folder.models.name, run)
    try:
        with folder_below(root, parts) as at:
            yield _Opener(at if BY_DESCRIPTOR else root.joinpath(*parts))
    except NotThereError as error:
        raise NotFoundError(f"The folder '{run}' of the job {folder.job} {error.why}.") from error


def _opened(path: Path) -> BufferedReader:
    return _regular(os.open(path, _CAREFULLY), path.name)


def _regular(descriptor: int, name: str) -> BufferedReader:
    """A file that may be a link or a pipe by now: neither is followed or waited for, nor another name of a file."""
    file = open(descriptor, "rb")  # noqa: SIM115 - a descriptor has no path
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or state.st_nlink != 1:
        file.close()
        raise NotFoundError(f"'{name}' of the job is no file any more.")
    return file


def _copy(source: BufferedReader, target: Path) -> tuple[int, str]:
    whole, size = hashlib.sha256(), 0
    most = os.fstat(source.fileno()).st_size
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "wb") as sink:
        while block := source.read(_BLOCK):
            whole.update(block)
            size += len(block)
            if size > most:
                raise NotFoundError(f"'{target.name}' of the job grows while it is copied.")
            if block.count(0) == len(block):
                # where a file has a hole, its copy has one: a job pays for the disk that its models take
                sink.seek(len(block), os.SEEK_CUR)
            else:
                sink.write(block)
        sink.truncate(size)
        sink.flush()
        os.fsync(sink.fileno())
    return size, whole.hexdigest()


def _described(run: Path, model_type: str) -> tuple[ModelPart, str]:
    # what was copied is read: the job cannot change it any more
    config, metrics = read_small(run / CONFIG, MAX_CONFIG), read_small(run / METRICS, MAX_METRICS)
    return describe_run(run.name, model_type, config, metrics)


def _record(
    folder: JobFolder, spec: JobSpec, parts: list[ModelPart], files: list[BundleFile], version: str, made: int
) -> ModelRecord:
    record = ModelRecord(
        format=_FORMAT,
        parts=tuple(parts),
        files=tuple(sorted(files, key=lambda file: file.path)),
        sleap_nn=version,
        job=spec.job,
        manifest=spec.manifest,
        labels=_labels(folder),
        options=spec.options.model_dump(mode="json"),
        parent=_parent(spec.options),
        made_by=spec.owner.name,
        made=made,
    )
    try:
        ModelRecord.from_bytes(record.to_bytes())
    except ProtocolError:
        # what was asked for is as large as its submitter likes; nobody could read it
        return record.model_copy(update={"options": None})
    return record


def _parent(options: JobOptions) -> Parent | None:
    begun = options.start_from if isinstance(options, TrainOptions) else None
    return Parent(digest=begun.digest, name=begun.name, version=begun.version) if begun else None


_FORMAT: ModelFormat = "sleap-nn"
_MOST_LABELS = 256


def _labels(folder: JobFolder) -> dict[str, str]:
    """The digests of the labels files of a package, which the job can only read."""
    found = {}
    for path in sorted(folder.inputs.rglob("*.slp"))[:_MOST_LABELS]:
        name = path.relative_to(folder.inputs).as_posix()
        if is_plain(path) and len(name) <= 128:
            with suppress(OSError, NotFoundError), _opened(path) as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
