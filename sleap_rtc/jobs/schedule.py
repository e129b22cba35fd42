"""Which jobs wait, which run and where: started in order, looked at, and said to be lost where they are.

An odd job (its folder deleted, its files torn, the disk full) is logged and passed over or tried again: it never ends
the others.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from weakref import WeakValueDictionary

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.jobs import JobSpec, JobState, Queued

from . import intake
from .estimate import Outlook
from .executor import Executor
from .folder import JobFolder
from .gpus import Slot
from .keys import Keys

logger = logging.getLogger(__name__)


class Schedule:
    """Starts jobs in the order in which they came, each on as many slots as it takes devices.

    Nobody overtakes: while the next job waits for several slots, a smaller one behind it waits as well. Otherwise a
    stream of small jobs would keep a large one waiting for ever.

    Args:
        root: the folder in which every job has its own.
        slots: how many jobs run at once, and where; the first free ones are taken.
        executor: starts their supervisors.
    """

    def __init__(self, root: Path, slots: Sequence[Slot], executor: Executor) -> None:
        self._root = root
        self._slots = tuple(slots)
        self._executor = executor
        self.queue: list[str] = []
        self.keys = Keys()
        self.quiet = asyncio.Event()
        self._running: dict[str, tuple[str, ...]] = {}
        self._over: set[str] = set()
        self._unsettled: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._outlook = Outlook()
        self._specs: dict[str, JobSpec] = {}
        self._places: dict[str, Queued] = {}
        self._starts_in: dict[str, float | None] = {}
        self._handed_over: set[str] = set()
        self._refreshing = asyncio.Lock()
        self._changed = asyncio.Event()

    @property
    def busy(self) -> int:
        """How many jobs run; one whose supervisor is only leaving does not count."""
        return len(self._running.keys() - self._over)

    @property
    def taken(self) -> int:
        """How many slots those jobs have."""
        return sum(len(slots) for job, slots in self._running.items() if job not in self._over)

    def starts_in(self, job: str) -> float | None:
        """Seconds until a waiting job starts, at most, as of the last look; None where nothing is known."""
        return self._starts_in.get(job)

    def check_fits(self, devices: int) -> None:
        """Refuse a job that could never start here.

        Raises:
            ConfigError: if it takes more devices than there are.
        """
        if devices > len(self._slots):
            there = f"{len(self._slots)} GPU{'s' if len(self._slots) > 1 else ''}"
            if not any(slot.devices for slot in self._slots):
                there = f"no GPU, and {len(self._slots)} slot{'s' if len(self._slots) > 1 else ''} on its processor"
            raise ConfigError(
                f"The job takes {devices} GPUs at once, and this worker has {there}: ask for fewer, or take another "
                "worker."
            )

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
        self._take_out(job)
        self.keys.take(job)
        self._changed.set()

    def _take_out(self, job: str) -> None:
        if job in self.queue:
            self.queue.remove(job)
        self._handed_over.discard(job)
        for known in (self._specs, self._places, self._starts_in):
            known.pop(job, None)

    async def run(self, poll: float) -> None:
        """Schedule until cancelled; `poll` is the longest time between two looks."""
        try:
            await self._load()
            await self._keep_on(poll)
        finally:
            await asyncio.to_thread(self._executor.close)

    async def _keep_on(self, poll: float) -> None:
        while True:
            self._changed.clear()
            await self.refresh()
            await self._start_waiting()
            await self._look_ahead()
            await asyncio.to_thread(self._executor.keep_warm, self._wanted_warm())
            if not self._running and not self.queue:
                self.quiet.set()
            try:
                async with asyncio.timeout(poll):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _load(self) -> None:
        for folder, state in await asyncio.to_thread(intake.unfinished, self._root):
            if state is JobState.RECEIVED:
                continue
            # a client that is quick to come back may have queued or cancelled it since it was found
            async with self.lock(folder.job):
                known = folder.job in self._running or folder.job in self.queue
                if not known and not await asyncio.to_thread(intake.has_ended, folder):
                    await self._take_up(folder, state)

    async def _take_up(self, folder: JobFolder, state: JobState) -> None:
        try:
            # a supervisor that was just started may claim it yet; a second one would find it claimed
            if not await asyncio.to_thread(intake.resume, folder, state):
                self._running[folder.job] = (await asyncio.to_thread(folder.devices))[0]
                return
            if await asyncio.to_thread(folder.was_given_devices):
                self._handed_over.add(folder.job)
            self.enqueue(folder.job)
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
        while self.queue and (free := self._free_slots()):
            job = self.queue[0]
            async with self.lock(job):
                if job in self.queue and not await self._start_job(JobFolder(self._root / job), free):
                    return

    async def _start_job(self, folder: JobFolder, free: Sequence[Slot]) -> bool:
        """Start the next job; False if it must wait on: for more slots, or because nothing can be written now."""
        job = folder.job
        try:
            wanted = (await asyncio.to_thread(self._spec, folder)).devices
            # a worker that was started again may have fewer: what could never start must not stop the others
            self.check_fits(wanted)
            if wanted > len(free):
                return False
            self._take_out(job)
            if await asyncio.to_thread(intake.startable, folder):
                slots = free[:wanted]
                self._running[job] = tuple(slot.name for slot in slots)
                await asyncio.to_thread(self._start, folder, slots)
                return True
            self.keys.take(job)
            if not await asyncio.to_thread(intake.has_ended, folder):
                # claimed meanwhile by a supervisor that an earlier worker had started: it has its slots still
                self._running[job] = (await asyncio.to_thread(folder.devices))[0]
        except intake.ODD as error:
            self._running.pop(job, None)
            self.tell(job, error)
            return await self._give_up(folder, ErrorInfo(code="internal", sentence=f"The job could not start: {error}"))
        return True

    async def _give_up(self, folder: JobFolder, why: ErrorInfo) -> bool:
        self._take_out(folder.job)
        try:
            await asyncio.to_thread(intake.end, folder, JobState.FAILED, why)
        except intake.ODD as error:
            self.tell(folder.job, error)
            if await asyncio.to_thread(folder.path.exists):
                self.queue.insert(0, folder.job)
                return False
        self.keys.take(folder.job)
        return True

    def _start(self, folder: JobFolder, slots: Sequence[Slot]) -> None:
        devices = tuple(device for slot in slots for device in slot.devices)
        folder.write_devices(devices, tuple(slot.name for slot in slots))
        self._executor.start(folder, self.keys.take(folder.job))

    def _free_slots(self) -> list[Slot]:
        taken = {name for names in self._running.values() for name in names}
        free = [slot for slot in self._slots if slot.name not in taken]
        if any(slot.devices for slot in self._slots):
            return free
        # an earlier start had more slots: their jobs load the same processor. On a GPU that is not ours they do not
        elsewhere = len(taken - {slot.name for slot in self._slots})
        return free[: max(0, len(free) - elsewhere)]

    async def _look_ahead(self) -> None:
        """Guess when the waiting jobs start, and tell each one its place where that is news."""
        waiting = tuple(self.queue)
        self._starts_in = await asyncio.to_thread(self._guess, waiting, dict(self._running)) if waiting else {}
        for job in waiting:
            async with self.lock(job):
                # a supervisor that an earlier worker started may still claim it, and has the journal for itself then
                if job in self.queue and job not in self._handed_over:
                    place = Queued(position=self.queue.index(job) + 1, starts_in=self._starts_in.get(job))
                    await self._tell_place(JobFolder(self._root / job), place)

    def _guess(self, waiting: Sequence[str], running: Mapping[str, Sequence[str]]) -> dict[str, float | None]:
        holders = {name: job for job, names in running.items() for name in names}
        slots = {slot.name: holders.get(slot.name) for slot in self._slots}
        try:
            specs = [self._spec(JobFolder(self._root / job)) for job in waiting]
        except intake.ODD:
            return {}  # said when its turn comes
        folders = [JobFolder(self._root / job) for job in running]
        return dict(zip(waiting, self._outlook.look(slots, specs, folders, utc_ms()), strict=True))

    def _spec(self, folder: JobFolder) -> JobSpec:
        if folder.job not in self._specs:
            self._specs[folder.job] = folder.spec()
        return self._specs[folder.job]

    async def _tell_place(self, folder: JobFolder, place: Queued) -> None:
        told = self._places.get(folder.job)
        if told is not None and (told.position, told.starts_in is None) == (place.position, place.starts_in is None):
            return
        try:
            await asyncio.to_thread(intake.tell_place, folder, place)
            self._places[folder.job] = place
        except intake.ODD as error:
            self.tell(folder.job, error)

    def _wanted_warm(self) -> int:
        """One for each slot that is free, or will be for a job that waits already."""
        return min(len(self._slots), len(self._free_slots()) + len(self.queue))
