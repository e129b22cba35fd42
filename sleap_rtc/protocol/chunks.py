"""Chunk lists: how a file is cut, so that only what the other side lacks is sent.

On the wire and on disk a list is binary: for each chunk, in the order of the file, ``u32 length`` (network order) and
the 32 bytes of its SHA-256. Where the cuts are is the sender's choice; a receiver only checks that they add up.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from sleap_rtc.errors import ProtocolError

_ENTRY = struct.Struct("!I32s")
AVERAGE = 32 * 1024
"""Average bytes of a chunk in files up to 2 GiB: small enough that a changed label costs little."""
LARGEST_AVERAGE = 2 * 1024 * 1024
USUAL_CHUNKS = 64 * 1024
"""Chunks that a list should stay below: the average grows with the file until `LARGEST_AVERAGE`."""
MAX_CHUNK = 4 * LARGEST_AVERAGE
MAX_CHUNKS = 2**20
SINGLE = 16 * 1024
"""A file up to this size is one chunk, and needs no list: its only chunk has the file's own SHA-256."""


class Chunk(NamedTuple):
    """A part of a file: where it begins, its length in bytes, and its SHA-256."""

    offset: int
    length: int
    sha256: bytes

    @property
    def end(self) -> int:
        """Where the next chunk begins."""
        return self.offset + self.length


def average_for(size: int) -> int:
    """The average chunk size to aim at for a file of `size` bytes: a power of two."""
    average = AVERAGE
    while average < LARGEST_AVERAGE and size > average * USUAL_CHUNKS:
        average *= 2
    return average


class ChunkList:
    """The chunks of one file, in order.

    Args:
        chunks: length in bytes and SHA-256 of each.
    """

    def __init__(self, chunks: Iterable[tuple[int, bytes]]) -> None:
        pairs = list(chunks)
        self._lengths = [length for length, _ in pairs]
        self._hashes = [sha256 for _, sha256 in pairs]
        self._offsets = [0, *accumulate(self._lengths)]

    @classmethod
    def of_small(cls, size: int, sha256: str) -> "ChunkList":
        """The list of a file of at most `SINGLE` bytes, which follows from the file's own size and hash."""
        return cls([(size, bytes.fromhex(sha256))] if size else [])

    @classmethod
    def from_bytes(cls, data: bytes, size: int) -> "ChunkList":
        """Read the list of a file of `size` bytes.

        Raises:
            ProtocolError: if it is none, or the chunks do not add up to that file.
        """
        count, rest = divmod(len(data), _ENTRY.size)
        if rest or count > max_chunks(size):
            raise ProtocolError("A list of chunks arrived that has a wrong size.")
        found = cls(_ENTRY.iter_unpack(data))
        if found.size != size or not all(0 < length <= MAX_CHUNK for length in found._lengths):
            raise ProtocolError("A list of chunks arrived that does not fit its file.")
        return found

    def to_bytes(self) -> bytes:
        """The list as it is sent and kept."""
        return b"".join(_ENTRY.pack(length, sha256) for length, sha256 in zip(self._lengths, self._hashes, strict=True))

    @property
    def digest(self) -> str:
        """SHA-256 of the list's bytes, in hex: what a manifest says of it."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._offsets[-1]

    def __len__(self) -> int:
        return len(self._lengths)

    def __getitem__(self, index: int) -> Chunk:
        return Chunk(self._offsets[index], self._lengths[index], self._hashes[index])

    def __iter__(self) -> Iterator[Chunk]:
        return map(Chunk, self._offsets, self._lengths, self._hashes)


def max_chunks(size: int) -> int:
    """The most chunks that the list of a file of `size` bytes may have: a quarter of what is usual on average."""
    return min(MAX_CHUNKS, 4 * size // average_for(size) + 1)


def max_list_size(size: int) -> int:
    """The most bytes that the list of a file of `size` bytes may take."""
    return max_chunks(size) * _ENTRY.size
