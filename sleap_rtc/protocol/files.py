"""Files between peers: path rules, manifests, and the messages that fetch what a receiver lacks.

The receiver drives: it asks for the manifest, for the chunk lists of files it does not have, and for the chunks it
lacks, over the lanes it chooses; it checks each chunk, and each file before the file gets its name. The same exchange
serves both directions.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from sleap_rtc.errors import PackageError, ProtocolError
from sleap_rtc.protocol.chunks import LARGEST_AVERAGE, MAX_CHUNKS, SINGLE
from sleap_rtc.protocol.codec import Message, parse_json
from sleap_rtc.protocol.streams import LINK_WINDOW, StreamRequest
from sleap_rtc.protocol.text import one_line

MAX_ENTRIES = 20_000
MAX_MANIFEST = 16 * 1024 * 1024
MAX_FILE_SIZE = MAX_CHUNKS * LARGEST_AVERAGE
MAX_PARTS = 32
"""Deepest path: folders cost a receiver more than the bytes that name them."""
_MAX_PATH = 1024
_MAX_NAME = 255
_DRIVE = re.compile(r"^[A-Za-z]:")
_DEVICE = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)
# control characters, lone surrogates, and what breaks a line elsewhere
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def check_path(path: str) -> str:
    """Return `path` if it may name a file on every system: relative, ``/`` between names, no trick in any of them.

    Raises:
        PackageError: for an empty, absolute, over-long or over-deep path, ``.`` or ``..``, backslashes, drive letters,
            control characters, a trailing dot or space, or a Windows device name.
    """
    problem = _path_problem(path)
    if problem:
        raise PackageError(f"The file name '{one_line(path, limit=120)}' is refused: {problem}.")
    return path


def _path_problem(path: str) -> str | None:
    if not path or len(path.encode("utf-8", "surrogatepass")) > _MAX_PATH:
        return f"a path has 1 to {_MAX_PATH} bytes"
    if path.startswith("/") or _DRIVE.match(path):
        return "it is absolute"
    if "\\" in path:
        return "it contains a backslash"
    if any(unicodedata.category(character) in _UNPRINTABLE for character in path):
        return "it contains control characters"
    if path.count("/") >= MAX_PARTS:
        return f"it is more than {MAX_PARTS} names deep"
    return next((problem for name in path.split("/") if (problem := _name_problem(name))), None)


def _name_problem(name: str) -> str | None:
    if name in ("", ".", ".."):
        return "it contains an empty, '.' or '..' part"
    if len(name.encode()) > _MAX_NAME:
        return f"a name has at most {_MAX_NAME} bytes"
    if name[-1] in ". ":
        return "a name ends in a dot or a space"
    if _DEVICE.match(name) or any(character in '<>:"|?*' for character in name):
        return "a name is reserved on Windows"
    return None


def is_clutter(path: str) -> bool:
    """Whether a file of a package is none of the user's: what a desktop leaves in folders and zip files."""
    return path.startswith("__MACOSX/") or path.rsplit("/", 1)[-1].startswith(".")


def folded(path: str) -> str:
    """`path` as the pickiest file system compares it: what has the same form is one file somewhere."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def check_tree(paths: Iterable[str]) -> None:
    """Check that `paths` can live in one folder: each one allowed, no two alike, none below another, not too many.

    Raises:
        PackageError: with a path that breaks a rule.
    """
    found: list[str] = []
    for path in paths:
        found.append(check_path(path))
        if len(found) > MAX_ENTRIES:
            raise PackageError(f"The package has more than {MAX_ENTRIES} files.")
    for path in colliding(found):
        raise PackageError(f"The file name '{one_line(path, limit=120)}' collides with another one in the package.")
    if _count_folders(found) > MAX_ENTRIES:
        raise PackageError(f"The package has more than {MAX_ENTRIES} folders.")


def colliding(paths: Iterable[str]) -> Iterator[str]:
    """Those of allowed `paths` that cannot live in one folder with the others: without them, the rest can."""
    # sorted like this, all that a path collides with follows right after it; sets of all folders would take gigabytes
    before = ""
    for key, path in sorted((folded(path).replace("/", "\0"), path) for path in paths):
        if before and (key == before or key.startswith(f"{before}\0")):
            yield path
        else:
            before = key


def _count_folders(paths: Iterable[str]) -> int:
    count = 0
    before: list[str] = []
    for folders in sorted(path.split("/")[:-1] for path in paths):
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(before, folders, strict=False))
        count += len(folders) - sum(1 for _ in shared)
        before = folders
    return count


class FileEntry(BaseModel):
    """One file of a manifest.

    Attributes:
        path: where it goes.
        size: how many bytes it has.
        sha256: their SHA-256 in hex; None where the sender leaves it to the receiver to find out.
        chunks: SHA-256 in hex of its chunk list; None for a file of at most `SINGLE` bytes, which is one chunk.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    path: str
    size: int = Field(ge=0, le=MAX_FILE_SIZE, strict=True)
    sha256: Sha256 | None = None
    chunks: Sha256 | None = None

    @model_validator(mode="after")
    def _has_chunks(self) -> Self:
        if self.chunks is None and (self.size > SINGLE or self.sha256 is None):
            raise ValueError("a file of this size, or without a hash of its own, has a chunk list")
        return self

    @property
    def content(self) -> str:
        """What names the bytes: their SHA-256, or else ``chunks:`` and the digest of the chunk list."""
        return self.sha256 or f"chunks:{self.chunks}"


