"""Packages that are looked at and not run.

Each gets a folder like a job's, which is no job: its name is hidden, so nothing lists or queues it, and the next start
of a worker removes what a crash has left of it.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sleap_rtc.config.finishing import to_the_end
from sleap_rtc.errors import BusyError
from sleap_rtc.protocol.inspecting import InspectedLabels, InspectedRun, RunSettings
from sleap_rtc.protocol.jobs import JobSpec, Verb

from .describing import settings_of
from .files import remove_tree
from .folder import JobFolder
from .plan import Plan
from .staging import Staging
from .yaml_data import MAX_OWN_BYTES, read_yaml

MAX_INSPECTED = 3
"""Packages of one owner that are looked at at once: each is a copy on the disk."""


class Look(NamedTuple):
    """What a package came to: the trainings, the labels as far as known, and what its sender should know."""

    runs: tuple[InspectedRun, ...]
    labels: InspectedLabels | None
    notices: tuple[str, ...]


class Inspections:
    """The packages that are being looked at on a worker.

    Args:
        root: the folder of jobs.
        staging: makes runs of packages.
    """

    def __init__(self, root: Path, staging: Staging) -> None:
        self._root = root
        self._staging = staging
        self._under_way: Counter[str] = Counter()
        self._looking: dict[Path, asyncio.Task[Look]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def folder(self, spec: JobSpec) -> AsyncIterator[JobFolder]:
        """A folder for the files of a package, which is gone a moment after the body has ended.

        Args:
            spec: what the job would be.

        Raises:
            BusyError: if `MAX_INSPECTED` packages of its owner are being looked at.
            StorageError: if the disk refuses.
        """
        owner = f"{spec.owner.room}/{spec.owner.user}"
        if self._under_way[owner] >= MAX_INSPECTED:
            raise BusyError(
                f"{MAX_INSPECTED} of your packages are being looked at on this worker already: wait for one of them."
            )
        self._under_way[owner] += 1
        path = self._root / f".{spec.job}-{secrets.token_hex(6)}"
        try:
            yield await to_the_end(asyncio.to_thread(self._create, path, spec))
        finally:
            # what still looks at it is not ended halfway: that would cost all others their check
            ending = asyncio.create_task(self._end(path, owner))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            if path not in self._looking:
                await asyncio.shield(ending)

    def _create(self, path: Path, spec: JobSpec) -> JobFolder:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        return JobFolder.create(path, spec)

    async def _end(self, path: Path, owner: str) -> None:
        try:
            if looking := self._looking.get(path):
                await asyncio.wait({looking})
            await asyncio.to_thread(remove_tree, path)
        finally:
            self._under_way[owner] -= 1
            self._under_way += Counter()  # without those that are zero

    async def look(self, folder: JobFolder) -> Look:
        """Find out what the package in a `folder` would be trained as, once its files have arrived.

        Raises:
            SleapRTCError: why a submit of it would be refused.
        """
        # owned by this object, which waits for it before the folder goes
        looking = self._looking[folder.path] = asyncio.create_task(self._look(folder))
        looking.add_done_callback(partial(self._looked, folder.path))
        return await asyncio.shield(looking)

    def _looked(self, path: Path, looking: "asyncio.Task[Look]") -> None:
        del self._looking[path]
        if not looking.cancelled():
            looking.exception()  # whoever asked may be gone

    async def _look(self, folder: JobFolder) -> Look:
        plan = await self._staging.plan(folder, describe=True) or Plan((), ())
        return await asyncio.to_thread(_look_of, folder, plan)

    async def ended(self) -> None:
        """Wait until nothing is looked at any more."""
        if self._ending:
            await asyncio.wait(self._ending)


def _look_of(folder: JobFolder, plan: Plan) -> Look:
    trainings = [run for run in plan.runs if run.verb is Verb.TRAIN]
    runs = []
    for run, config in zip(trainings, plan.configs, strict=True):
        settings = plan.settings.get(run.name) or _written(folder.path / run.config)
        told = settings.model_dump() | {"max_epochs": settings.max_epochs or run.max_epochs}
        runs.append(InspectedRun(name=run.name, model_type=run.model_type, config=config, devices=run.devices, **told))
    return Look(tuple(runs), plan.labels, plan.notices)


def _written(config: Path) -> RunSettings:
    """The settings as the config says them, without what sleap-nn would add."""
    return settings_of(read_yaml(config.read_bytes(), MAX_OWN_BYTES))
