"""The models that a worker keeps, room by room: ``<root>/<room>/<digest>/`` and a note beside each.

A bundle is whole or not there: it is put together elsewhere on the same disk, its note is written, and then one rename
puts it in its place. What is half done at a crash is swept at the next start.
"""

import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sleap_rtc.config.durable import sync_folder
from sleap_rtc.errors import NotFoundError
from sleap_rtc.protocol.exporting import ExportFormat
from sleap_rtc.protocol.files import Sha256
from sleap_rtc.protocol.ids import JobId, UserId, is_id
from sleap_rtc.protocol.labels import Label, UtcMs
from sleap_rtc.protocol.models import ModelFormat, ModelName, ModelVersion

from .bundles import Bundle
from .files import remove_tree, storage_error, write_atomically
from .folder import is_real_folder
from .quota import check_free

logger = logging.getLogger(__name__)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FRESH = ".new-"


class Note(BaseModel):
    """What a worker keeps about a bundle beside it, because it is said by others, or may change.

    Attributes:
        digest: the bundle's.
        format: of its files.
        source: for an exported format, the digest of the bundle that it was made from.
        title: what its runs are called.
        size: bytes of its files.
        job: the job that trained it.
        user: who trained it here, or pushed it here; None if it came from another worker.
        made: when it was ready.
        types: sleap-nn's head names.
        loss: the best validation loss of its last part.
        sleap_nn: the version that trained it.
        parent: the model that its training began with.
        made_by: who trained or pushed it, by name.
        register_as: the name that its submitter wants it to have.
        version: which version of that name it became; None until the service said so.
        refused: why it gets no such name; empty unless that was said.
        export_as: the format in which it is still to be exported by the worker itself.
        not_exported: why no such export was begun; empty unless that was so.
        arrived: when it came onto the shelf.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    digest: Sha256
    format: ModelFormat = "sleap-nn"
    source: Sha256 | None = None
    title: Label = ""
    size: int = Field(ge=0)
    job: JobId | None = None
    user: UserId | None = None
    made: UtcMs
    types: tuple[Label, ...] = ()
    loss: float | None = None
    sleap_nn: Label = ""
    parent: Sha256 | None = None
    made_by: Label = ""
    register_as: ModelName | None = None
    version: ModelVersion | None = None
    refused: str = ""
    export_as: ExportFormat | None = None
    not_exported: str = ""
    arrived: UtcMs

    @classmethod
    def of(
        cls,
        bundle: Bundle,
        *,
        arrived: int,
        user: str | None = None,
        loss: float | None = None,
        register_as: str | None = None,
        export_as: ExportFormat | None = None,
    ) -> "Note":
        """What there is to note about a bundle."""
        record = bundle.record
        return cls(
            digest=bundle.digest,
            format=record.format,
            source=record.source,
            title=" + ".join(part.folder for part in record.parts)[:128],
            size=bundle.size,
            job=record.job,
            user=user,
            made=record.made,
            types=tuple(part.model_type for part in record.parts),
            loss=loss,
            sleap_nn=record.sleap_nn,
            parent=record.parent.digest if record.parent else None,
            made_by=record.made_by,
            register_as=register_as,
            export_as=export_as,
            arrived=arrived,
        )

    @property
    def wants_name(self) -> bool:
        """Whether the service is still to be asked for its name."""
        return self.register_as is not None and self.version is None and not self.refused


class BundleShelf:
    """The folder of a worker's models. All methods block; one process at a time may use it.

    Args:
        root: the folder; made where missing.
        min_free: bytes of the disk that must be free for another bundle; 0 takes any.
    """

    def __init__(self, root: Path, *, min_free: int = 0) -> None:
        self.root = root
        """Where it is."""
        self._min_free = min_free

    def sweep(self) -> None:
        """Remove what a crash left: bundles that were being put together or removed, and notes without one."""
        for path in list(self.root.iterdir()) if is_real_folder(self.root) else ():
            if path.name.startswith(_FRESH):
                remove_tree(path)
        for room in self.rooms():
            for path in list((self.root / room).iterdir()):
                digest = path.name.removesuffix(".json")
                if path.suffix == ".json" and not (self.root / room / digest).is_dir():
                    path.unlink()
                elif _DIGEST.fullmatch(path.name) and not path.with_name(f"{path.name}.json").exists():
                    remove_tree(path)

    def rooms(self) -> list[str]:
        """The rooms that it keeps models of."""
        if not is_real_folder(self.root):
            return []
        return sorted(path.name for path in self.root.iterdir() if is_id("room", path.name) and is_real_folder(path))

    def notes(self, room: str) -> list[Note]:
        """The models of a room, the newest first; one that cannot be read is passed over."""
        folder = self._room(room)
        found = []
        for path in folder.glob("*.json") if is_real_folder(folder) else ():
            try:
                found.append(self.note(room, path.stem))
            except (NotFoundError, ValidationError, OSError) as error:
                logger.debug("The model %s cannot be read: %s", path.stem, error)
        return sorted(found, key=lambda note: (-note.made, note.digest))

    def note(self, room: str, digest: str) -> Note:
        """What is known about a model.

        Raises:
            NotFoundError: if the room has no such model here.
        """
        folder = self.folder(room, digest)
        try:
            return Note.model_validate_json(folder.with_name(f"{digest}.json").read_bytes())
        except FileNotFoundError as error:
            raise _unknown() from error

    def folder(self, room: str, digest: str) -> Path:
        """Where a model lies.

        Raises:
            NotFoundError: if the room has no such model here.
        """
        if _DIGEST.fullmatch(digest):
            folder = self._room(room) / digest
            if is_real_folder(folder):
                return folder
        raise _unknown()

    @contextmanager
    def fresh(self) -> Iterator[Path]:
        """A folder to put a bundle together in, on the same disk; it is gone after the body unless it was added.

        Raises:
            StorageError: if the disk is nearly full, or refuses.
        """
        self.check_free()
        path = self.root / f"{_FRESH}{secrets.token_hex(8)}"
        try:
            path.mkdir(parents=True, mode=0o700)
        except OSError as error:
            raise storage_error(path, error) from error
        try:
            yield path
        finally:
            remove_tree(path)

    def check_free(self, more: int = 0) -> None:
        """Refuse where the disk is nearly full.

        Args:
            more: bytes that there has to be space for beside.

        Raises:
            StorageError: if it is.
        """
        check_free(self.root, self._min_free + more)

    def add(self, room: str, bundle: Bundle, note: Note) -> Note:
        """Put a bundle into its place; on disk when this returns.

        Returns:
            Its note; of a model that is here already, the one that there was.

        Raises:
            StorageError: if the disk refuses.
        """
        try:
            return self.note(room, note.digest)
        except (NotFoundError, ValidationError):
            pass  # new, or its note was torn: written again below
        place = self._room(room) / note.digest
        try:
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in bundle.folder.rglob("*"):
                if path.is_file():
                    path.chmod(0o400)
            self.write(room, note)
            if not is_real_folder(place):
                bundle.folder.rename(place)
            sync_folder(place.parent)
        except OSError as error:
            raise storage_error(place, error) from error
        return note

    def write(self, room: str, note: Note) -> None:
        """Replace the note of a model; on disk when this returns.

        Raises:
            StorageError: if the disk refuses.
        """
        write_atomically(self._room(room) / f"{note.digest}.json", note.model_dump_json(indent=1).encode())

    def remove(self, room: str, digest: str) -> None:
        """Remove a model; nothing happens if it is not here.

        Raises:
            StorageError: if the disk refuses.
        """
        try:
            folder = self.folder(room, digest)
        except NotFoundError:
            return
        doomed = self.root / f"{_FRESH}{secrets.token_hex(8)}"
        try:
            # moved first: half a model is never taken for one
            folder.rename(doomed)
            folder.with_name(f"{digest}.json").unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(folder, error) from error
        remove_tree(doomed)

    def _room(self, room: str) -> Path:
        if not is_id("room", room):
            raise _unknown()
        return self.root / room


def _unknown() -> NotFoundError:
    return NotFoundError("This worker has no such model of the room.")
