"""Which chunks of a file a receiver has, lacks and has asked for: the core of a transfer, without any I/O.

Chunks are asked for in spans of neighbours, over any lane and in any order. A span whose lane died goes back; a chunk
that arrives damaged is asked for again, until it has failed too often.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple

from sleap_rtc.errors import TransferError
from sleap_rtc.protocol.chunks import ChunkList

MOST_FAILURES = 3
"""How often one chunk may arrive damaged."""


class ChunkState(Enum):
    """Where a chunk is."""

    LACKING = auto()
    ASKED = auto()
    HERE = auto()


_STEPS = {
    (ChunkState.LACKING, ChunkState.ASKED),
    (ChunkState.ASKED, ChunkState.HERE),
    (ChunkState.ASKED, ChunkState.LACKING),
}


class Span(NamedTuple):
    """Neighbouring chunks that are asked for together: the first one, how many, and their bytes in the file."""

    first: int
    chunks: int
    offset: int
    size: int


class FileExchange:
    """What one file still lacks.

    Args:
        chunks: all chunks of the file.
        missing: the indexes of those that are not here.
    """

    def __init__(self, chunks: ChunkList, missing: Iterable[int]) -> None:
        self._chunks = chunks
        self._states = [ChunkState.HERE] * len(chunks)
        self._failures: dict[int, int] = {}
        self._lacking: list[int] = sorted(missing, reverse=True)
        for index in self._lacking:
            self._states[index] = ChunkState.LACKING
        self._left = len(self._lacking)

    @property
    def complete(self) -> bool:
        """Whether every chunk is here."""
        return not self._left

    def next_span(self, at_most: int) -> Span | None:
        """Take the next chunks to ask for; None while all of them are here or on their way.

        Args:
            at_most: bytes of the span; a single larger chunk makes a span of its own.
        """
        if not self._lacking:
            return None
        first = self._lacking[-1]
        offset = end = self._chunks[first].offset
        count = 0
        while self._lacking and self._lacking[-1] == first + count:
            chunk = self._chunks[self._lacking[-1]]
            if count and chunk.end - offset > at_most:
                break
            self._move(self._lacking.pop(), ChunkState.ASKED)
            end = chunk.end
            count += 1
        return Span(first, count, offset, end - offset)

    def lost(self, span: Span) -> None:
        """The span will not arrive: its lane died."""
        self._give_back(range(span.first, span.first + span.chunks))

    def arrived(self, span: Span, damaged: Sequence[int]) -> int:
        """The span was checked and written.

        Args:
            span: which one.
            damaged: the indexes of chunks that are not what their list says.

        Returns:
            The bytes of the good ones.

        Raises:
            TransferError: if one chunk has failed `MOST_FAILURES` times.
        """
        bad = set(damaged)
        size = 0
        for index in range(span.first, span.first + span.chunks):
            if index not in bad:
                self._move(index, ChunkState.HERE)
                self._left -= 1
                size += self._chunks[index].length
        if damaged:
            self._give_back(damaged)
        for index in damaged:
            self._failures[index] = self._failures.get(index, 0) + 1
            if self._failures[index] >= MOST_FAILURES:
                raise TransferError(
                    f"A part of a file arrived damaged {MOST_FAILURES} times: the file changed while it was sent, or "
                    "its disk is failing. Send it again."
                )
        return size

    def _give_back(self, indexes: Iterable[int]) -> None:
        for index in sorted(indexes, reverse=True):
            self._move(index, ChunkState.LACKING)
            self._lacking.append(index)
        if len(self._lacking) > 1:
            # what comes back is asked for next; sorted, so that neighbours find together again
            self._lacking.sort(reverse=True)

    def _move(self, index: int, state: ChunkState) -> None:
        if (self._states[index], state) not in _STEPS:
            raise ValueError(f"chunk {index} cannot go from {self._states[index].name} to {state.name}")
        self._states[index] = state
