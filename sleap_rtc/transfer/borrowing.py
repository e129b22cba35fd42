"""Chunks that need not travel, because another file of the same owner holds them."""

import os
from collections.abc import Callable, Iterable, Iterator

from sleap_rtc.errors import NotFoundError
from sleap_rtc.protocol.chunks import ChunkList
from sleap_rtc.transfer.chunk_index import Place
from sleap_rtc.transfer.disk import BLOCK, read_at
from sleap_rtc.transfer.shelf import Shelf


def spans(
    chunks: ChunkList, indexes: Iterable[int], joined: Callable[[int, int], bool] = lambda before, after: True
) -> Iterator[range]:
    """Group consecutive chunks, so that a span is read or written at once: about `BLOCK` bytes, or one larger chunk.

    Args:
        chunks: the file's chunks.
        indexes: which of them, ascending.
        joined: whether two neighbours may be in one span.
    """
    first = stop = size = 0
    for index in indexes:
        length = chunks[index].length
        if size and (index != stop or size + length > BLOCK or not joined(index - 1, index)):
            yield range(first, stop)
            size = 0
        if not size:
            first = index
        stop = index + 1
        size += length
    if size:
        yield range(first, stop)


def loans(shelf: Shelf, owner: str, chunks: ChunkList, missing: list[int]) -> Iterator[tuple[int, bytes]]:
    """Read missing chunks from the files that `owner` brought earlier. The bytes are unproven: a disk may err.

    Args:
        shelf: where those files are.
        owner: whose.
        chunks: the chunks of the file that is wanted.
        missing: which of them, ascending.

    Yields:
        The first chunk's index, and the bytes of it and those that follow.
    """
    places = shelf.find_chunks(owner, {chunks[index].sha256 for index in missing})

    def place(index: int) -> Place | None:
        found = places.get(chunks[index].sha256)
        return found if found and found.length == chunks[index].length else None

    def adjacent(before: int, after: int) -> bool:
        one, other = place(before), place(after)
        return bool(one and other and one.file == other.file and one.offset + one.length == other.offset)

    with _Reader(shelf) as reader:
        for span in spans(chunks, (index for index in missing if place(index)), adjacent):
            begin = place(span[0])
            size = chunks[span[-1]].end - chunks[span[0]].offset
            if begin and (data := reader.read(begin, size)):
                yield span[0], data


class _Reader:
    """Reads from one file after the other; neighbouring chunks mostly come from the same."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._sha256 = ""
        self._descriptor = -1

    def __enter__(self) -> "_Reader":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._sha256, self._descriptor = "", -1

    def read(self, place: Place, size: int) -> bytes | None:
        """Read `size` bytes from a place on; None where the file is gone, or does not hold them."""
        try:
            if place.file.sha256 != self._sha256:
                self._close()
                self._descriptor = self._shelf.open(place.file.sha256, place.file.size)
                self._sha256 = place.file.sha256
            return read_at(self._descriptor, place.offset, size)
        except (OSError, NotFoundError):
            return None  # then the chunk travels
