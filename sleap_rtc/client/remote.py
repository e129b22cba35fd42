"""A worker as a client sees it."""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sleap_rtc.client.link import WorkerLink
from sleap_rtc.client.package import Package
from sleap_rtc.client.pending import PendingJob, PendingJobs, content_of
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.client.upload import Upload
from sleap_rtc.client.watch import Watch, WatchMessage
from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.paths import home
from sleap_rtc.errors import ConfigError, NotFoundError, PackageError, ProtocolError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.exporting import ABILITY as EXPORT
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.files import ManifestRef, TransferProgress
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.inference import ABILITY as TRACK
from sleap_rtc.protocol.inference import TrackOptions
from sleap_rtc.protocol.jobs import (
    AGAIN,
    Event,
    JobAccepted,
    JobAgain,
    JobEvents,
    JobList,
    JobListed,
    JobLog,
    JobResume,
    JobShow,
    JobState,
    JobSubmit,
    JobSummary,
    JobWatchEnded,
)
from sleap_rtc.protocol.link import Done
from sleap_rtc.protocol.model_messages import ABILITY as MODELS
from sleap_rtc.protocol.model_messages import ModelPush, ModelPushed
from sleap_rtc.protocol.mounts import ABILITY as MOUNTS
from sleap_rtc.protocol.mounts import MAX_LISTING, FolderGet, FolderListing, MountInfo, MountList, MountListed
from sleap_rtc.protocol.options import JobOptions
from sleap_rtc.session.reading import read_whole
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transfer.store import Store

MOST_JOBS = 20_000
"""Jobs that a worker may list: one that lists for ever must not fill this machine's memory."""


@dataclass(frozen=True)
class Place:
    """Where a worker was found, for the journal.

    Attributes:
        server: the service.
        room: the room's id.
        worker_name: what the worker calls itself; empty if that was not asked.
        session: the session string that led there; empty in a room with members.
    """

    server: str
    room: str
    worker_name: str = ""
    session: str = field(default="", repr=False)


