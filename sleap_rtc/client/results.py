"""Bringing a job's models home: all or nothing, and never over something that is there."""

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from sleap_rtc.client.link import WorkerLink
from sleap_rtc.errors import ConflictError, JobFailedError, ProtocolError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.disk import make_folder, storage_error
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.store import Store

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


async def fetch_results(
    link: WorkerLink,
    job: str,
    output: Path,
    store: Store,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
) -> list[Path]:
    """Download a job's run folders into `output`.

    Args:
        link: the worker that has them.
        job: the job's id.
        output: the folder they go to, chosen here and never by the peer; made where missing.
        store: keeps what arrived, whole and in parts.
        on_bytes: told the bytes received so far and those there are.

    Returns:
        The run folders as they are named here.

    Raises:
        JobFailedError: if the job left no model.
        StorageError: if `output` cannot be written.
    """
    staging = output / f".{job}.part"
    # a worker's files are its own: what another worker left in the store is not there for this one to find out
    target = Target(store, link.worker_id, staging / "files")
    manifest = await link.call(lambda session: Fetch(session, job, target).manifest())
    if not manifest.files:
        raise JobFailedError(f"The job {job} left no model. See its log: sleap-rtc jobs logs {job}")
    _check_names(manifest)
    await asyncio.to_thread(make_folder, target.folder)
    async with _alone(staging):
        if (staging / "ready").exists():  # an earlier attempt died between the first and the last rename
            return await asyncio.to_thread(_publish, staging, output)

        async def fetch_all(session: Session) -> None:
            progress = Progress(lambda here, arrived: on_bytes(here + arrived, manifest.total_size))
            await Fetch(session, job, target, progress).files(manifest)

        await link.call(fetch_all)
        await asyncio.to_thread(target.folder.rename, staging / "ready")
        return await asyncio.to_thread(_publish, staging, output)


def _check_names(manifest: Manifest) -> None:
    """A peer names files inside run folders, and run folders as runs are named: nothing else appears in `output`."""
    for entry in manifest.files:
        run, slash, _ = entry.path.partition("/")
        if not slash or not RUN_NAME.fullmatch(run):
            raise ProtocolError("The worker offers a file that belongs to no run. Nothing was written.")


@asynccontextmanager
async def _alone(staging: Path) -> AsyncIterator[None]:
    """Hold the staging folder against another terminal that fetches the same job."""
    lock = staging / "lock"
    await asyncio.to_thread(_take_lock, lock)
    try:
        yield
    finally:
        # gone already where the folder was published
        lock.unlink(missing_ok=True)


def _take_lock(lock: Path) -> None:
    for _ in range(2):
        try:
            with lock.open("x") as file:
                file.write(str(os.getpid()))
            return
        except FileExistsError:
            owner = lock.read_text()
            if owner.isdigit() and psutil.pid_exists(int(owner)):
                break
            lock.unlink(missing_ok=True)  # left behind by a process that was killed
    raise ConflictError(f"Another sleap-rtc is bringing this job to {lock.parent.parent}. Wait until it is done.")


def _publish(staging: Path, output: Path) -> list[Path]:
    """Move the run folders, which are whole, to their place."""
    umask = _umask()
    folders = []
    try:
        for run in sorted((staging / "ready").iterdir()):
            folder = _free_name(output / run.name)
            _share(run, umask)
            run.rename(folder)
            folders.append(folder)
        shutil.rmtree(staging)
    except OSError as error:
        raise storage_error(error, output) from error
    return folders


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _share(folder: Path, umask: int) -> None:
    """Give a run folder the modes of any file that the user makes; on its way it was private."""
    for path in (folder, *folder.rglob("*")):
        path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)


def _free_name(wanted: Path) -> Path:
    free, number = wanted, 2
    while free.exists() or free.is_symlink():
        free = wanted.with_name(f"{wanted.name}-{number}")
        number += 1
    return free
