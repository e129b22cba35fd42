"""Files, cut into chunks, for tests of the store."""

import hashlib
import random
from pathlib import Path

from sleap_rtc.protocol.chunks import SINGLE, ChunkList
from sleap_rtc.protocol.files import FileEntry
from sleap_rtc.transfer.part import Part
from sleap_rtc.transfer.store import Store

CHUNK = 4096 + 100
"""No multiple of a disk's block: chunks share blocks with their neighbours."""


def some_bytes(size: int, seed: int = 0) -> bytes:
    """The same bytes for the same seed."""
    return random.Random(seed).randbytes(size)


class File:
    """A file that a peer announces.

    Args:
        data: what it holds.
        path: what it is called.
        sha256: what the peer says of it; the truth by default.
        chunk: bytes of a chunk.
        hashed: whether the peer says its SHA-256 at all.
    """

    def __init__(
        self,
        data: bytes,
        path: str = "labels.pkg.slp",
        sha256: str | None = None,
        *,
        chunk: int = CHUNK,
        hashed: bool = True,
    ) -> None:
        self.data = data
        self.pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]
        self.sha256 = sha256 or hashlib.sha256(data).hexdigest()
        if len(data) <= SINGLE:
            self.pieces = [data] if data else []
        self.chunks = ChunkList((len(piece), hashlib.sha256(piece).digest()) for piece in self.pieces)
        self.entry = FileEntry(
            path=path,
            size=len(data),
            sha256=self.sha256 if hashed else None,
            chunks=self.chunks.digest if len(data) > SINGLE or not hashed else None,
        )

    def span(self, first: int, stop: int) -> bytes:
        """The bytes of some consecutive chunks."""
        return b"".join(self.pieces[first:stop])


def file_of(chunks: int, seed: int = 0, *, hashed: bool = True) -> File:
    """A file of so many chunks."""
    return File(some_bytes(chunks * CHUNK - 7, seed), hashed=hashed)


def bring(store: Store, owner: str, file: File) -> None:
    """Send a whole file."""
    part = store.begin(owner, file.entry, file.chunks)
    part.write(0, file.data)
    part.publish()


def bring_missing(part: Part, file: File) -> int:
    """Send what a part lacks, chunk by chunk, and publish it; returns how many chunks that were."""
    missing = part.missing()
    for index in missing:
        assert part.write(index, file.pieces[index]) == []
    part.publish()
    return len(missing)


def stored_path(store: Store, file: File) -> Path:
    """Where a store keeps a whole file."""
    return store.folder / "files" / file.sha256[:2] / file.sha256


def part_paths(store: Store) -> list[Path]:
    """The parts that lie in a store."""
    return list((store.folder / "parts").iterdir())


def assert_sound(store: Store) -> None:
    """No file is visible under a hash that is not its own."""
    for path in (store.folder / "files").rglob("*"):
        if not path.is_dir():
            assert not path.is_symlink()
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
