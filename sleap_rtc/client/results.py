"""Bringing a job's results home: all or nothing, and never over something that is there."""

import asyncio
import errno
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from sleap_rtc.client.link import WorkerLink
from sleap_rtc.client.staging import alone, share
from sleap_rtc.errors import JobFailedError, ProtocolError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.disk import make_folder, storage_error
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.store import Store

_ENDINGS = (".predictions.slp", ".analysis.h5", ".slp", ".h5")
"""What files of ours end with: a number that makes a name free goes before it."""
RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Layout(Protocol):
    """What a job's results are, and what they are called here."""

    what: str
    """What there should be, for a sentence: ``model``."""

    def check(self, manifest: Manifest) -> None:
        """See that a worker offers nothing else.

        Raises:
            ProtocolError: if it does.
        """

    def places(self, ready: Path) -> Iterable[tuple[Path, str]]:
        """What of `ready`, where all is whole, goes under which name into the folder for the results. Blocks."""


class RunFolders:
    """A training's results: a folder for each of its runs, called like the run."""

    what = "model"

    def check(self, manifest: Manifest) -> None:
        """See that files lie in run folders, and run folders are named as runs are: nothing else appears."""
        for entry in manifest.files:
            run, slash, _ = entry.path.partition("/")
            if not slash or not RUN_NAME.fullmatch(run):
                raise ProtocolError("The worker offers a file that belongs to no run. Nothing was written.")

    def places(self, ready: Path) -> Iterable[tuple[Path, str]]:
        """The run folders. Blocks."""
        return [(run, run.name) for run in sorted(ready.iterdir())]


MODELS = RunFolders()


async def fetch_results(
    link: WorkerLink,
    job: str,
    output: Path,
    store: Store,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
    layout: Layout = MODELS,
) -> list[Path]:
    """Download a job's results into `output`.

    Args:
        link: the worker that has them.
        job: the job's id.
        output: the folder they go to, chosen here and never by the peer; made where missing.
        store: keeps what arrived, whole and in parts.
        on_bytes: told the bytes received so far and those there are.
        layout: what they are, and what they are called here.

    Returns:
        The folders or files as they are named here.

    Raises:
        JobFailedError: if the job left nothing.
        ProtocolError: if the worker offers something else.
        StorageError: if `output` cannot be written.
    """
    staging = output / f".{job}.part"
    # a worker's files are its own: what another worker left in the store is not there for this one to find out
    target = Target(store, link.worker_id, staging / "files")
    manifest = await link.call(lambda session: Fetch(session, job, target).manifest())
    if not manifest.files:
        raise JobFailedError(f"The job {job} left no {layout.what}. See its log: sleap-rtc jobs logs {job}")
    layout.check(manifest)
    await asyncio.to_thread(make_folder, target.folder)
    async with alone(staging, "this job", output):
        if (staging / "ready").exists():  # an earlier attempt died between the first and the last rename
            return await asyncio.to_thread(_publish, staging, output, layout)

        async def fetch_all(session: Session) -> None:
            progress = Progress(lambda here, arrived: on_bytes(here + arrived, manifest.total_size))
            await Fetch(session, job, target, progress).files(manifest)

        await link.call(fetch_all)
        await asyncio.to_thread(target.folder.rename, staging / "ready")
        return await asyncio.to_thread(_publish, staging, output, layout)


def _publish(staging: Path, output: Path, layout: Layout) -> list[Path]:
    """Move what is whole to its place, one rename each."""
    moved = []
    try:
        for path, name in layout.places(staging / "ready"):
            share(path)
            moved.append(move_free(path, output / name))
        shutil.rmtree(staging)
    except OSError as error:
        raise storage_error(error, output) from error
    return moved


def move_free(path: Path, wanted: Path) -> Path:
    """Move a file or folder that is whole to its place, or beside what is there by now; return where it is. Blocks."""
    if wanted.exists() and wanted.samefile(path):  # an earlier attempt died between the two lines below
        path.unlink()
        return wanted
    while True:
        place = _free_name(wanted, folder=path.is_dir())
        if path.is_dir():
            return path.rename(place)
        try:
            # unlike a rename, a link never takes another file's place
            place.hardlink_to(path)
        except FileExistsError:
            continue
        except OSError as error:
            if error.errno == errno.EXDEV:
                return _from_another_disk(path, wanted)
            return path.rename(place)  # a disk without links
        path.unlink()
        return place


def _from_another_disk(path: Path, wanted: Path) -> Path:
    """Copy a file beside its place, so that it appears there whole, and take it away where it was."""
    beside = wanted.with_name(f".{secrets.token_hex(6)}{wanted.suffix}")
    try:
        shutil.copyfile(path, beside)
        shutil.copymode(path, beside)
        place = move_free(beside, wanted)
    finally:
        beside.unlink(missing_ok=True)
    path.unlink()
    return place


def _free_name(wanted: Path, *, folder: bool) -> Path:
    ending = "" if folder else next((each for each in _ENDINGS if wanted.name.endswith(each)), "")
    stem = wanted.name.removesuffix(ending)
    free, number = wanted, 2
    while free.exists() or free.is_symlink():
        free = wanted.with_name(f"{stem}-{number}{ending}")
        number += 1
    return free
