"""What a worker does with models for whoever is behind a link: hands out those of their room, and takes new ones."""

import asyncio
import logging
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import BusyError, NotFoundError, PackageError, ProtocolError
from sleap_rtc.jobs.bundles import BEST, KEPT, Bundle, finish_bundle, read_small
from sleap_rtc.jobs.bundles_reading import CONFIG, MAX_CONFIG, MAX_METRICS, METRICS, describe_run
from sleap_rtc.jobs.bundles_shelf import BundleShelf, Note
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import Manifest
from sleap_rtc.protocol.jobs import Owner
from sleap_rtc.protocol.model_messages import MAX_FILES, ModelPush, ModelPushed, digest_of
from sleap_rtc.protocol.models import MAX_RECORD, RECORD, BundleFile, ModelPart, ModelRecord
from sleap_rtc.protocol.zipping import inside_of
from sleap_rtc.session.requests import Handlers
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.fetch import Fetch, Target
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import FilesSource
from sleap_rtc.transfer.store import Store
from sleap_rtc.transfer.stored_zip import make_zip
from sleap_rtc.transfer.threads import in_thread
from sleap_rtc.worker.offerings import Offerings
from sleap_rtc.worker.zip_names import zip_name

logger = logging.getLogger(__name__)

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_RUNS = 16
PUSHES_AT_ONCE = 4


class ModelDesk:
    """What all links of a worker share about models.

    Args:
        shelf: the worker's models.
        store: the files that clients sent.
    """

    def __init__(self, shelf: BundleShelf, store: Store) -> None:
        self.shelf = shelf
        self.store = store
        self.pushing = 0
        self._offerings: Offerings[tuple[str, str]] = Offerings()
        self._zips: Offerings[tuple[str, str]] = Offerings()

    async def zipped(self, room: str, digest: str) -> Offering:
        """A model of a room as one zip.

        Raises:
            NotFoundError: if the room has no such model here.
            TransferError: if a file of it cannot be read.
        """
        key = room, digest
        self._offerings.note_asked(key)
        return self._zips.known(key) or await self._zips.get(key, partial(self._zip, room, digest))

    async def _zip(self, room: str, digest: str) -> Offering:
        files = await self.offering(room, digest)
        note = await asyncio.to_thread(self.shelf.note, room, digest)
        title = note.title if note.version is None else f"{note.register_as}-{note.version}"
        return await make_zip(files, zip_name(title, f"model-{digest[:12]}"))

    async def offering(self, room: str, digest: str) -> Offering:
        """A model of a room, listed and hashed once for all who ask.

        Raises:
            NotFoundError: if the room has no such model here.
            PackageError: if a file of it cannot be read.
        """
        key = room, digest
        if (known := self._offerings.known(key)) is None:
            folder = await asyncio.to_thread(self.shelf.folder, room, digest)
            self._offerings.note_asked(key)
            return await self._offerings.get(key, partial(_offering_of, folder))
        self._offerings.note_asked(key)
        return known

    def in_use(self, room: str, digest: str) -> bool:
        """Whether somebody fetches a model, or did a moment ago and may go on."""
        return self._offerings.in_use((room, digest))

    async def drop(self, room: str, digest: str) -> None:
        """Hand a model out no longer: it was removed."""
        await self._zips.drop((room, digest))
        await self._offerings.drop((room, digest))

    async def close(self) -> None:
        """End what is being hashed, and give all files back."""
        await self._zips.close()
        await self._offerings.close()


class ModelService:
    """Answers one link; only models of its room exist for it.

    Args:
        desk: what all links share.
        owner: who is behind the link, as the service stamped them.
        check_new_work: raises where they may begin nothing new just now.
    """

    def __init__(self, desk: ModelDesk, owner: Owner, check_new_work: Callable[[], None]) -> None:
        self._desk = desk
        self._owner = owner
        self._check_new_work = check_new_work

    @property
    def handlers(self) -> Handlers:
        """What answers the client's requests."""
        return {ModelPush: self._push}

    async def offering(self, transfer: str) -> Offering:
        """The model that a transfer id asks for, or one zip of it.

        Raises:
            NotFoundError: if the room has no such model here.
        """
        inside = inside_of(transfer)
        if inside is not None:
            return await self._desk.zipped(self._owner.room, digest_of(inside) or "")
        return await self._desk.offering(self._owner.room, digest_of(transfer) or "")

    async def _push(self, session: Session, message: ModelPush) -> Message:
        self._check_new_work()
        if self._desk.pushing >= PUSHES_AT_ONCE:
            raise BusyError("Several models are being pushed to this worker already. Try again in a moment.")
        self._desk.pushing += 1
        try:
            note = await self._receive(session, message)
        finally:
            self._desk.pushing -= 1
        return ModelPushed(digest=note.digest, size=note.size)

    async def _receive(self, session: Session, message: ModelPush) -> Note:
        shelf, owner = self._desk.shelf, self._owner
        fresh = shelf.fresh()
        place = await asyncio.to_thread(fresh.__enter__)
        try:
            fetch = Fetch(session, message.transfer, Target(self._desk.store, f"{owner.room}/{owner.user}", place))
            manifest = await fetch.manifest(message.manifest)
            check_model(manifest)
            async with fetch.progress.told(session, message.transfer):
                await fetch.files(manifest)
            return await in_thread(_add, shelf, owner, place, manifest, min(message.made, utc_ms()))
        finally:
            await asyncio.to_thread(fresh.__exit__, None, None, None)


