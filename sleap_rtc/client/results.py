"""Bringing a job's models home: all or nothing, and never over something that is there."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

from sleap_rtc.client.link import WorkerLink
from sleap_rtc.errors import JobFailedError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.transfer.fetch import fetch_files, fetch_manifest
from sleap_rtc.transfer.landing import Landing, storage_error


async def fetch_results(
    link: WorkerLink, job: str, output: Path, on_bytes: Callable[[int, int], None] = lambda done, total: None
) -> list[Path]:
    """Download a job's run folders into `output`.

    Args:
        link: the worker that has them.
        job: the job's id.
        output: the folder they go to, chosen here and never by the peer; made where missing.
        on_bytes: told the bytes received so far and those there are.

    Returns:
        The run folders as they are named here.

    Raises:
        JobFailedError: if the job left no model.
        StorageError: if `output` cannot be written.
    """
    manifest = await link.call(lambda session: fetch_manifest(session, job))
    if not manifest.files:
        raise JobFailedError(f"The job {job} left no model. Train again with --logs to see what sleap-nn says.")
    staging = output / f".{job}.part"
    try:
        landing = await asyncio.to_thread(Landing, staging / "files", staging / "parts")
    except OSError as error:
        raise storage_error(error, output) from error

    async def fetch_all(session) -> None:  # type: ignore[no-untyped-def]
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size
            on_bytes(done, manifest.total_size)

        await fetch_files(session, job, manifest, landing, count)

    await link.call(fetch_all)
    return await asyncio.to_thread(_publish, manifest, staging, output)


def _publish(manifest: Manifest, staging: Path, output: Path) -> list[Path]:
    runs = sorted({entry.path.split("/")[0] for entry in manifest.files})
    folders = []
    try:
        for run in runs:
            folder = _free_name(output / run)
            (staging / "files" / run).rename(folder)
            folder.chmod(0o755)
            folders.append(folder)
        shutil.rmtree(staging)
    except OSError as error:
        raise storage_error(error, output) from error
    return folders


def _free_name(wanted: Path) -> Path:
    free, number = wanted, 2
    while free.exists() or free.is_symlink():
        free = wanted.with_name(f"{wanted.name}-{number}")
        number += 1
    return free
