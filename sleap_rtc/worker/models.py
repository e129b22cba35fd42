"""The models of a worker: made of jobs that are over, told to the service, given their names, and removed in time."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import ConnectionLost, SleapRTCError, StorageError, UnreachableError
from sleap_rtc.jobs import intake
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.bundles_keeping import bundle_job
from sleap_rtc.jobs.bundles_shelf import BundleShelf, Note
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.exporting import ExportFormat
from sleap_rtc.protocol.reports import MODELS_AT_ONCE, ModelFacts, ModelReport, ReportModels
from sleap_rtc.signaling.client import SignalingClient
from sleap_rtc.worker.auto_export import AutoExport
from sleap_rtc.worker.model_service import ModelDesk
from sleap_rtc.worker.reporting import Reporter, pages

logger = logging.getLogger(__name__)

_PAUSE = 60.0
"""Seconds until a job whose models could not be kept is looked at again."""
_PATIENCE = 30.0
"""Seconds that the service may take to say whether a model has a name."""


class ModelReporter(Reporter):
    """Makes bundles of the room's jobs that are over, and tells the service which ones are here; see `Reporter`.

    Args:
        board: the worker's jobs.
        signaling: its connection to the service.
        every: seconds between two looks.
        desk: hands out the models that it keeps.
        export_as: the format in which what was trained is exported by itself; None for no such exports.
    """

    def __init__(
        self,
        board: JobBoard,
        signaling: SignalingClient,
        every: float,
        desk: ModelDesk,
        export_as: ExportFormat | None = None,
    ) -> None:
        super().__init__(board, signaling, every)
        self._export_as = export_as
        self._exports = AutoExport(board, desk.shelf)
        self._desk, self._shelf = desk, desk.shelf
        self._looked_at: dict[str, tuple[int, int]] = {}
        self._told: list[ModelReport] | None = None
        self._deletions = 0
        self._troubles: dict[str, str] = {}
        self._not_before: dict[str, float] = {}

    def forget(self) -> None:
        """See `Reporter.forget`."""
        self._told = None

    async def tell(self, room: str) -> None:
        """See `Reporter.tell`."""
        # first what is here: a room without a registry says so, and needs no copies
        if not await self._report(room):
            return
        for folder, stamp in await asyncio.to_thread(self._new):
            # one at a time: files of gigabytes are read, and the worker may have to end meanwhile
            made = await asyncio.to_thread(self._make, folder, room)
            if made is not None:
                self._looked_at[folder.job] = stamp
            if made:
                await self._drop_earlier(room, folder.job)
                await self._report(room)
        await self._register(room)
        # also without the option: what was to be exported when it was trained is exported
        await self._exports.begin(room)

    async def _report(self, room: str) -> bool:
        """Tell what is here, if that is news; whether there is a point in telling more."""
        held = [_report_of(note) for note in await asyncio.to_thread(self._shelf.notes, room)]
        deletions = self.signaling.deletions
        if held == self._told and deletions == self._deletions:
            return True
        self._deletions = deletions
        self._told = None  # a list that breaks off begins again
        all_pages = list(pages(held, MODELS_AT_ONCE)) or [()]
        gone: set[str] = set()
        for number, page in enumerate(all_pages, 1):
            answer = await self.send(ReportModels(models=page, complete=number == len(all_pages)))
            if not answer.wanted:
                return False
            gone |= {digest for digest in answer.unwanted if digest in {report.digest for report in page}}
        for digest in gone:
            logger.info("The room has deleted the model %s: it is removed here.", digest[:12])
            await self._desk.drop(room, digest)
            await asyncio.to_thread(self._shelf.remove, room, digest)
        self._told = [report for report in held if report.digest not in gone]
        return True

    async def _drop_earlier(self, room: str, job: str) -> None:
        """Remove what a job had left before it was resumed, unless the room has a name for that."""
        # one that came from elsewhere says of its job what it likes, and is neither removed nor takes another's place
        ours = [note for note in await asyncio.to_thread(self._shelf.notes, room) if note.job == job and note.user]
        for note in ours[1:]:
            if note.version is None and not self._desk.in_use(room, note.digest):
                named = await self.signaling.is_named(note.digest)
                if not named:
                    await self._desk.drop(room, note.digest)
                    await asyncio.to_thread(self._shelf.remove, room, note.digest)

    def _new(self) -> Sequence[tuple[JobFolder, tuple[int, int]]]:
        """Jobs that have changed since they were looked at, the oldest first."""
        stamps = {}
        for folder in self.board.folders():
            try:
                stamps[folder.job] = folder, folder.state_stamp()
            except OSError as error:
                logger.debug("%s cannot be looked at for its models: %s", folder.job, error)
        self._looked_at = {job: stamp for job, stamp in self._looked_at.items() if job in stamps}
        now = time.monotonic()
        new = [
            (folder, stamp)
            for job, (folder, stamp) in stamps.items()
            if self._looked_at.get(job) != stamp and self._not_before.get(job, now) <= now
        ]
        return sorted(new, key=lambda each: each[1][1])

    def _make(self, folder: JobFolder, room: str) -> bool | None:
        """Make the bundle of a job that is over; whether one was made, or None if it has to be looked at again."""
        try:
            made = bundle_job(folder, room, self._shelf, export_as=self._export_as)
        except intake.ODD as error:
            if self._troubles.get(folder.job) != str(error):
                tell = logger.warning if isinstance(error, StorageError) else logger.debug
                tell("The models of the job %s cannot be kept now: %s", folder.job, error)
            self._troubles[folder.job] = str(error)
            # gigabytes may have been copied in vain
            self._not_before[folder.job] = time.monotonic() + _PAUSE
            return None
        self._troubles.pop(folder.job, None)
        self._not_before.pop(folder.job, None)
        return made

    async def _register(self, room: str) -> None:
        for note in await asyncio.to_thread(self._shelf.notes, room):
            if not note.wants_name or note.register_as is None:
                continue
            try:
                version = await self.signaling.register_model(note.register_as, note.digest)
            except (ConnectionLost, UnreachableError):
                raise
            except SleapRTCError as error:
                logger.warning("The model of %s gets no name '%s': %s", note.job, note.register_as, error)
                known: dict[str, object] = {"refused": str(error)[:300]}
            else:
                logger.info("The model of %s is %s@%d.", note.job, note.register_as, version)
                known = {"version": version}
            await asyncio.to_thread(self._shelf.write, room, note.model_copy(update=known))


async def remove_old(
    shelf: BundleShelf, signaling: SignalingClient, keep: float, in_use: Callable[[str, str], bool]
) -> None:
    """Remove the models that came more than `keep` seconds ago, but for those that have a name, or are being fetched.

    Args:
        shelf: the worker's models.
        signaling: its connection to the service, which knows the names: where it cannot be asked, all is kept.
        keep: seconds.
        in_use: whether somebody fetches a model just now.
    """
    before = utc_ms() - keep * 1000
    for room in await asyncio.to_thread(shelf.rooms):
        for note in await asyncio.to_thread(shelf.notes, room):
            if note.arrived >= before or note.version is not None or note.wants_name or in_use(room, note.digest):
                continue
            try:
                async with asyncio.timeout(_PATIENCE):
                    # what was kept for another room is not this service's to judge
                    mine = (await signaling.welcome()).principal.room == room
                    # what was exported is kept as long as what it was made from
                    goes = mine and not await signaling.is_named(note.source or note.digest)
                if goes:
                    await asyncio.to_thread(shelf.remove, room, note.digest)
                    logger.info("The model %s has no name, came long ago and was removed.", note.digest[:12])
            except (SleapRTCError, OSError) as error:
                logger.debug("Whether the model %s is to go cannot be told: %s", note.digest[:12], error)
                return


def _report_of(note: Note) -> ModelReport:
    return ModelReport(
        digest=note.digest,
        format=note.format,
        source=note.source,
        title=note.title,
        size=note.size,
        job=note.job,
        user=note.user,
        made=note.made,
        facts=ModelFacts(
            types=note.types,
            loss=note.loss,
            sleap_nn=note.sleap_nn,
            parent=note.parent,
            made_by=note.made_by,
        ),
    )
