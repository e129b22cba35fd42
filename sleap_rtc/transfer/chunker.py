"""Cutting a file where its content says so, so that a later version shares most chunks with this one."""

import hashlib
import warnings
from collections.abc import Iterator
from itertools import repeat

from sleap_rtc.protocol.chunks import SINGLE, ChunkList, average_for

with warnings.catch_warnings():
    # it warns where its compiled part is missing; `content_cuts` deals with that
    warnings.simplefilter("ignore")
    from pyfastcdc import FastCDC

COMPILED = FastCDC.__module__ != "pyfastcdc.py.fastcdc"
"""Whether the cutter runs at gigabytes a second; its Python twin needs minutes for one."""


def content_cuts(data: memoryview, average: int) -> Iterator[int]:
    """Yield the lengths of the chunks that `data` begins with.

    A length depends only on the next ``4 * average`` bytes. Where the compiled cutter is missing all are alike:
    that finds fewer old chunks in a changed file, but sends at the speed of the network.

    Args:
        data: where to cut.
        average: bytes to aim at; a chunk has between a quarter and four times as many, the last one fewer.
    """
    if COMPILED:
        cutter = FastCDC(average, min_size=average // 4, max_size=average * 4)
        return (chunk.length for chunk in cutter.cut_buf(data))
    return repeat(average)


class Chunker:
    """Cuts and hashes one file while it streams by.

    Args:
        size: bytes the file is announced to have; they decide how large its chunks are.
    """

    def __init__(self, size: int) -> None:
        self._single = size <= SINGLE
        self._average = average_for(size)
        self._most = 4 * self._average
        self._whole = hashlib.sha256()
        self._fed = 0
        self._found: list[tuple[int, bytes]] = []
        self._waiting: list[bytes] = []
        self._waiting_size = 0

    def feed(self, block: bytes | memoryview) -> None:
        """Take the next bytes of the file, however many; the cuts do not depend on it. `block` is not kept."""
        self.hash(block)
        self.cut(block)

    def hash(self, block: bytes | memoryview) -> None:
        """The half of `feed` that hashes the whole file; another thread may run the other half meanwhile."""
        self._whole.update(block)
        self._fed += len(block)

    def cut(self, block: bytes | memoryview) -> None:
        """The half of `feed` that cuts, and hashes the chunks."""
        if self._single:
            return
        view = memoryview(block)
        before = self._waiting_size
        if before:
            # the chunks that begin in the waiting bytes end at most `_most` bytes into the block: copy no more of it
            self._wait(view[: self._most])
            if self._waiting_size < self._most:
                return
            joined = self._take_waiting()
            beyond = len(view) > self._most
            position = self._cut(joined, until=before if beyond else len(joined), left=self._most)
            view = view[position - before :] if beyond else joined[position:]
        position = self._cut(view, until=len(view), left=self._most)
        self._wait(view[position:])

    def finish(self) -> tuple[str, ChunkList]:
        """Return SHA-256 in hex of all that was fed, and the list of its chunks."""
        sha256 = self._whole.hexdigest()
        if self._single:
            return sha256, ChunkList.of_small(self._fed, sha256)
        rest = self._take_waiting()
        self._cut(rest, until=len(rest), left=1)
        return sha256, ChunkList(self._found)

    def _wait(self, view: memoryview) -> None:
        if view:
            self._waiting.append(bytes(view))
            self._waiting_size += len(view)

    def _take_waiting(self) -> memoryview:
        joined = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_size = 0
        return memoryview(joined)

    def _cut(self, data: memoryview, until: int, left: int) -> int:
        """Cut the chunks of `data` that begin before `until`, while `left` bytes follow; return where that ends."""
        lengths = content_cuts(data, self._average)
        position = 0
        while position < until and len(data) - position >= left:
            end = min(position + next(lengths), len(data))
            self._found.append((end - position, hashlib.sha256(data[position:end]).digest()))
            position = end
        return position