class Manifest(BaseModel):
    """What a tree of files holds, in the order its sender listed them."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    files: tuple[FileEntry, ...]

    @property
    def total_size(self) -> int:
        """Bytes of all files together."""
        return sum(entry.size for entry in self.files)

    def __iter__(self) -> Iterator[FileEntry]:  # type: ignore[override] # pydantic iterates over fields, we over files
        return iter(self.files)

    def to_bytes(self) -> bytes:
        """The manifest as JSON, for a byte stream."""
        return json.dumps(
            {"files": [entry.model_dump(exclude_none=True) for entry in self.files]}, separators=(",", ":")
        ).encode()

    @property
    def digest(self) -> str:
        """SHA-256 in hex over the sorted entries: the same tree has the same digest whatever its order."""
        lines = sorted(f"{entry.content} {entry.size} {entry.path}\n" for entry in self.files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Manifest":
        """Read a manifest a peer sent.

        Raises:
            ProtocolError: if it is none.
            PackageError: if it breaks a path rule or has more than `MAX_ENTRIES` files.
        """
        try:
            body = parse_json(data.decode("utf-8"), limit=MAX_MANIFEST)
            # counted first: of each entry that is none, a complaint would be made, and millions fit into a manifest
            listed = body.get("files") if isinstance(body, dict) else None
            if isinstance(listed, list) and len(listed) > MAX_ENTRIES:
                raise PackageError(f"The package has more than {MAX_ENTRIES} files.")
            manifest = cls.model_validate(body)
        except (ValidationError, UnicodeDecodeError) as error:
            raise ProtocolError("A manifest arrived that cannot be read.") from error
        check_tree(entry.path for entry in manifest.files)
        return manifest


class ManifestRef(BaseModel):
    """Which manifest is meant: the length of its bytes, and the digest of the tree it lists."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    size: int = Field(ge=2, le=MAX_MANIFEST)
    digest: Sha256

    @classmethod
    def of(cls, manifest: Manifest) -> "ManifestRef":
        """Refer to `manifest`.

        Raises:
            PackageError: if its list of files is longer than `MAX_MANIFEST` bytes.
        """
        size = len(manifest.to_bytes())
        if size > MAX_MANIFEST:
            raise PackageError("The package has too many files with too long names. Pack fewer of them.")
        return cls(size=size, digest=manifest.digest)


TransferId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
"""Names a set of files: the id of a job, ``m_`` and a model's digest, or ``z_`` and one of these for one zip of it."""


class ManifestGet(StreamRequest):
    """Receiver → sender: send the manifest of this transfer, as JSON."""

    TYPE = "manifest.get"
    transfer: TransferId


class ChunksGet(StreamRequest):
    """Receiver → sender: send the chunk list of the manifest's file number `file`, in its binary form."""

    TYPE = "chunks.get"
    transfer: TransferId
    file: int = Field(ge=0, lt=MAX_ENTRIES)


class FileGet(StreamRequest):
    """Receiver → sender: send `size` bytes of a file from byte `offset` on: chunks that the receiver lacks."""

    TYPE = "file.get"
    transfer: TransferId
    file: int = Field(ge=0, lt=MAX_ENTRIES)
    offset: int = Field(ge=0, lt=MAX_FILE_SIZE)
    size: int = Field(ge=1, le=LINK_WINDOW)


class TransferProgress(Message):
    """Receiver → sender: how far the transfer is, now and then; answered, so that a slow link is told less often.

    `here` counts bytes that did not have to be sent, `arrived` those that were sent, checked and written. `paused`
    says why nothing is asked for just now.
    """

    TYPE = "transfer.progress"
    transfer: TransferId
    here: int = Field(ge=0, lt=2**62)
    arrived: int = Field(ge=0, lt=2**62)
    paused: str | None = Field(default=None, max_length=500)
