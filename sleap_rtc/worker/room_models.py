"""The models of a worker's room, wherever they are: what a job needs is put where the job finds it."""

import asyncio
import shutil
from pathlib import Path
from weakref import WeakValueDictionary

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import NotFoundError, StorageError
from sleap_rtc.jobs.bundles_shelf import BundleShelf, Note
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.bundle import fetch_bundle, verify_bundle
from sleap_rtc.transfer.disk import storage_error
from sleap_rtc.transfer.store import Store
from sleap_rtc.worker.model_service import received_bundle
from sleap_rtc.worker.peers import Peers


class RoomModels:
    """Models of this worker, and those that it gets from others of its room.

    Args:
        shelf: what this worker keeps.
        store: what arrives, whole and in parts.
        peers: the other workers.
    """

    def __init__(self, shelf: BundleShelf, store: Store, peers: Peers) -> None:
        self.peers = peers
        """The other workers."""
        self._shelf = shelf
        self._store = store
        self._bringing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def place(self, digest: str, room: str, target: Path) -> None:
        """Put a copy of a model into a new folder, each file checked; from another worker if it is not here.

        What was fetched is kept on the shelf then, and told to the service.

        Args:
            digest: the bundle's.
            room: whose model it is.
            target: the folder; it must not be there, and is only there afterwards if all of it is.

        Raises:
            NotFoundError: if no worker of the room that is online holds it.
            TransferError: if it is damaged here.
            StorageError: if the disk refuses.
            UnreachableError: if no holder could be used.
        """
        lock = self._bringing.setdefault(digest, asyncio.Lock())
        async with lock:  # several jobs want it: one brings it, the others find it here
            try:
                folder = await asyncio.to_thread(self._shelf.folder, room, digest)
            except NotFoundError:
                folder = await self._bring(room, digest)
        await asyncio.to_thread(_copy, folder, digest, target)

    async def _bring(self, room: str, digest: str) -> Path:
        if room != self.peers.room:
            raise NotFoundError("This worker has no such model of the room.")
        fresh = self._shelf.fresh()
        place = await asyncio.to_thread(fresh.__enter__)
        try:

            async def fetch(session: Session) -> None:
                await fetch_bundle(session, digest, place, self._store)

            await self.peers.fetch(digest, fetch)
            await asyncio.to_thread(self._keep, room, digest, place)
        finally:
            await asyncio.to_thread(fresh.__exit__, None, None, None)
        return await asyncio.to_thread(self._shelf.folder, room, digest)

    def _keep(self, room: str, digest: str, place: Path) -> None:
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        bundle = received_bundle(place, digest, size)
        self._shelf.add(room, bundle, Note.of(bundle, arrived=utc_ms()))


def _copy(folder: Path, digest: str, target: Path) -> None:
    try:
        shutil.copytree(folder, target)
        for path in (target, *target.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
        verify_bundle(target, digest)
    except FileExistsError:
        raise StorageError(f"{target} is there already: a model is not put over something else.") from None
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise storage_error(error, target) from error
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
