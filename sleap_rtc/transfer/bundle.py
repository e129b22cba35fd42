"""A model's files from whoever holds it, checked against the digest that names it.

The digest says what every file must be. The other side is believed in nothing: what it offers is compared with the
digest before the first file is written, and what arrived before anybody may use it.
"""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from sleap_rtc.errors import ProtocolError, TransferError
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.model_messages import MAX_FILES, transfer_of
from sleap_rtc.protocol.models import MAX_RECORD, RECORD, ModelRecord, bundle_digest
from sleap_rtc.protocol.text import printable
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.disk import make_folder
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.store import Store

OnBytes = Callable[[int, int], None]


async def fetch_bundle(
    session: Session, digest: str, folder: Path, store: Store, on_bytes: OnBytes = lambda done, total: None
) -> ModelRecord:
    """Fetch the files of a bundle over a link, and check each of them.

    Args:
        session: the link to somebody who holds it.
        digest: the bundle's.
        folder: where its files go; private until the caller moves it.
        store: keeps them, whole and in parts.
        on_bytes: told the bytes that are here so far, and those there are.

    Raises:
        TransferError: if what is offered, or what arrived, is not that bundle.
        SleapRTCError: as `Fetch.files` does.
    """
    # whoever holds it hands out the same files: what one of them sent is there when another one goes on
    target = Target(store, transfer_of(digest), folder)
    total = 0
    progress = Progress(lambda here, arrived: on_bytes(here + arrived, total))
    fetch = Fetch(session, transfer_of(digest), target, progress)
    async with _moving(session, progress):
        manifest = await fetch.manifest()
        total = manifest.total_size
        offered = _check_offer(manifest, digest)
        if bundle_digest(offered.items()) != digest:
            await _say_which(fetch, manifest, digest, offered)
        await asyncio.to_thread(make_folder, folder)
        await fetch.files(manifest)
    return await asyncio.to_thread(verify_bundle, folder, digest)


async def fetch_record(session: Session, digest: str, folder: Path, store: Store) -> ModelRecord:
    """Fetch the ``model.json`` of a bundle alone, and check it.

    Args:
        session: the link to somebody who holds the bundle.
        digest: the bundle's.
        folder: a private folder for the file.
        store: keeps what arrived.

    Raises:
        TransferError: if what is offered, or what arrived, is not of that bundle.
        SleapRTCError: as `Fetch.files` does.
    """
    fetch = Fetch(session, transfer_of(digest), Target(store, transfer_of(digest), folder))
    manifest = await fetch.manifest()
    offered = _check_offer(manifest, digest)
    if bundle_digest(offered.items()) != digest:
        await _say_which(fetch, manifest, digest, offered)
    await asyncio.to_thread(make_folder, folder)
    # what the digest says of each file holds: one that is not the file is not put in its place
    await fetch.files(manifest, only=(RECORD,))
    return ModelRecord.from_bytes(await asyncio.to_thread((folder / RECORD).read_bytes))


@asynccontextmanager
async def _moving(session: Session, progress: Progress) -> AsyncIterator[None]:
    """End a transfer that does not get on: others may hold the model, and jobs wait for it.

    Raises:
        TransferError: if nothing has come for `Timeouts.stall`.
    """
    patience = session.timeouts.stall
    try:
        async with asyncio.timeout(patience) as limit:
            extending = asyncio.create_task(_extend(limit, progress, patience))
            try:
                yield
            finally:
                extending.cancel()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TransferError(f"The worker has sent nothing of the model for {patience:g} s. Ask another one.") from error


async def _extend(limit: asyncio.Timeout, progress: Progress, patience: float) -> None:
    seen = 0
    while not limit.expired():
        there = progress.here + progress.arrived
        # it may be this side that waits: for another transfer of the same file, or for its disk
        if progress.paused or there != seen:
            limit.reschedule(asyncio.get_running_loop().time() + patience)
        seen = there
        await asyncio.sleep(patience / 8)


def _check_offer(manifest: Manifest, digest: str) -> dict[str, str]:
    """The SHA-256 of every file on offer, by its path: what a digest is made of, and can be compared with."""
    if not any(entry.path == RECORD and entry.size <= MAX_RECORD for entry in manifest.files):
        raise TransferError(f"The worker offers no {RECORD} with the model {digest[:12]}. Nothing was written.")
    if len(manifest.files) > MAX_FILES:
        raise TransferError(f"The worker offers more than {MAX_FILES} files as one model. Nothing was written.")
    offered = {entry.path: entry.sha256 for entry in manifest.files if entry.sha256 is not None}
    for entry in manifest.files:
        if entry.path not in offered:
            raise TransferError(
                f"The worker offers {_shown(entry.path)} of the model without its SHA-256. Nothing was written."
            )
    return offered


async def _say_which(fetch: Fetch, manifest: Manifest, digest: str, offered: Mapping[str, str]) -> None:
    """What is offered is another bundle: find out where it differs, if its own ``model.json`` is still the right one.

    Raises:
        TransferError: always.
    """
    scratch = fetch.target.folder.with_name(f".{digest[:12]}.record")
    try:
        await asyncio.to_thread(make_folder, scratch)
        small = Fetch(fetch.session, fetch.transfer, Target(fetch.target.store, fetch.target.owner, scratch))
        await small.files(manifest, only=(RECORD,))
        record = ModelRecord.from_bytes(await asyncio.to_thread((scratch / RECORD).read_bytes))
    except ProtocolError:
        raise _not_the_model(RECORD) from None
    finally:
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
    named = {file.path: file.sha256 for file in record.files}
    if bundle_digest([*named.items(), (RECORD, offered[RECORD])]) != digest:
        raise _not_the_model(RECORD)
    raise _difference(named, offered)


def _difference(named: Mapping[str, str], offered: Mapping[str, str]) -> TransferError:
    for path, sha256 in sorted(named.items()):
        if path not in offered:
            return TransferError(f"{_shown(path)} of the model is missing there. Nothing was written.")
        if offered[path] != sha256:
            return _not_the_model(path)
    extra = sorted(set(offered) - set(named) - {RECORD})
    return TransferError(f"{_shown(extra[0]) if extra else RECORD} is no part of the model. Nothing was written.")


def _not_the_model(path: str) -> TransferError:
    return TransferError(f"{_shown(path)} is not the file that the model was made with: it was changed there.")


def verify_bundle(folder: Path, digest: str) -> ModelRecord:
    """Read every file once more where it lies now, and compare it with ``model.json`` and that with the digest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            raise _not_the_model(path.name)
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    record = ModelRecord.from_bytes((folder / RECORD).read_bytes())
    named = {file.path: file.sha256 for file in record.files}
    for name, sha256 in named.items():
        if found.get(name) != sha256:
            # fetched again at the next attempt
            (folder / name).unlink(missing_ok=True)
            raise _not_the_model(name)
    if set(found) != {RECORD, *named} or bundle_digest(found.items()) != digest:
        raise _not_the_model(RECORD)
    return record


def _shown(path: str) -> str:
    return printable(path, limit=120)