def check_model(manifest: Manifest) -> None:
    """See that a manifest lists a model: run folders with what sleap-nn leaves in them, and nothing else.

    Raises:
        PackageError: with the file that does not belong, or what is missing.
    """
    if len(manifest.files) > MAX_FILES:
        raise PackageError(f"The model has more than {MAX_FILES} files.")
    found: dict[str, set[str]] = {}
    for entry in manifest.files:
        if entry.sha256 is None:
            raise PackageError(f"{entry.path} of the model comes without its SHA-256, which the model's digest needs.")
        if entry.path == RECORD:
            if entry.size > MAX_RECORD:
                raise PackageError(f"The model's {RECORD} is larger than {MAX_RECORD // 1024} KiB.")
            continue
        run, _, name = entry.path.partition("/")
        if not _RUN.fullmatch(run) or "/" in name or not (name in KEPT or name.startswith("metrics.")):
            raise PackageError(f"{entry.path} does not belong into a model: run folders with {', '.join(KEPT)} do.")
        found.setdefault(run, set()).add(name)
    if not 1 <= len(found) <= _MOST_RUNS:
        raise PackageError(f"A model has 1 to {_MOST_RUNS} run folders; this one has {len(found)}.")
    for run, names in found.items():
        for needed in (BEST, CONFIG):
            if needed not in names:
                raise PackageError(f"{run}/{needed} is missing: without it {run} is no model.")


async def _offering_of(folder: Path) -> Offering:
    return await make_offering(FilesSource(await asyncio.to_thread(_files_of, folder)))


def _files_of(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _add(shelf: BundleShelf, owner: Owner, place: Path, manifest: Manifest, made: int) -> Note:
    files = tuple(
        BundleFile(path=entry.path, size=entry.size, sha256=entry.sha256)
        for entry in sorted(manifest.files, key=lambda entry: entry.path)
        if entry.path != RECORD and entry.sha256 is not None
    )
    bundle = finish_bundle(place, _known_record(place, files) or _new_record(place, files, owner, made))
    # what a pushed model.json says of jobs and people is its sender's word: the room is told who it was that pushed it
    note = Note.of(bundle, arrived=utc_ms(), user=owner.user)
    return shelf.add(owner.room, bundle, note.model_copy(update={"job": None, "made_by": owner.name}))


def _known_record(place: Path, files: Sequence[BundleFile]) -> ModelRecord | None:
    """The ``model.json`` that came along, as it was before it got a name; None if it is about other files."""
    data = read_small(place / RECORD, MAX_RECORD)
    try:
        record = ModelRecord.from_bytes(data).model_copy(update={"name": None, "version": None})
    except ProtocolError:
        return None
    folders = {file.path.partition("/")[0] for file in files}
    same = record.files == tuple(files) and {part.folder for part in record.parts} == folders
    return record if same and record.format == "sleap-nn" and record.source is None else None


def _new_record(place: Path, files: Collection[BundleFile], owner: Owner, made: int) -> ModelRecord:
    parts: list[ModelPart] = []
    version = ""
    for run in sorted({file.path.partition("/")[0] for file in files}):
        folder = place / run
        config, metrics = read_small(folder / CONFIG, MAX_CONFIG), read_small(folder / METRICS, MAX_METRICS)
        part, version = describe_run(run, "", config, metrics)
        parts.append(part)
        if not part.model_type:
            raise PackageError(f"{run}/{CONFIG} does not say what kind of model it is: sleap-nn writes one head there.")
    return ModelRecord(parts=tuple(parts), files=tuple(files), sleap_nn=version, made_by=owner.name, made=made)


def received_bundle(place: Path, digest: str, size: int) -> Bundle:
    """A bundle that was fetched from another worker, and verified against its digest. Blocks.

    Raises:
        NotFoundError: if it has no ``model.json``.
        ProtocolError: if that cannot be read.
    """
    data = read_small(place / RECORD, MAX_RECORD)
    if not data:
        raise NotFoundError(f"The model has no {RECORD}.")
    return Bundle(place, digest, size, ModelRecord.from_bytes(data))
