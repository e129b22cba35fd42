"""The models that a job has left: which, how large, and by which digest their files are known."""

import hashlib
import os
import stat
from collections.abc import Sequence
from io import BufferedReader
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from sleap_rtc.errors import NotFoundError

from .files import write_atomically
from .folder import JobFolder, ResultFile
from .outline import Outline, RunOutline

BEST = "best.ckpt"
_CAREFULLY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class HeldModel(BaseModel):
    """One model of a job, the result of one run.

    Attributes:
        name: the run's name, which is its folder's.
        model_type: sleap-nn's name of the head.
        digest: SHA-256 over the lines that ``sha256sum`` prints for its files, ordered by path.
        size: bytes of its files.
        loss: its best validation loss.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str
    model_type: str
    digest: str
    size: int
    loss: float | None = None


class Holdings(BaseModel):
    """``models.json``: what a job has left, as of its end at `t`, in UTC milliseconds."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    t: int
    models: tuple[HeldModel, ...] = ()


def find_holdings(folder: JobFolder) -> Holdings:
    """The models of a job that is over; their files are read once and the answer is kept beside them. Blocks.

    Raises:
        SleapRTCError, OSError: if the folder cannot be read, or the answer not be kept.
    """
    ended = folder.state().t
    path = folder.control / "models.json"
    try:
        kept = Holdings.model_validate_json(path.read_bytes())
        if kept.t == ended:
            return kept
    except (FileNotFoundError, ValidationError):
        pass  # not looked at yet, or half a file: made again below
    found = Holdings(t=ended, models=tuple(_models(folder)))
    if folder.state().t != ended:
        return Holdings(t=ended)  # it went on meanwhile: what was read may be anything
    write_atomically(path, found.model_dump_json().encode())
    return found


def _models(folder: JobFolder) -> list[HeldModel]:
    outline = Outline(folder.events)
    outline.update()
    types = {run.name: run.model_type for run in folder.spec().runs}
    found = []
    for name, group in groupby(folder.results(), key=lambda file: file.path.partition("/")[0]):
        files = [file._replace(path=file.path.removeprefix(f"{name}/")) for file in group]
        if name in types and any(file.path == BEST for file in files):
            digest, size = _measure(files)
            loss = outline.runs.get(name, RunOutline()).loss
            found.append(HeldModel(name=name, model_type=types[name], digest=digest, size=size, loss=loss))
    return found


def _measure(files: Sequence[ResultFile]) -> tuple[str, int]:
    whole, size = hashlib.sha256(), 0
    for file in sorted(files):
        with _opened(file.source) as source:
            whole.update(f"{hashlib.file_digest(source, 'sha256').hexdigest()}  {file.path}\n".encode())
            size += source.tell()
    return whole.hexdigest(), size


def _opened(path: Path) -> BufferedReader:
    """A file that may be a link or a pipe by now, where its job goes on: neither is followed or waited for."""
    file = open(os.open(path, os.O_RDONLY | _CAREFULLY), "rb")  # noqa: PTH123, SIM115 - a descriptor has no path
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise NotFoundError(f"'{path.name}' of the job is no file any more.")
    return file
