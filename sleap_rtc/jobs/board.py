"""The worker's view of its jobs: what came in, what waits, what runs, and who may know.

There is no job database. The board reads the folders when it starts, and from then on keeps only what it needs to
schedule: which jobs are not over yet, in which order they wait, and which slots each one has.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import BusyError, ConfigError, ConflictError, NotFoundError
from sleap_rtc.protocol.ids import check_id, is_id
from sleap_rtc.protocol.jobs import Event, JobSpec, JobState, JobSummary, Owner
from sleap_rtc.protocol.options import JobOptions

from . import again, attempts, intake, retention
from .access import Access
from .checking import Preflight
from .events import last_seq
from .executor import Executor
from .folder import Command, JobFolder
from .gpus import Slot
from .inspection import Inspections, Look
from .mounts import Mounts
from .quota import check_free
from .room_models import RoomModels
from .schedule import Schedule
from .staging import Staging
from .watching import follow_log, watch_events

T = TypeVar("T")


@dataclass(frozen=True)
class BoardSettings:
    """Times in seconds.

    Attributes:
        poll: how often running jobs are looked at.
        watch: how often a watched journal or log is looked at.
        leaving: how long a supervisor that has written its job's end may take to go.
    """

    poll: float = 0.5
    watch: float = 0.1
    leaving: float = 15.0


class JobBoard:
    """Takes jobs, starts them in the order in which they came, and tells how they stand.

    Args:
        root: the folder in which every job has its own.
        slots: how many jobs run at once, and where.
        executor: starts their supervisors.
        preflight: checks jobs before they are queued; None lets them be found out by sleap-nn.
        mounts: what jobs may read beside their own files.
        settings: times.
        min_free: bytes of the disk that must be free for a new job; 0 takes any.
        allow_wandb: whether a job may report to Weights & Biases, with its submitter's key.
        models: where models of the room come from; a worker knows it once it serves its room.
    """

    def __init__(
        self,
        root: Path,
        *,
        slots: Sequence[Slot],
        executor: Executor,
        preflight: Preflight | None = None,
        mounts: Mounts | None = None,
        settings: BoardSettings | None = None,
        min_free: int = 0,
        allow_wandb: bool = False,
        models: RoomModels | None = None,
    ) -> None:
        self._root = root
        self._min_free = min_free
        self._allow_wandb = allow_wandb
        self._preflight = preflight
        self._settings = settings or BoardSettings()
        self._schedule = Schedule(root, slots, executor)
        self._staging = Staging(preflight, mounts or Mounts(), self._schedule.check_fits, models)
        self._inspections = Inspections(root, self._staging)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._making = asyncio.Lock()
        self._open = True

    @property
    def models(self) -> RoomModels | None:
        """Where models of the room come from."""
        return self._staging.models

    @models.setter
    def models(self, models: RoomModels) -> None:
        self._staging.models = models

    @property
    def busy(self) -> int:
        """How many jobs run; one whose supervisor is only leaving does not count."""
        return self._schedule.busy

    @property
    def taken(self) -> int:
        """How many slots the jobs that run have; one of several devices has several."""
        return self._schedule.taken

    @property
    def queued(self) -> int:
        """How many jobs wait."""
        return len(self._schedule.queue)

    async def run(self) -> None:
        """Schedule until cancelled: adopt what runs, go on with what waits, say what was lost."""
        async with self._making:
            await asyncio.to_thread(intake.clear_leftovers, self._root)
        try:
            async with self._preflight.at_work() if self._preflight else nullcontext():
                await self._schedule.run(self._settings.poll)
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._inspections.ended()

    async def refresh(self) -> None:
        """Look at the running jobs now: what ended makes room, what was lost is said."""
        await self._schedule.refresh()

    async def receive(
        self, job: str, *, owner: Owner, name: str, manifest_digest: str, options: JobOptions
    ) -> JobFolder:
        """Make the folder of a new job, or return that of the same job submitted before.

        Raises:
            NotFoundError: if the id belongs to somebody else.
            ConflictError: if the id was used for other content.
            ConfigError: if the job takes more devices than this worker has, or may not report where it wants to.
            BusyError: if this worker takes no new jobs, or the owner has begun too many already.
            StorageError: if its disk is nearly full.
        """
        check_id("job", job)
        spec = JobSpec(job=job, owner=owner, name=name, manifest=manifest_digest, options=options, submitted=utc_ms())
        return await self._to_the_end(self._receive(spec))

    async def _receive(self, spec: JobSpec) -> JobFolder:
        async with self._schedule.lock(spec.job):
            if await asyncio.to_thread((self._root / spec.job).exists):
                return await asyncio.to_thread(self._known, spec)
            await self._check_new(spec)
            async with self._making:
                return await asyncio.to_thread(intake.receive, self._root, spec)

    async def inspect(self, spec: JobSpec, receive: Callable[[JobFolder], Awaitable[None]]) -> Look:
        """Look at a package without making a job of it: what a submit would train, or why it would be refused.

        Args:
            spec: what the job would be.
            receive: brings the files of the package into the folder that it is given.

        Raises:
            NotFoundError: if the id belongs to a job of somebody else.
            SleapRTCError: as `receive` and `accept` do, or as the argument `receive` does.
        """
        if await asyncio.to_thread((self._root / spec.job).exists):
            await asyncio.to_thread(self.find, spec.job, spec.owner)
        await self._check_new(spec)
        async with self._making:
            pass  # what an earlier worker left is cleared by now
        async with self._inspections.folder(spec) as folder:
            await receive(folder)
            self._refuse_when_closed()
            return await self._inspections.look(folder)

    async def _check_new(self, spec: JobSpec) -> None:
        self._refuse_when_closed()
        self._schedule.check_fits(spec.devices)
        self._check_reporting(spec.options)
        await asyncio.to_thread(check_free, self._root, self._min_free)

    async def accept(self, folder: JobFolder, *, wandb_key: str | None = None) -> JobSummary:
        """Check a job whose files have all arrived, and queue it: on disk when this returns.

        Args:
            folder: the job's.
            wandb_key: its submitter's, which is on no disk: it is held in memory until the job starts.

        Raises:
            PackageError, ConfigError: if it cannot be run; its folder is gone then.
            ConflictError: if it was cancelled while its files arrived.
            BusyError: if this worker takes no new jobs, or cannot ask sleap-nn now what has to be known of this one.
        """
        return await self._to_the_end(self._accept(folder, wandb_key))

    async def _accept(self, folder: JobFolder, wandb_key: str | None) -> JobSummary:
        async with self._schedule.lock(folder.job):
            state = (await asyncio.to_thread(folder.state)).state
            if state in (JobState.RECEIVED, JobState.STAGED):
                self._refuse_when_closed()
                await self._check_reporting_still(folder)
                await asyncio.to_thread(intake.accept, folder, await self._staging.plan(folder))
                # a key that nobody asked to use is none of the job's: what may report was decided by its options
                reports = (await asyncio.to_thread(folder.spec)).options.wandb
                self._schedule.enqueue(folder.job)
                if wandb_key is not None and reports:
                    self._schedule.keys.keep(folder.job, wandb_key)
            elif state is JobState.CANCELLED and not (await asyncio.to_thread(folder.spec)).runs:
                raise ConflictError(f"The job {folder.job} was cancelled while its files arrived.")
            elif wandb_key is not None and self._allow_wandb and folder.job in self._schedule.queue:
                # submitted before this worker was started again, which took the key
                self._schedule.keys.keep(folder.job, wandb_key)
        return await asyncio.to_thread(self.summary, folder)

    def _check_reporting(self, options: JobOptions) -> None:
        if options.wandb and not self._allow_wandb:
            raise ConfigError(
                "This worker does not let jobs report to Weights & Biases: its operator would have to start it with "
                "--allow-wandb. Submit without --wandb, or take another worker."
            )

    async def _check_reporting_still(self, folder: JobFolder) -> None:
        try:
            self._check_reporting((await asyncio.to_thread(folder.spec)).options)
        except ConfigError:
            # this worker was started again, in another way, while the files arrived
            await asyncio.to_thread(folder.remove)
            raise

    async def _to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Do `work` to its end even if the caller is cancelled: a job half accepted would never start."""
        # owned by the board: `run` waits for what is left
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def find(self, job: str, owner: Owner, *, owns_room: bool = False) -> JobFolder:
        """The folder of a job of this owner, or of anybody in a room that they own; blocks.

        Raises:
            NotFoundError: if there is none; a job of somebody else looks the same.
        """
        access = Access(owner, owns_room=owns_room)
        folder = JobFolder(self._root / job) if is_id("job", job) else None
        if folder is not None and folder.path.is_dir() and access.may_act_on(folder.spec().owner):
            return folder
        raise NotFoundError(f"This worker has no job {job if folder else 'of that name'}.")

    async def command(self, folder: JobFolder, command: Command) -> None:
        """Stop a job (its best model comes home) or cancel it (nothing does); one that is over stays as it is."""
        await self._to_the_end(self._command(folder, command))

    async def _command(self, folder: JobFolder, command: Command) -> None:
        async with self._schedule.lock(folder.job):
            waiting = folder.job in self._schedule.queue
            if await asyncio.to_thread(intake.command, folder, command, waiting=waiting):
                self._schedule.dequeue(folder.job)

    async def resume(self, folder: JobFolder) -> JobSummary:
        """Let a job that was lost, failed or was stopped wait again, as its next attempt: on disk when this returns.

        Raises:
            ConflictError: if there is nothing to go on with.
            ConfigError: if it takes more devices than this worker has by now.
            BusyError: if this worker takes no new jobs, or the job's last attempt is still being ended.
            StorageError: if its disk is nearly full.
        """
        return await self._to_the_end(self._resume(folder))

    async def _resume(self, folder: JobFolder) -> JobSummary:
        async with self._schedule.lock(folder.job):
            await asyncio.to_thread(attempts.finish, folder)
            state = (await asyncio.to_thread(folder.state)).state
            if await asyncio.to_thread(attempts.may_resume, folder):
                self._refuse_when_closed()
                self._schedule.check_fits((await asyncio.to_thread(folder.spec)).devices)
                await asyncio.to_thread(check_free, self._root, self._min_free)
                try:
                    async with asyncio.timeout(self._settings.leaving):
                        await self._schedule.leaves(folder, self._settings.watch)
                except TimeoutError:
                    raise BusyError(
                        f"What ran for the job {folder.job} is still being ended: resume it again in a moment."
                    ) from None
                await asyncio.to_thread(attempts.begin, folder)
                state = JobState.QUEUED
            if state is JobState.QUEUED and await asyncio.to_thread(folder.supervisor) is None:
                self._schedule.enqueue(folder.job)
        return await asyncio.to_thread(self.summary, folder)

    async def again(self, source: JobFolder, job: str, owner: Owner) -> JobFolder:
        """Take the files and options of a job for a new one, and queue that: on disk when this returns.

        Args:
            source: the job that there is.
            job: the id of the new one; if there is such a job already, it is as it was.
            owner: whose the new one is.

        Raises:
            ConflictError: if the files of `source` never all arrived, or the id was used for something else.
            ConfigError: if it reported to Weights & Biases, which takes its submitter's key.
            SleapRTCError: as `receive` and `accept` do.
        """
        return await self._to_the_end(self._again(source, job, owner))

    async def _again(self, source: JobFolder, job: str, owner: Owner) -> JobFolder:
        # held to the end: the same request over another link waits, and the source is not removed as old meanwhile
        async with self._schedule.lock(source.job):
            spec = await asyncio.to_thread(again.spec_of, source, job, owner, utc_ms())
            folder = await self._receive(spec)
            if (await asyncio.to_thread(folder.state)).state is JobState.RECEIVED:
                await asyncio.to_thread(again.copy_inputs, source, folder)
            await self._accept(folder, None)
        return folder

    async def remove_old(self, keep: float, in_use: Callable[[str], bool] = lambda job: False) -> list[str]:
        """Remove the jobs that ended more than `keep` seconds ago, but for those in use; return which."""
        removed = []
        for folder in await asyncio.to_thread(retention.expired, self._root, keep, utc_ms()):
            async with self._schedule.lock(folder.job):
                if not in_use(folder.job) and await asyncio.to_thread(retention.remove, folder, keep, utc_ms()):
                    removed.append(folder.job)
        return removed

    async def watch(self, folder: JobFolder, since: int = 0, *, follow: bool = True) -> AsyncIterator[list[Event]]:
        """The events of a job after number `since`: first what is there, then as they come, up to the job's end."""
        async for events in watch_events(folder, since, self._settings.watch, follow=follow):
            yield events

    async def follow_log(
        self, folder: JobFolder, offset: int = 0, *, follow: bool = True
    ) -> AsyncIterator[tuple[int, str]]:
        """The log of a job from byte `offset` on, in pieces of (the byte to go on from, text), up to the job's end."""
        async for piece in follow_log(folder, offset, self._settings.watch, follow=follow):
            yield piece

    def summary(self, folder: JobFolder) -> JobSummary:
        """How a job stands; blocks."""
        spec, state = folder.spec(), folder.state()
        waiting = self._schedule.queue
        return JobSummary(
            job=spec.job,
            name=spec.name,
            state=state.state,
            submitted=spec.submitted,
            owner=spec.owner.name,
            changed=state.t,
            attempt=state.attempt,
            runs=spec.runs,
            position=waiting.index(spec.job) + 1 if spec.job in waiting else None,
            starts_in=self._schedule.starts_in(spec.job),
            last_seq=last_seq(folder.events),
            error=state.error,
        )

    def folders(self) -> list[JobFolder]:
        """The jobs that are here, in any order; blocks."""
        return list(intake.folders(self._root))

    def jobs_of(self, room: str) -> list[tuple[JobFolder, JobSpec]]:
        """The jobs that the members of a room submitted, the newest first; blocks."""
        found = []
        for folder in intake.folders(self._root):
            try:
                spec = folder.spec()
            except intake.ODD as error:
                self._schedule.tell(folder.job, error)
                continue
            if spec.owner.room == room:
                found.append((folder, spec))
        return sorted(found, key=lambda each: (each[1].submitted, each[1].job), reverse=True)

    def summaries(self) -> list[JobSummary]:
        """How all jobs stand, the oldest first; blocks. A folder that cannot be read is passed over."""
        found = []
        for folder in intake.folders(self._root):
            try:
                found.append(self.summary(folder))
            except intake.ODD as error:
                self._schedule.tell(folder.job, error)
        return sorted(found, key=lambda summary: (summary.submitted, summary.job))

    def close_to_new(self) -> None:
        """Take no new jobs; those accepted go on."""
        self._open = False

    async def idle(self) -> None:
        """Wait until no job runs or waits."""
        await self._schedule.quiet.wait()

    def _refuse_when_closed(self) -> None:
        if not self._open:
            raise BusyError("This worker is shutting down and takes no new jobs: try another one, or later.")

    def _known(self, spec: JobSpec) -> JobFolder:
        folder = self.find(spec.job, spec.owner)
        before = folder.spec()
        if (before.manifest, before.options) != (spec.manifest, spec.options):
            raise ConflictError(f"The job {spec.job} was submitted before with other files or options: use a new id.")
        return folder
