"""The worker's view of its jobs: what came in, what waits, what runs, and who may know.

There is no job database. The board reads the folders when it starts, and from then on keeps only what it needs to
schedule: which jobs are not over yet, in which order they wait, and which slot each one has.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from sleap_rtc.errors import BusyError, ConflictError, NotFoundError, SleapRTCError
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.ids import check_id, is_id
from sleap_rtc.protocol.jobs import Event, JobOptions, JobSpec, JobState, JobSummary, Owner, StateChanged

from . import intake
from .events import EventReader, last_seq, read_log
from .executor import Executor
from .folder import Command, JobFolder
from .gpus import Slot


@dataclass(frozen=True)
class BoardSettings:
    """Times in seconds.

    Attributes:
        poll: how often running jobs are looked at.
        watch: how often a watched journal or log is looked at.
    """

    poll: float = 0.5
    watch: float = 0.1


class JobBoard:
    """Takes jobs, starts them one a slot in the order in which they came, and tells how they stand.

    Args:
        root: the folder in which every job has its own.
        slots: how many jobs run at once, and where.
        executor: starts their supervisors.
        settings: times.
    """

    def __init__(
        self, root: Path, *, slots: Sequence[Slot], executor: Executor, settings: BoardSettings | None = None
    ) -> None:
        self._root = root
        self._slots = tuple(slots)
        self._executor = executor
        self._settings = settings or BoardSettings()
        self._queue: list[str] = []
        self._running: dict[str, str | None] = {}
        self._over: set[str] = set()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._making = asyncio.Lock()
        self._changed = asyncio.Event()
        self._quiet = asyncio.Event()
        self._open = True

    @property
    def busy(self) -> int:
        """How many jobs run; one whose supervisor is only leaving does not count."""
        return len(self._running.keys() - self._over)

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    async def run(self) -> None:
        """Schedule until cancelled: adopt what runs, go on with what waits, say what was lost."""
        await self._load()
        while True:
            await self.refresh()
            await self._start_waiting()
            if not self._running and not self._queue:
                self._quiet.set()
            self._changed.clear()
            try:
                async with asyncio.timeout(self._settings.poll):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def receive(
        self, job: str, *, owner: Owner, name: str, manifest_digest: str, options: JobOptions
    ) -> JobFolder:
        """Make the folder of a new job, or return that of the same job submitted before.

        Raises:
            NotFoundError: if the id belongs to somebody else.
            ConflictError: if the id was used for other content.
            BusyError: if this worker takes no new jobs.
        """
        check_id("job", job)
        spec = JobSpec(
            job=job, owner=owner, name=name, manifest=manifest_digest, options=options, submitted=intake.now_ms()
        )
        async with self._lock(job):
            if await asyncio.to_thread((self._root / job).exists):
                return await asyncio.to_thread(self._known, job, spec)
            self._refuse_when_closed()
            async with self._making:
                return await asyncio.to_thread(intake.receive, self._root, spec)

    async def accept(self, folder: JobFolder) -> JobSummary:
        """Check a job whose files have all arrived, and queue it: on disk when this returns.

        Raises:
            PackageError, ConfigError: if it cannot be run; its folder is gone then.
        """
        async with self._lock(folder.job):
            state = (await asyncio.to_thread(folder.state)).state
            if state is JobState.RECEIVED:
                self._refuse_when_closed()
                await asyncio.to_thread(intake.accept, folder)
                self._queue.append(folder.job)
                self._quiet.clear()
                self._changed.set()
        return await asyncio.to_thread(self.summary, folder)

    def find(self, job: str, owner: Owner) -> JobFolder:
        """The folder of a job of this owner.

        Raises:
            NotFoundError: if there is none; a job of somebody else looks the same.
        """
        folder = JobFolder(self._root / job) if is_id("job", job) else None
        if folder is not None and folder.path.is_dir():
            theirs = folder.spec().owner
            if (theirs.user, theirs.room) == (owner.user, owner.room):
                return folder
        raise NotFoundError(f"This worker has no job {job if folder else 'of that name'}.")

    async def command(self, folder: JobFolder, command: Command) -> None:
        """Stop a job (its best model comes home) or cancel it (nothing does); one that is over stays as it is."""
        async with self._lock(folder.job):
            if folder.job in self._queue and await asyncio.to_thread(intake.cancel_unclaimed, folder):
                self._queue.remove(folder.job)
                self._changed.set()
            elif not (await asyncio.to_thread(folder.state)).state.ended:
                await asyncio.to_thread(folder.send_command, command)

    async def watch(self, folder: JobFolder, since: int = 0) -> AsyncIterator[list[Event]]:
        """The events of a job after number `since`: first what is there, then as they come, up to the job's end."""
        reader = EventReader(folder.events, since)
        ended = False
        while not ended:
            # asked before reading: what was written before the end is then read for certain
            ended = await asyncio.to_thread(self._is_over, folder)
            while events := await asyncio.to_thread(reader.read):
                yield events
                ended = ended or any(_ends(event) for event in events)
            if not ended:
                await asyncio.sleep(self._settings.watch)

    async def follow_log(self, folder: JobFolder, offset: int = 0) -> AsyncIterator[tuple[int, str]]:
        """The log of a job from byte `offset` on, in pieces of (where it starts, text), up to the job's end.

        The next piece starts ``len(text.encode())`` bytes after this one: the log holds only what a terminal may show.
        """
        ended = False
        while not ended:
            ended = await asyncio.to_thread(self._is_over, folder)
            while True:
                start = offset
                offset, text = await asyncio.to_thread(read_log, folder.log, start, whole_lines=not ended)
                if offset == start:
                    break
                yield start, text
            if not ended:
                await asyncio.sleep(self._settings.watch)

    def summary(self, folder: JobFolder) -> JobSummary:
        """How a job stands; blocks."""
        spec, state = folder.spec(), folder.state()
        waiting = self._queue
        return JobSummary(
            job=spec.job,
            name=spec.name,
            state=state.state,
            submitted=spec.submitted,
            owner=spec.owner.name,
            runs=spec.runs,
            position=waiting.index(spec.job) + 1 if spec.job in waiting else None,
            last_seq=last_seq(folder.events),
            error=state.error,
        )

    def summaries(self) -> list[JobSummary]:
        """How all jobs stand, the oldest first; blocks."""
        return sorted((self.summary(f) for f in intake.folders(self._root)), key=lambda s: (s.submitted, s.job))

    def close_to_new(self) -> None:
        """Take no new jobs; those accepted go on."""
        self._open = False

    async def idle(self) -> None:
        """Wait until no job runs or waits."""
        await self._quiet.wait()

    def _refuse_when_closed(self) -> None:
        if not self._open:
            raise BusyError("This worker is shutting down and takes no new jobs: try another one, or later.")

    def _lock(self, job: str) -> asyncio.Lock:
        return self._locks.setdefault(job, asyncio.Lock())

    def _known(self, job: str, spec: JobSpec) -> JobFolder:
        folder = self.find(job, spec.owner)
        before = folder.spec()
        if (before.manifest, before.options) != (spec.manifest, spec.options):
            raise ConflictError(f"The job {job} was submitted before with other files or options: use a new id.")
        return folder

    def _is_over(self, folder: JobFolder) -> bool:
        return not folder.path.exists() or folder.state().state.ended

    async def _load(self) -> None:
        async with self._making:
            await asyncio.to_thread(intake.clear_leftovers, self._root)
        found = await asyncio.to_thread(intake.unfinished, self._root)
        for folder, state in found:
            known = folder.job in self._running or folder.job in self._queue
            if state is JobState.RECEIVED or known:
                continue
            if state is JobState.STAGED:
                await asyncio.to_thread(intake.enter, folder, JobState.QUEUED)
            if state in (JobState.STAGED, JobState.QUEUED) and await asyncio.to_thread(folder.supervisor) is None:
                # a supervisor that was just started may claim it yet; a second one would find it claimed
                self._queue.append(folder.job)
            else:
                self._running[folder.job], _ = await asyncio.to_thread(folder.devices)

    async def refresh(self) -> None:
        """Look at the running jobs now: what ended makes room, what was lost is said."""
        for job in list(self._running):
            folder = JobFolder(self._root / job)
            alive = await asyncio.to_thread(self._executor.alive, folder)
            # asked in this order: a supervisor writes the end before it goes
            ended = (await asyncio.to_thread(folder.state)).state.ended
            if not alive and not ended:
                await asyncio.to_thread(self._settle_dead, folder)
            if ended:
                self._over.add(job)
            if not alive:
                self._running.pop(job, None)
                self._over.discard(job)

    def _settle_dead(self, folder: JobFolder) -> None:
        self._executor.clean_up(folder)
        intake.settle(folder)

    async def _start_waiting(self) -> None:
        while self._queue and (slot := self._free_slot()) is not None:
            job = self._queue[0]
            async with self._lock(job):
                if job not in self._queue:
                    continue
                self._queue.remove(job)
                self._running[job] = slot.name
                folder = JobFolder(self._root / job)
                try:
                    await asyncio.to_thread(self._start, folder, slot)
                except (SleapRTCError, OSError) as error:
                    del self._running[job]
                    sentence = f"The job could not be started: {error}."
                    info = ErrorInfo(code="internal", sentence=sentence)
                    await asyncio.to_thread(intake.end, folder, JobState.FAILED, info)

    def _start(self, folder: JobFolder, slot: Slot) -> None:
        folder.write_devices(slot.devices, slot.name)
        self._executor.start(folder)

    def _free_slot(self) -> Slot | None:
        taken = set(self._running.values())
        return next((slot for slot in self._slots if slot.name not in taken), None)


def _ends(event: Event) -> bool:
    return isinstance(event.body, StateChanged) and event.body.state.ended
