"""What ``sleap-rtc status`` reports: the user, the service, rooms and workers, and what lies on this machine."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sleap_rtc.client.pending import PendingJob, PendingJobs
from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.config.paths import home
from sleap_rtc.config.settings import Settings
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError, StorageError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import Room, ServiceAPI, find_room
from sleap_rtc.transfer.store import Store


@dataclass(frozen=True)
class LocalJob:
    """A job in this machine's jobs folder.

    Attributes:
        state: where it stands; None if its folder cannot be read.
        submitted: when it came, in UTC milliseconds.
        size: bytes on disk.
    """

    job: str
    name: str
    state: str | None
    owner: str
    submitted: int
    size: int


@dataclass(frozen=True)
class StoreUse:
    """What this machine's store takes.

    Attributes:
        folder: where it is.
        size: bytes of whole files and of parts.
        max_bytes: what it may take before the oldest files go.
    """

    folder: Path
    size: int
    max_bytes: int


@dataclass(frozen=True)
class Survey:
    """Everything there is to report.

    Attributes:
        login: who is logged in at the service by this machine's files; None if nobody is.
        version: the service's; None if it does not answer.
        problems: what could not be found out, and why.
        default_room: the default room among `rooms`; None without one.
        workers: those of the default room that are online.
        pending: jobs sent from here whose models have not come home.
        local: jobs of this machine's worker.
        store: the files kept of transfers; None if there never was one.
    """

    login: Login | None
    version: str | None
    problems: tuple[str, ...]
    rooms: tuple[Room, ...]
    default_room: Room | None
    workers: tuple[WorkerPresence, ...]
    pending: tuple[PendingJob, ...]
    local: tuple[LocalJob, ...]
    store: StoreUse | None


async def look_around(settings: Settings, timeouts: Timeouts) -> Survey:
    """Ask the service and look into our folders.

    Args:
        settings: the service and the default room.
        timeouts: how long to wait for the service.

    Raises:
        ConfigError: if our own files are damaged or open to others.
    """
    login = Credentials().login(settings.server)
    async with asyncio.TaskGroup() as tasks:
        remote = tasks.create_task(_ask_service(settings, login, timeouts))
        local = tasks.create_task(asyncio.to_thread(local_jobs, home() / "jobs"))
        pending = tasks.create_task(asyncio.to_thread(PendingJobs().all))
        store = tasks.create_task(_look_at_store(home() / "store", settings.limits.max_store))
    version, problems, rooms, default, workers = remote.result()
    use, problem = store.result()
    if problem:
        problems.append(problem)
    return Survey(
        login=login,
        version=version,
        problems=tuple(problems),
        rooms=tuple(rooms),
        default_room=default,
        workers=tuple(workers),
        pending=tuple(pending.result()),
        local=tuple(local.result()),
        store=use,
    )


async def _look_at_store(folder: Path, max_bytes: int | None) -> tuple[StoreUse | None, str | None]:
    """What the store takes, or why that cannot be said."""
    try:
        return await asyncio.to_thread(store_use, folder, max_bytes), None
    except StorageError as error:
        return None, error.sentence


def store_use(folder: Path, max_bytes: int | None) -> StoreUse | None:
    """What a store takes; None where there is none. It is left as it is. Blocks.

    Args:
        folder: where it is.
        max_bytes: its cap where one is set.

    Raises:
        StorageError: if it cannot be read.
    """
    if not folder.is_dir():
        return None
    return StoreUse(folder, *Store.look(folder, max_bytes=max_bytes))


_Answers = tuple[str | None, list[str], Sequence[Room], Room | None, Sequence[WorkerPresence]]


async def _ask_service(settings: Settings, login: Login | None, timeouts: Timeouts) -> _Answers:
    version: str | None = None
    rooms: Sequence[Room] = ()
    default: Room | None = None
    workers: Sequence[WorkerPresence] = ()
    problems: list[str] = []
    try:
        version = (await ServiceAPI(settings.server, timeouts=timeouts).health()).version
        if login is not None:
            api = ServiceAPI(settings.server, Account(settings.server, timeouts=timeouts), timeouts=timeouts)
            rooms = await api.rooms()
            if settings.default_room is not None:
                default = find_room(rooms, settings.default_room)
                workers = await api.workers(default.room_id)
    except SleapRTCError as error:
        problems.append(error.sentence)
    return version, problems, rooms, default, workers


def local_jobs(folder: Path) -> list[LocalJob]:
    """The jobs in a worker's folder, the oldest first. Blocks."""
    paths = [path for path in folder.glob("j_*") if is_id("job", path.name)] if folder.is_dir() else []
    return sorted(map(_local_job, paths), key=lambda each: (each.submitted, each.job))


def _local_job(path: Path) -> LocalJob:
    size = _size(path)
    try:
        spec, state = JobFolder(path).spec(), JobFolder(path).state_or_none()
    except (SleapRTCError, OSError):
        return LocalJob(path.name, "", None, "", 0, size)
    name = str(state.state) if state else None
    return LocalJob(path.name, spec.name, name, spec.owner.name, spec.submitted, size)


def _size(path: Path) -> int:
    """Bytes of the files below a folder; links are not followed, and what vanishes meanwhile does not count."""
    total = 0
    for root, _, names in os.walk(path):
        for name in names:
            try:
                total += Path(root, name).lstat().st_size
            except OSError:
                continue
    return total