class RemoteWorker:
    """A worker, over a link that is kept up.

    Args:
        pending: the journal of submitted jobs.
        place: where the worker was found.
        max_store: most bytes that this machine's store keeps; a tenth of its disk by default.
    """

    link: WorkerLink

    def __init__(self, pending: PendingJobs, place: Place, *, max_store: int | None = None) -> None:
        self._pending = pending
        self._place = place
        self._max_store = max_store
        self._uploads: dict[str, Upload] = {}
        self._watches: dict[int, Watch] = {}
        self._numbers = itertools.count(1)

    @property
    def handlers(self) -> Handlers:
        """What answers the worker's requests."""
        return {
            TransferProgress: self._count,
            JobEvents: self._deliver,
            JobLog: self._deliver,
            JobWatchEnded: self._deliver,
        }

    @property
    def producers(self) -> Producers:
        """What answers the worker's stream requests."""
        return Provider(self._offering).producers

    def open_store(self) -> Store:
        """Open this machine's store. Blocks.

        Raises:
            StorageError: if it cannot be.
        """
        return Store(home() / "store", max_bytes=self._max_store)

    @contextmanager
    def watching(
        self,
        job: str,
        since: int,
        on_event: Callable[[Event], None],
        on_log: Callable[[str], None] | None,
        *,
        follow: bool = True,
    ) -> Iterator[Watch]:
        """Deliver what arrives about a job while the body runs."""
        watch = Watch(job, next(self._numbers), since, on_event, on_log, follow=follow)
        self._watches[watch.number] = watch
        try:
            yield watch
        finally:
            del self._watches[watch.number]

    async def jobs(self, *, all: bool = False) -> list[JobSummary]:  # noqa: A002 - what the user types
        """The jobs of the room that this worker has, the newest first.

        Args:
            all: those that are over as well.

        Raises:
            UnreachableError: if it does not answer.
            NotFoundError: if jobs were removed while they were listed.
            ProtocolError: if it lists more than `MOST_JOBS`.
        """
        found: dict[str, JobSummary] = {}
        before: str | None = None
        while True:
            page = await self._page(JobList(all=all, before=before))
            fresh = [summary for summary in page.jobs if summary.job not in found]
            found.update((summary.job, summary) for summary in fresh)
            # a worker that says "more" and sends nothing new would keep us for ever
            if not page.more or not fresh:
                return list(found.values())
            if len(found) > MOST_JOBS:
                raise ProtocolError(
                    f"The worker lists more than {MOST_JOBS} jobs, so its list was not read to its end."
                )
            before = page.jobs[-1].job

    async def _page(self, message: JobList) -> JobListed:
        return await self.link.call(lambda session: session.request(message, JobListed))

    async def job(self, job_id: str) -> RemoteJob:
        """A job by its id.

        Raises:
            NotFoundError: if the worker has no such job, or it is somebody else's.
        """
        reply = await self.link.call(lambda session: session.request(JobShow(job=job_id), JobAccepted))
        return RemoteJob(self, _about(job_id, reply), self._pending)

    async def mounts(self) -> list[MountInfo]:
        """The folders of the worker's machine that its jobs may name.

        Raises:
            ProtocolError: if the worker is too old to tell.
        """
        reply = await self.link.call(lambda session: _knowing(session).request(MountList(), MountListed))
        return list(reply.mounts)

    async def folder(self, place: str) -> FolderListing:
        """What lies in a folder of a mount.

        Args:
            place: ``label:/path``.

        Raises:
            ConfigError: if that is no place below a mount.
            NotFoundError: if there is no such folder.
            UnreachableError: if it could not be listed in time.
            ProtocolError: if the worker is too old to tell, or tells nonsense.
        """
        data = await self.link.call(lambda session: read_whole(_knowing(session), FolderGet, MAX_LISTING, place=place))
        return await asyncio.to_thread(FolderListing.from_bytes, data)

    async def submit(
        self,
        package: Package,
        *,
        options: JobOptions | None = None,
        wandb_key: str | None = None,
        new: bool = False,
        on_bytes: Callable[[int, int, int], None] = lambda sent, total, already: None,
        on_pause: Callable[[str | None], None] = lambda sentence: None,
    ) -> RemoteJob:
        """Submit a package, or find the job that the same package made before.

        Args:
            package: what is sent, with what is said about it.
            options: what to say about it instead.
            wandb_key: the user's key for Weights & Biases, for this job alone; sent to the worker and kept nowhere.
            new: make a new job even if one is under way.
            on_bytes: told the bytes that the worker acknowledged, those there are, and those it had already.
            on_pause: told why the worker takes nothing just now, and None when it goes on.

        Raises:
            SleapRTCError: why the worker refuses it.
        """
        options = options or package.options
        for ability, deed in _asked_of_new_workers(options):
            await self.link.call(_able_to(ability, deed))
        content = content_of(package.manifest.digest, options)
        known = None if new else self._pending.find(self.link.worker_id, content)
        there = await self._show(known.job) if known else None
        if there and there.state not in (JobState.RECEIVED, JobState.STAGED):
            return RemoteJob(self, there, self._pending)
        # an upload goes on under its id; an id that the worker does not know, or not as ours, is not used again
        job_id = there.job if there else new_id("job", secrets.token_bytes(15))
        self._write_down(job_id, package.name, content)
        message = JobSubmit(
            job=job_id,
            name=package.name,
            manifest=ManifestRef.of(package.manifest),
            options=options,
            wandb_key=wandb_key,
        )
        return await self._send(message, Upload(package.offering, on_bytes, on_pause))

    async def push_model(
        self,
        offering: Offering,
        made: int,
        on_bytes: Callable[[int, int, int], None] = lambda sent, total, already: None,
    ) -> str:
        """Give the worker a model to keep for the room, and return the digest by which it is known from then on.

        Args:
            offering: its files: run folders, and ``model.json`` where there is one.
            made: when it was ready, in UTC milliseconds.
            on_bytes: told the bytes sent, those there are, and those that the worker had already.

        Raises:
            ProtocolError: if the worker is too old to take models.
            PackageError: if that is no model.
            StorageError: if the worker's disk is nearly full.
        """
        transfer = f"push-{secrets.token_hex(16)}"
        message = ModelPush(transfer=transfer, manifest=ManifestRef.of(offering.manifest), made=made)

        async def push(session: Session) -> ModelPushed:
            if MODELS not in session.abilities:
                raise ProtocolError("The worker's sleap-rtc is too old to take models: upgrade it there.")
            return await session.request(message, ModelPushed, timeout=float("inf"))

        self._uploads[transfer] = Upload(offering, on_bytes, lambda sentence: None)
        try:
            return (await self.link.call(push)).digest
        finally:
            del self._uploads[transfer]

    async def resume(self, job: str) -> RemoteJob:
        """Let a job that was lost, failed or was stopped go on, as its next attempt.

        Raises:
            NotFoundError: if the worker has no such job of this user.
            ConflictError: if there is nothing to go on with.
            BusyError: if the worker takes no new jobs.
        """
        reply = await self.link.call(lambda session: session.request(JobResume(job=job), JobAccepted))
        summary = _about(job, reply)
        if reply.manifest is not None and reply.options is not None:
            content = content_of(reply.manifest, reply.options)
            # a newer job of the same content is not forgotten for this one
            if self._pending.find(self.link.worker_id, content) is None:
                self._write_down(job, summary.name, content)
        return RemoteJob(self, summary, self._pending)

    async def again(self, job: str) -> RemoteJob:
        """Submit a job that this worker still has once more: the same files and options, as a job of this user.

        Raises:
            NotFoundError: if the worker has no such job that this user may act on.
            ConflictError: if its files never all arrived.
            SleapRTCError: why the worker refuses it.
        """
        await self.link.call(_able_to(AGAIN, "submit a job of its own again"))
        message = JobAgain(job=job, new=new_id("job", secrets.token_bytes(15)))
        # asked again after a lost link, it is still that one job
        reply = await self.link.call(lambda session: session.request(message, JobAccepted, timeout=float("inf")))
        summary = _about(message.new, reply)
        if reply.manifest is not None and reply.options is not None:
            self._write_down(message.new, summary.name, content_of(reply.manifest, reply.options))
        return RemoteJob(self, summary, self._pending)

    def _write_down(self, job: str, name: str, content: str) -> None:
        self._pending.write(
            PendingJob(
                job=job,
                name=name,
                content=content,
                server=self._place.server,
                room=self._place.room,
                worker_id=self.link.worker_id,
                worker_name=self._place.worker_name,
                session=self._place.session,
                since=utc_ms(),
            )
        )

    async def _show(self, job: str) -> JobSummary | None:
        try:
            return (await self.job(job)).summary
        except NotFoundError:
            return None

    async def _send(self, message: JobSubmit, upload: Upload) -> RemoteJob:
        self._uploads[message.job] = upload
        try:
            reply = await self.link.call(lambda session: session.request(message, JobAccepted, timeout=float("inf")))
        except (PackageError, ConfigError):
            self._pending.forget(message.job)  # refused for good: there is nothing to come back to
            raise
        finally:
            del self._uploads[message.job]
        return RemoteJob(self, _about(message.job, reply), self._pending)

    async def _offering(self, transfer: str) -> Offering:
        return self._upload(transfer).offering

    def _upload(self, transfer: str) -> Upload:
        upload = self._uploads.get(transfer)
        if upload is None:
            raise NotFoundError("Nothing is on offer under that name.")
        return upload

    async def _count(self, session: Session, message: TransferProgress) -> Message:
        self._upload(message.transfer).count(session, message)
        return Done()

    async def _deliver(self, _: Session, message: WatchMessage) -> Message:
        watch = self._watches.get(message.watch)
        if watch is None:
            raise NotFoundError("Nobody watches that job here any more.")
        watch.take(message)
        return Done()


def _about(job: str, reply: JobAccepted) -> JobSummary:
    # another one may be another worker's in this machine's journal
    if reply.job.job != job:
        raise ProtocolError(f"The worker was asked about the job {job} and answered about another one.")
    return reply.job


def _asked_of_new_workers(options: JobOptions) -> Iterator[tuple[str, str]]:
    """What is asked that workers pass over which are too old for it: the ability, and in words."""
    if isinstance(options, ExportOptions):
        yield EXPORT, "export models"
    elif isinstance(options, TrackOptions):
        yield TRACK, "look at videos with a model"
    elif options.start_from is not None:
        yield TRACK, "begin with a model of its room"
    elif options.then is not None:
        yield TRACK, "look at videos with a model"


def _able_to(ability: str, deed: str) -> Callable[[Session], Awaitable[None]]:
    async def check(session: Session) -> None:
        if ability not in session.abilities:
            raise ProtocolError(f"The worker's sleap-rtc is too old to {deed}: upgrade it there.")

    return check


def _knowing(session: Session) -> Session:
    if MOUNTS not in session.abilities:
        raise ProtocolError("The worker's sleap-rtc is too old to tell of its folders: upgrade it there.")
    return session
