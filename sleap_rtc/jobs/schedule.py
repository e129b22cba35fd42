"""Which jobs wait, which run and where: started in order, looked at, and said to be lost where they are.

An odd job (its folder deleted, its files torn, the disk full) is logged and passed over or tried again: it never ends
the others.
"""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.jobs import JobState

from . import intake
from .executor import Executor
from .folder import JobFolder
from .gpus import Slot

logger = logging.getLogger(__name__)


class Schedule:
    """Starts jobs one a slot, in the order in which they came.

    Args:
        root: the folder in which every job has its own.
        slots: how many jobs run at once, and where.
        executor: starts their supervisors.
    """

    def __init__(self, root: Path, slots: Sequence[Slot], executor: Executor) -> None:
        self._root = root
        self._slots = tuple(slots)
        self._executor = executor
        self.queue: list[str] = []
        self.quiet = asyncio.Event()
        self._running: dict[str, str | None] = {}
        self._over: set[str] = set()
        self._unsettled: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._refreshing = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def busy(self) -> int:
        """How many jobs run; one whose supervisor is only leaving does not count."""
        return len(self._running.keys() - self._over)

    def lock(self, job: str) -> asyncio.Lock:
        """Held by whoever takes a job from one place to another."""
        return self._locks.setdefault(job, asyncio.Lock())

    async def leaves(self, folder: JobFolder, pause: float) -> None:
        """Wait until nothing runs for a job that is over; its supervisor may still be leaving."""
        while folder.job in self._running or await asyncio.to_thread(self._executor.alive, folder):
            await asyncio.sleep(pause)
            await self.refresh()

    def enqueue(self, job: str) -> None:
        """Let a job wait, unless it does."""
        if job not in self.queue:
            self.queue.append(job)
        self.quiet.clear()
        self._changed.set()

    def dequeue(self, job: str) -> None:
        """Let a job that was called off wait no longer, if it did."""
        if job in self.queue:
            self.queue.remove(job)
        self._changed.set()

    async def run(self, poll: float) -> None:
        """Schedule until cancelled; `poll` is the longest time between two looks."""
        await self._load()
        while True:
            await self.refresh()
            await self._start_waiting()
            if not self._running and not self.queue:
                self.quiet.set()
            self._changed.clear()
            try:
                async with asyncio.timeout(poll):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _load(self) -> None:
        for folder, state in await asyncio.to_thread(intake.unfinished, self._root):
            known = folder.job in self._running or folder.job in self.queue
            if state is JobState.RECEIVED or known:
                continue
            try:
                # a supervisor that was just started may claim it yet; a second one would find it claimed
                if await asyncio.to_thread(intake.resume, folder, state):
                    self.enqueue(folder.job)
                else:
                    self._running[folder.job] = (await asyncio.to_thread(folder.devices))[0]
            except intake.ODD as error:
                self.tell(folder.job, error)
                self._unsettled.add(folder.job)

    async def refresh(self) -> None:
        """Look at the running jobs now: what ended makes room, what was lost is said."""
        async with self._refreshing:
            for job in {*self._running, *self._unsettled}:
                await self._look_after(JobFolder(self._root / job))

    async def _look_after(self, folder: JobFolder) -> None:
        job, alive, ended = folder.job, False, False
        try:
            alive = await asyncio.to_thread(self._executor.alive, folder)
            # asked in this order: a supervisor writes the end before it goes
            ended = await asyncio.to_thread(intake.has_ended, folder)
            if not alive and not ended:
                await asyncio.to_thread(self._settle_dead, folder)
            self._unsettled.discard(job)
        except intake.ODD as error:
            self.tell(job, error)
            # without a supervisor it takes no slot while its end cannot be written
            self._unsettled.discard(job)
            if await asyncio.to_thread(folder.path.exists) and not alive:
                self._unsettled.add(job)
        if ended:
            self._over.add(job)
        if not alive:
            self._running.pop(job, None)
            self._over.discard(job)

    def _settle_dead(self, folder: JobFolder) -> None:
        self._executor.clean_up(folder)
        intake.settle(folder)

    def tell(self, job: str, error: Exception) -> None:
        """Log what is wrong with a job, once: what cannot be mended is met again at every look."""
        if (job, str(error)) not in self._told:
            self._told.add((job, str(error)))
            logger.warning("Job %s cannot be looked after: %s", job, error)

    async def _start_waiting(self) -> None:
        while self.queue and (slot := self._free_slot()) is not None:
            job = self.queue[0]
            async with self.lock(job):
                if job in self.queue and not await self._start_job(JobFolder(self._root / job), slot):
                    return

    async def _start_job(self, folder: JobFolder, slot: Slot) -> bool:
        """Start a waiting job; False if it must wait on, for nothing can be written now."""
        job = folder.job
        self.queue.remove(job)
        try:
            if await asyncio.to_thread(intake.startable, folder):
                self._running[job] = slot.name
                await asyncio.to_thread(self._start, folder, slot)
        except intake.ODD as error:
            self._running.pop(job, None)
            self.tell(job, error)
            return await self._give_up(folder, ErrorInfo(code="internal", sentence=f"The job could not start: {error}"))
        return True

    async def _give_up(self, folder: JobFolder, why: ErrorInfo) -> bool:
        try:
            await asyncio.to_thread(intake.end, folder, JobState.FAILED, why)
        except intake.ODD as error:
            self.tell(folder.job, error)
            if await asyncio.to_thread(folder.path.exists):
                self.queue.insert(0, folder.job)
                return False
        return True

    def _start(self, folder: JobFolder, slot: Slot) -> None:
        folder.write_devices(slot.devices, slot.name)
        self._executor.start(folder)

    def _free_slot(self) -> Slot | None:
        taken = set(self._running.values())
        return next((slot for slot in self._slots if slot.name not in taken), None)
