"""What a worker shows of its mounts: their labels, and what lies in them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

from sleap_rtc.errors import BusyError, UnreachableError
from sleap_rtc.jobs.folder_listing import PATIENCE, Look
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.mounts import MAX_MOUNTS, FolderGet, FolderListing, MountInfo, MountList, MountListed
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Producers, Session
from sleap_rtc.session.streams import SendStream

AT_ONCE = 2
"""Folders that a worker looks into at once, for all its clients: a disk that hangs holds no more threads than these."""
_ITS_SHARE = 0.8


class Browser:
    """What all links of a worker share of this.

    Args:
        mounts: where clients may look.
        patience: seconds until a look is cut short.
    """

    def __init__(self, mounts: Mounts, patience: float = PATIENCE) -> None:
        self.mounts = mounts
        self._patience = patience
        self._pool = ThreadPoolExecutor(AT_ONCE, "sleap-rtc-listing")

    async def look(self, place: str) -> FolderListing:
        """List a folder, or as much of it as was found in time.

        Raises:
            ConfigError: if that is no place below a mount.
            NotFoundError: if there is no such folder.
            UnreachableError: if nothing was found in time: the disk hangs, or others are being looked at.
        """
        # it cuts itself short before; what it cannot cut is a disk that does not answer
        look = Look(self.mounts, place, patience=_ITS_SHARE * self._patience)
        running = asyncio.get_running_loop().run_in_executor(self._pool, look.run)
        try:
            done, _ = await asyncio.wait({running}, timeout=self._patience)
        finally:
            running.cancel()
        if done:
            await running
        elif not look.listing.entries:
            raise UnreachableError(
                "The folder could not be listed in time: its disk is slow, or others look into theirs. Try again."
            )
        return look.listing

    def close(self) -> None:
        """Begin no more looks."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class BrowsingService:
    """Answers one client, one folder at a time."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._looking = False

    @property
    def handlers(self) -> Handlers:
        """What answers the client's requests."""
        return {MountList: self._list}

    @property
    def producers(self) -> Producers:
        """What answers the client's stream requests."""
        return {FolderGet: self._send_folder}

    async def _list(self, _: Session, message: MountList) -> Message:
        labels = self._browser.mounts.labels[:MAX_MOUNTS]
        return MountListed(mounts=tuple(MountInfo(label=label, rw=rw) for label, rw in labels))

    async def _send_folder(self, _: Session, message: FolderGet, stream: SendStream) -> None:
        if self._looking:
            raise BusyError("A folder is being listed over this link already; ask again when it is done.")
        self._looking = True
        try:
            listing = await self._browser.look(message.place)
        finally:
            self._looking = False
        await stream.write(listing.model_dump_json().encode(), last=True)
