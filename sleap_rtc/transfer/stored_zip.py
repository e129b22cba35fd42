"""Files on offer as one zip that is nowhere written: its bytes are computed, and read from the files, as asked for.

Nothing is compressed: models do not shrink, and only so any range can be read without what stands before it.
"""

import hashlib
import io
import threading
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from typing import BinaryIO, cast

from sleap_rtc.errors import PackageError, TransferError
from sleap_rtc.protocol.chunks import SINGLE, ChunkList, average_for
from sleap_rtc.protocol.files import MAX_FILE_SIZE, FileEntry, Manifest
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.source import BLOCK, UNREADABLE, Source, beyond, changed, unreadable
from sleap_rtc.transfer.threads import Stopped, stoppable
from sleap_rtc.transfer.zip_format import Member, central_header, central_size, end_of, local_header, local_size

_SMALL = BLOCK
"""Files up to this size are read whole, so that their checksum is known before their header is hashed."""


class StoredZip(Source):
    """One zip of files.

    Args:
        name: what the zip is called.
        files: where its files are read from; closing this closes it.
        members: which, in their order, where they lie and with their checksums.
    """

    def __init__(self, name: str, files: Source, members: Sequence[Member]) -> None:
        self._name = name
        self._files = files
        self._members = members
        central = [central_size(member) for member in members]
        start = members[-1].offset + _length_of(members[-1]) if members else 0
        self._end = end_of(members, start, sum(central))
        local = ((local_size(member.path, member.size), member.size) for member in members)
        sizes = chain(chain.from_iterable(local), central, [len(self._end)])
        # where each part begins: of every file its header and its bytes, then the directory's entries, then the end
        self._starts = array("Q", accumulate(sizes, initial=0))

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._starts[-1]

    def files(self) -> Sequence[tuple[str, int]]:
        """See `Source`."""
        return [(self._name, self.size)]

    def open(self, path: str) -> BinaryIO:
        """See `Source`."""
        self._check(path)
        return cast(BinaryIO, io.BufferedReader(_Pass(self, path), BLOCK))

    def unchanged(self, path: str) -> bool:
        """See `Source`."""
        return all(self._files.unchanged(member.path) for member in self._members)

    def read(self, path: str, offset: int, size: int) -> bytes:
        """See `Source`."""
        self._check(path)
        if not 0 <= offset <= offset + size <= self.size:
            raise beyond(path)
        return b"".join(self._parts(offset, size))

    def close(self) -> None:
        """See `Source`."""
        self._files.close()

    def _check(self, path: str) -> None:
        if path != self._name:
            raise TransferError(f"{path} is not among the files that are sent.")

    def _parts(self, offset: int, size: int) -> Iterator[bytes]:
        while size:
            # of parts that begin at the same place all but the last are empty
            number = bisect_right(self._starts, offset) - 1
            begin = offset - self._starts[number]
            length = min(size, self._starts[number + 1] - offset)
            yield self._part(number, begin, length)
            offset, size = offset + length, size - length

    def _part(self, number: int, begin: int, length: int) -> bytes:
        count = len(self._members)
        if number >= 3 * count:
            return self._end[begin : begin + length]
        if number >= 2 * count:
            return central_header(self._members[number - 2 * count])[begin : begin + length]
        member = self._members[number // 2]
        if number % 2:
            return self._files.read(member.path, begin, length)
        return local_header(member)[begin : begin + length]


def chunk_length(size: int) -> int:
    """Bytes of the chunks of a zip of `size` bytes: with one more for each header, a list may have all of them."""
    return max(BLOCK, 2 * average_for(size))


async def make_zip(offering: Offering, name: str) -> Offering:
    """Offer the files of an offering as one zip, off the event loop: they are read once, for their checksums.

    Args:
        offering: the files; closing the zip's source closes theirs.
        name: what the zip is called.

    Raises:
        PackageError: if the zip would be too large to be sent.
        TransferError: if a file cannot be read any more, or changed since it was listed.
    """
    return await stoppable(lambda stopped: _Packing(offering, name, stopped).run())


class _Packing:
    """Computes checksums and chunks of a zip in one pass.

    Chunks end where a large file's header begins and where it ends: that header is hashed when the file was read. All
    other headers are complete when they are met.
    """

    def __init__(self, offering: Offering, name: str, stopped: threading.Event) -> None:
        self._source = offering.source
        self._entries = offering.manifest.files
        self._name = name
        self._stopped = stopped
        self._members: list[Member] = []

    def run(self) -> Offering:
        planned, offset = [], 0
        for entry in self._entries:
            planned.append(Member(entry.path, entry.size, 0, offset))
            offset += _length_of(planned[-1])
        size = StoredZip(self._name, self._source, planned).size
        if size > MAX_FILE_SIZE:
            raise PackageError(f"{self._name} is too large to be sent in one file. Fetch it with sleap-rtc.")
        cutter = _Cutter(chunk_length(size))
        for member in planned:
            self._members.append(self._add(cutter, member))
        for member in self._members:
            cutter.add(central_header(member))
        source = StoredZip(self._name, self._source, self._members)
        cutter.add(source.read(self._name, cutter.size, size - cutter.size))
        return self._offer(source, cutter.finish())

    def _add(self, cutter: "_Cutter", member: Member) -> Member:
        path = member.path
        try:
            with self._source.open(path) as file:
                add = self._add_small if member.size <= _SMALL else self._add_large
                whole, seen = add(cutter, member, file)
        except UNREADABLE as error:
            raise unreadable(path, error) from error
        if seen != member.size or not self._source.unchanged(path):
            raise changed(path)
        return whole

    def _add_small(self, cutter: "_Cutter", member: Member, file: BinaryIO) -> tuple[Member, int]:
        data = b"".join(self._blocks(file, member.size))
        member = member._replace(crc=zlib.crc32(data))
        cutter.add(local_header(member))
        cutter.add(data)
        return member, len(data)

    def _add_large(self, cutter: "_Cutter", member: Member, file: BinaryIO) -> tuple[Member, int]:
        place = cutter.leave_room(local_size(member.path, member.size))
        crc = seen = 0
        for data in self._blocks(file, member.size):
            crc, seen = zlib.crc32(data, crc), seen + len(data)
            cutter.add(data)
        member = member._replace(crc=crc)
        cutter.fill(place, local_header(member))
        return member, seen

    def _blocks(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        """The bytes of a file, and few more where it has more than `size`."""
        seen = 0
        while seen <= size and (data := file.read(BLOCK)):
            if self._stopped.is_set():
                raise Stopped
            seen += len(data)
            yield data

    def _offer(self, source: StoredZip, chunks: ChunkList) -> Offering:
        if source.size > SINGLE:
            entry = FileEntry(path=self._name, size=source.size, chunks=chunks.digest)
        else:
            sha256 = hashlib.sha256(source.read(self._name, 0, source.size)).hexdigest()
            entry = FileEntry(path=self._name, size=source.size, sha256=sha256)
            chunks = ChunkList.of_small(source.size, sha256)
        return Offering(Manifest(files=(entry,)), [chunks], source)


class _Cutter:
    """Cuts and hashes what streams by, at fixed lengths."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._found: list[tuple[int, bytes]] = []
        self._hash = hashlib.sha256()
        self._fed = 0
        self.size = 0

    def add(self, data: bytes) -> None:
        view = memoryview(data)
        self.size += len(view)
        while view:
            part = view[: self._length - self._fed]
            self._hash.update(part)
            self._fed += len(part)
            view = view[len(part) :]
            if self._fed == self._length:
                self._cut()

    def leave_room(self, size: int) -> int:
        """Make a chunk of `size` bytes that are not known yet; the number by which to `fill` it."""
        self._cut()
        self._found.append((size, b""))
        self.size += size
        return len(self._found) - 1

    def fill(self, number: int, data: bytes) -> None:
        """Say what is in a chunk that was left."""
        self._found[number] = len(data), hashlib.sha256(data).digest()

    def finish(self) -> ChunkList:
        self._cut()
        return ChunkList(self._found)

    def _cut(self) -> None:
        if self._fed:
            self._found.append((self._fed, self._hash.digest()))
            self._hash, self._fed = hashlib.sha256(), 0


class _Pass(io.RawIOBase):
    """One pass over a zip from its start."""

    def __init__(self, source: StoredZip, path: str) -> None:
        self._source = source
        self._path = path
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what the interpreter gives us
        data = self._source.read(self._path, self._at, min(len(buffer), self._source.size - self._at))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _length_of(member: Member) -> int:
    return local_size(member.path, member.size) + member.size
