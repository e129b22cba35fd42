"""One zip of files on offer: any reader opens it, every range of it is right, and nobody has written it."""

import asyncio
import hashlib
import io
import shutil
import subprocess
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleap_rtc.errors import PackageError, TransferError
from sleap_rtc.jobs.archive import unpack_zip
from sleap_rtc.protocol.chunks import MAX_CHUNK, SINGLE, ChunkList, max_chunks
from sleap_rtc.protocol.files import MAX_ENTRIES, MAX_FILE_SIZE, FileEntry, Manifest
from sleap_rtc.transfer import zip_format
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.source import FilesSource, Source, folder_source
from sleap_rtc.transfer.stored_zip import StoredZip, chunk_length, make_zip
from sleap_rtc.transfer.zip_format import Member, local_size
from tests.transfer.stored import some_bytes
from tests.transfer.test_fetch import fetch_once, read_tree, target_in, write_tree

MB = 1024 * 1024
NAME = "results.zip"
FILES = {
    "one/best.ckpt": some_bytes(2 * MB + 5),
    "one/empty": b"",
    "one/training_config.yaml": b"a: 1\n",
    "zwei/über 日本 🐭.txt": b"text",
    "zwei/exactly": some_bytes(MB, 1),
    "zwei/one more": some_bytes(MB + 1, 2),
}


