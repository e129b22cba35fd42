"""Exports that a worker begins by itself: one for each model that it has trained, and never a second one."""

import asyncio
import hashlib
import logging

from sleap_rtc.errors import BusyError, SleapRTCError, StorageError, UnreachableError
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.bundles_shelf import BundleShelf, Note
from sleap_rtc.protocol.exporting import ExportOptions
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.ids import new_id
from sleap_rtc.protocol.jobs import Owner
from sleap_rtc.protocol.models import RoomModel

logger = logging.getLogger(__name__)

_LATER = (BusyError, StorageError, UnreachableError)
"""What may be otherwise in a while; all else is why there is no export."""


def export_job(digest: str, wanted: str) -> str:
    """The id of the one job that exports a model by itself: begun twice, it is the same job."""
    return new_id("job", hashlib.sha256(f"{digest} {wanted}".encode()).digest()[:15])


class AutoExport:
    """Submits exports of models whose notes ask for one, on behalf of whoever had them trained.

    Args:
        board: the worker's jobs.
        shelf: the models that it keeps.
    """

    def __init__(self, board: JobBoard, shelf: BundleShelf) -> None:
        self._board = board
        self._shelf = shelf
        self._troubles: dict[str, str] = {}

    async def begin(self, room: str) -> None:
        """Begin the exports that are still to be begun; what becomes of them is for their jobs to say.

        Raises:
            StorageError, OSError: if it cannot be noted that one was begun.
        """
        for note in await asyncio.to_thread(self._shelf.notes, room):
            if note.export_as is None:
                continue
            problem = ""
            try:
                await self._submit(note, room)
            except _LATER as error:
                if self._troubles.get(note.digest) != str(error):
                    logger.info("The model of %s is exported later: %s", note.job, error)
                self._troubles[note.digest] = str(error)
                continue
            except SleapRTCError as error:
                problem = str(error)[:300]
                logger.warning("The model of %s is not exported as %s: %s", note.job, note.export_as, error)
            self._troubles.pop(note.digest, None)
            known = note.model_copy(update={"export_as": None, "not_exported": problem})
            await asyncio.to_thread(self._shelf.write, room, known)

    async def _submit(self, note: Note, room: str) -> None:
        assert note.export_as is not None and note.user is not None  # noqa: S101, PT018 - both are noted together
        folder = await self._board.receive(
            export_job(note.digest, note.export_as),
            owner=Owner(user=note.user, name=note.made_by, room=room),
            name=f"{note.title} as {note.export_as}"[:256],
            manifest_digest=Manifest(files=()).digest,
            options=ExportOptions(model=RoomModel(digest=note.digest), format=note.export_as),
        )
        await self._board.accept(folder)
        logger.info("The model of %s is exported as %s by the job %s.", note.job, note.export_as, folder.job)
