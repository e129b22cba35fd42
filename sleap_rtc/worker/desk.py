"""What all clients of a worker share: its jobs, what arrives for them, and what is handed out of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from sleap_rtc.errors import ConflictError
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.events import last_seq, read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.files import Manifest, ManifestRef
from sleap_rtc.protocol.jobs import Owner, StateChanged
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import FilesSource
from sleap_rtc.transfer.store import Store
from sleap_rtc.transfer.stored_zip import make_zip
from sleap_rtc.worker.model_service import ModelDesk
from sleap_rtc.worker.offerings import Offerings
from sleap_rtc.worker.zip_names import zip_name


@dataclass(frozen=True)
class Upload:
    """Files that a client sends.

    Attributes:
        key: what they are for: one transfer at a time, the newest link's.
        transfer: the transfer's id.
        manifest: what was announced.
        owner: whose they are.
        folder: where they go.
    """

    key: str
    transfer: str
    manifest: ManifestRef
    owner: Owner
    folder: Path


class Desk:
    """What all clients of a worker share.

    Args:
        board: the worker's jobs.
        store: the files that clients sent.
        models: what they share about models.
    """

    def __init__(self, board: JobBoard, store: Store, models: ModelDesk) -> None:
        self.board = board
        self.store = store
        self.models = models
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # of their own: who sends a package again must not wait until results are hashed
        self._listing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._receiving: dict[str, asyncio.Task[Manifest]] = {}
        self._results: Offerings[str] = Offerings()
        self._zips: Offerings[str] = Offerings()
        self._owners: dict[str, Owner] = {}

    @asynccontextmanager
    async def receiving(self, key: str) -> AsyncIterator[None]:
        """Hold a job, say, while its files arrive; a client that redials is back before its old link is known dead."""
        if task := self._receiving.get(key):
            task.cancel()
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield

    async def receive(self, session: Session, upload: Upload) -> Manifest:
        """Bring files of a client here; hold `receiving` meanwhile.

        Args:
            session: the client's link.
            upload: which files.

        Raises:
            ConflictError: if the same client sends them over another link now.
            SleapRTCError: as `Fetch` does.
        """
        owner = upload.owner
        fetch = Fetch(session, upload.transfer, Target(self.store, f"{owner.room}/{owner.user}", upload.folder))

        async def fetch_all() -> Manifest:
            async with fetch.progress.told(session, upload.transfer):
                manifest = await fetch.manifest(upload.manifest)
                await fetch.files(manifest)
                return manifest

        # owned by the desk: two links that bring the same files share it
        task = self._receiving[upload.key] = asyncio.create_task(fetch_all())
        try:
            return await task
        except asyncio.CancelledError:
            if task.cancelled() and not _is_cancelled():
                raise ConflictError("The files of this job are being sent over another link now.") from None
            raise
        finally:
            del self._receiving[upload.key]

    def hashed_results(self, job: str, access: Access, *, zipped: bool = False) -> Offering | None:
        """The results of a job, if somebody has asked for them of late and whoever asks now may have them."""
        owner = self._owners.get(job)
        known = self._zips if zipped else self._results
        return known.known(job) if owner and access.may_act_on(owner) else None

    def note_asked(self, job: str) -> None:
        """Note that somebody fetches the results of a job now."""
        self._results.note_asked(job)

    def in_use(self, job: str) -> bool:
        """Whether somebody fetches the results of a job, or did a moment ago and may go on."""
        return self._results.in_use(job) or job in self._receiving

    async def drop_results(self, job: str) -> None:
        """Hand out the results of a job no longer: it goes on, and will have others."""
        await self._zips.drop(job)
        await self._results.drop(job)
        self._owners.pop(job, None)

    @asynccontextmanager
    async def going_on(self, job: str) -> AsyncIterator[None]:
        """Hold a job while it is made to go on: its results are neither listed nor handed out meanwhile.

        Once it runs, what lies in its folder may change from one look to the next, and lead elsewhere.
        """
        await self.drop_results(job)
        async with self._listing.setdefault(job, asyncio.Lock()):
            await self.drop_results(job)
            yield

    async def results(self, folder: JobFolder, *, zipped: bool = False) -> Offering:
        """The results of a job that has ended, hashed once for all who ask and may have them; or one zip of them."""
        if zipped:
            return await self._zips.get(folder.job, partial(self._zip, folder))
        return await self._results.get(folder.job, partial(self._hash, folder))

    async def _zip(self, folder: JobFolder) -> Offering:
        while True:
            results = await self.results(folder)
            async with self._listing.setdefault(folder.job, asyncio.Lock()):
                # asked here: it may have been made to go on since, and these results be those of before
                if results is self._results.known(folder.job):
                    title = (await asyncio.to_thread(folder.spec)).name
                    return await make_zip(results, zip_name(title, folder.job))

    async def _hash(self, folder: JobFolder) -> Offering:
        async with self._listing.setdefault(folder.job, asyncio.Lock()):
            # asked here: it may have been made to go on since whoever wants them looked
            if not await asyncio.to_thread(has_ended, folder):
                raise still_running()
            self._owners[folder.job] = (await asyncio.to_thread(folder.spec)).owner
            files = await asyncio.to_thread(folder.results)
            return await make_offering(FilesSource({file.path: file.source for file in files}))

    async def close(self) -> None:
        """End what is being hashed, and give all files back."""
        await self._zips.close()
        await self._results.close()
        await self.models.close()


def still_running() -> ConflictError:
    """The error for who asks for the results of a job that has none yet."""
    return ConflictError("The job is still running; its models can be fetched when it has ended.")


def has_ended(folder: JobFolder) -> bool:
    """Whether a job is over. Blocks."""
    # the journal is written before the state file, and whoever watches it may ask in between
    last = read_events(folder.events, max(0, last_seq(folder.events) - 1))
    if last and isinstance(last[-1].body, StateChanged):
        return last[-1].body.state.ended
    return folder.state().state.ended


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