class Numbers(Source):
    """Files of any size whose bytes are computed: a file says what it is read as.

    Args:
        sizes: of each path.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.opened = 0

    def files(self) -> Sequence[tuple[str, int]]:
        return list(self.sizes.items())

    def open(self, path: str) -> BinaryIO:
        self.opened += 1
        return io.BytesIO(self.read(path, 0, self.sizes[path]))

    def unchanged(self, path: str) -> bool:
        return True

    def read(self, path: str, offset: int, size: int) -> bytes:
        assert 0 <= offset <= offset + size <= self.sizes[path]
        return bytes(size)

    def close(self) -> None:
        pass


class Seekable(io.RawIOBase):
    """A zip on offer, as a file that readers of zips can jump about in."""

    def __init__(self, source: StoredZip) -> None:
        self._source, self._at = source, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._source.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self._source.size - self._at
        data = self._source.read(NAME, self._at, left if size < 0 else min(size, left))
        self._at += len(data)
        return data


@pytest.fixture
def sources() -> Iterator[list[Source]]:
    found: list[Source] = []
    yield found
    for source in found:
        source.close()


async def zip_of_tree(folder: Path, sources: list[Source]) -> Offering:
    offering = await make_offering(folder_source(folder))
    sources.append(offering.source)
    return await make_zip(offering, NAME)


def whole(offering: Offering) -> bytes:
    (entry,) = offering.manifest.files
    return offering.source.read(entry.path, 0, entry.size)


def assert_sound(offering: Offering) -> bytes:
    """Its chunk list is one that a receiver takes, and says of every chunk what is read there."""
    (entry,), (chunks,) = offering.manifest.files, offering.chunks
    data = whole(offering)
    assert len(data) == entry.size
    if entry.size <= SINGLE:
        assert (entry.sha256, entry.chunks) == (hashlib.sha256(data).hexdigest(), None)
    else:
        assert (entry.sha256, entry.chunks) == (None, chunks.digest)
        chunks = ChunkList.from_bytes(chunks.to_bytes(), entry.size)
    assert all(hashlib.sha256(data[chunk.offset : chunk.end]).digest() == chunk.sha256 for chunk in chunks)
    with offering.source.open(entry.path) as file:
        assert file.read() == data
    return data


async def test_readers_of_zips_find_the_same_files(tmp_path: Path, sources: list[Source]) -> None:
    offering = await zip_of_tree(write_tree(tmp_path / "src", FILES), sources)
    data = assert_sound(offering)
    (tmp_path / NAME).write_bytes(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(FILES)
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}
        assert {name: archive.read(name) for name in FILES} == FILES
    # ours refuses whatever is odd about a zip
    unpack_zip(tmp_path / NAME, tmp_path / "unpacked")
    assert read_tree(tmp_path / "unpacked") == FILES
    if unzip := shutil.which("unzip"):
        result = await asyncio.to_thread(
            subprocess.run, [unzip, "-q", NAME, "-d", "infozip"], cwd=tmp_path, capture_output=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, b"")
        assert read_tree(tmp_path / "infozip") == FILES


async def test_the_same_files_make_the_same_zip(tmp_path: Path, sources: list[Source]) -> None:
    first = whole(await zip_of_tree(write_tree(tmp_path / "a", FILES), sources))
    second = whole(await zip_of_tree(write_tree(tmp_path / "b", dict(reversed(FILES.items()))), sources))
    assert first == second


async def test_nothing_is_a_zip_too(tmp_path: Path) -> None:
    offering = await make_zip(Offering(Manifest(files=()), [], FilesSource({})), NAME)
    with zipfile.ZipFile(io.BytesIO(assert_sound(offering))) as archive:
        assert archive.namelist() == []


sizes = st.sampled_from([0, 1, 100, 5000, MB - 1, MB, MB + 1, 3 * MB]) | st.integers(0, 20_000)


@settings(max_examples=25, deadline=None)
@given(st.lists(sizes, max_size=8), st.data())
def test_every_range_is_right(lengths: list[int], data: st.DataObject) -> None:
    files = {f"{at}/ö": some_bytes(size, at) for at, size in enumerate(lengths)}
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(FilesSource({path: Path(folder, path) for path in files})) as source,
    ):
        write_tree(Path(folder), files)
        inner = asyncio.run(make_offering(source))
        offering = asyncio.run(make_zip(inner, NAME))
        found = assert_sound(offering)
        for _ in range(20):
            begin = data.draw(st.integers(0, len(found)))
            end = data.draw(st.integers(begin, len(found)))
            assert offering.source.read(NAME, begin, end - begin) == found[begin:end]
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files


async def test_ranges_beyond_it_and_other_names_are_refused(tmp_path: Path, sources: list[Source]) -> None:
    offering = await zip_of_tree(write_tree(tmp_path / "src", {"a": b"abc"}), sources)
    size = offering.manifest.total_size
    for offset, length in ((0, size + 1), (size, 1), (-1, 1), (5, -1)):
        with pytest.raises(TransferError, match="beyond its end"):
            offering.source.read(NAME, offset, length)
    for refused in (lambda: offering.source.read("a", 0, 1), lambda: offering.source.open("a")):
        with pytest.raises(TransferError, match="not among the files"):
            refused()


@pytest.mark.parametrize("large", [1, 1000, 2 * MB, 4 * MB])
@pytest.mark.parametrize("many", [1, 6, 7])
async def test_what_does_not_fit_into_a_field_is_told_elsewhere(
    tmp_path: Path, sources: list[Source], monkeypatch: pytest.MonkeyPatch, large: int, many: int
) -> None:
    """As for files beyond 4 GiB, with a limit that small files reach."""
    monkeypatch.setattr(zip_format, "LARGE", large)
    monkeypatch.setattr(zip_format, "MANY", many)
    data = assert_sound(await zip_of_tree(write_tree(tmp_path / "src", FILES), sources))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in FILES} == FILES
    if unzip := shutil.which("unzip"):
        (tmp_path / NAME).write_bytes(data)
        result = await asyncio.to_thread(
            subprocess.run, [unzip, "-tq", NAME], cwd=tmp_path, capture_output=True, check=False
        )
        assert result.returncode == 0, result.stdout


def test_files_beyond_four_gigabytes_have_their_true_sizes_and_places() -> None:
    wanted = {"a": 2**32 - 1, "b": 7, "c": 5 * 2**30, "d": 3}
    members, offset = [], 0
    for path, size in wanted.items():
        members.append(Member(path, size, zlib.crc32(bytes(size)) if size < 100 else 0, offset))
        offset += local_size(path, size) + size
    source = StoredZip(NAME, Numbers(wanted), members)
    with zipfile.ZipFile(Seekable(source)) as archive:
        assert {info.filename: info.file_size for info in archive.infolist()} == wanted
        assert [info.header_offset for info in archive.infolist()] == [member.offset for member in members]
        assert (archive.read("b"), archive.read("d")) == (bytes(7), bytes(3))


async def test_as_many_files_as_a_package_has(tmp_path: Path) -> None:
    source = Numbers({f"{number}/{'x' * 200}": number % 3 for number in range(MAX_ENTRIES)})
    entries = tuple(FileEntry(path=path, size=size, sha256="0" * 64) for path, size in source.files())
    offering = await make_zip(Offering(Manifest(files=entries), [], source), NAME)
    assert source.opened == MAX_ENTRIES
    with zipfile.ZipFile(io.BytesIO(assert_sound(offering))) as archive:
        assert len(archive.namelist()) == MAX_ENTRIES


async def test_what_is_too_large_for_one_file_is_said_before_it_is_read() -> None:
    source = Numbers({"a": MAX_FILE_SIZE, "b": 1})
    entries = tuple(FileEntry(path=path, size=size, sha256="0" * 64, chunks="0" * 64) for path, size in source.files())
    with pytest.raises(PackageError, match="too large to be sent in one file"):
        await make_zip(Offering(Manifest(files=entries), [], source), NAME)
    assert source.opened == 0


@pytest.mark.parametrize("change", ["vanishes", "shrinks", "grows", "changes"])
async def test_a_file_that_is_not_what_it_was_is_named(tmp_path: Path, sources: list[Source], change: str) -> None:
    folder = write_tree(tmp_path / "src", FILES)
    inner = await make_offering(folder_source(folder))
    sources.append(inner.source)
    done = await make_zip(inner, NAME)
    path, data = folder / "one" / "best.ckpt", FILES["one/best.ckpt"]
    match change:
        case "vanishes":
            path.unlink()
        case "shrinks":
            path.write_bytes(data[:-1])
        case "grows":
            path.write_bytes(data + b"x")
        case _:
            path.write_bytes(bytes(len(data)))
    with pytest.raises(TransferError, match=r"one/best\.ckpt"):
        await make_zip(inner, NAME)
    with pytest.raises(TransferError, match=r"one/best\.ckpt"):
        done.source.read(NAME, 100, 100)
    assert not done.source.unchanged(NAME)


async def test_whoever_is_cancelled_leaves_nobody_reading() -> None:
    reading, reads = threading.Event(), 0

    class Endless(Numbers):
        def open(self, path: str) -> BinaryIO:
            class Slow(io.RawIOBase):
                def read(self, size: int = -1) -> bytes:
                    nonlocal reads
                    reads += 1
                    reading.set()
                    return bytes(size)

            return Slow()  # type: ignore[return-value]

    source = Endless({"a": 2**40})
    entry = FileEntry(path="a", size=2**40, sha256="0" * 64, chunks="0" * 64)
    making = asyncio.create_task(make_zip(Offering(Manifest(files=(entry,)), [], source), NAME))
    await asyncio.to_thread(reading.wait)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    before = reads
    await asyncio.to_thread(lambda: None)
    assert reads == before


async def test_it_is_fetched_as_any_file_and_goes_on_as_one(tmp_path: Path, sources: list[Source]) -> None:
    """By a receiver that is no browser, too."""
    offering = await zip_of_tree(write_tree(tmp_path / "src", FILES), sources)
    target = target_in(tmp_path)
    first = await fetch_once(offering, target)
    assert (tmp_path / "here" / NAME).read_bytes() == whole(offering)
    (tmp_path / "here" / NAME).unlink()
    again = await fetch_once(offering, target)
    assert (first.sent, again.sent) == (offering.manifest.total_size, 0)


@pytest.mark.parametrize("size", [2**power for power in range(21, 42)])
def test_a_list_may_have_all_chunks_however_large_the_zip_is(size: int) -> None:
    """Where all files are as unfavourable as can be: one byte more than is read whole."""
    length = chunk_length(size)
    large = min(MAX_ENTRIES, size // (MB + 1))
    # of each its header, what came before that, and its end
    assert size // length + 3 * large + 1 <= max_chunks(size)
    assert length <= MAX_CHUNK
