"""Cutting: the same file is cut alike however it streams by, and a changed file shares most chunks with the old one."""

import hashlib
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleap_rtc.protocol.chunks import AVERAGE, SINGLE, ChunkList, average_for
from sleap_rtc.transfer import chunker as module
from sleap_rtc.transfer.chunker import Chunker

KB = 1024
MB = 1024 * KB
DATA = random.Random(1).randbytes(3 * MB + 17)


@pytest.fixture(params=["content", "fixed"])
def cutting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to cut: where the content says so, and evenly, as without the compiled cutter."""
    monkeypatch.setattr(module, "COMPILED", request.param == "content")
    return str(request.param)


def cut(data: bytes, blocks: Iterable[int] = ()) -> tuple[str, ChunkList]:
    """Feed `data` in blocks of these sizes, then the rest at once."""
    found = Chunker(len(data))
    position = 0
    for size in blocks:
        found.feed(memoryview(data)[position : position + size])
        position = min(position + size, len(data))
    found.feed(data[position:])
    return found.finish()


def unknown_bytes(new: ChunkList, old: ChunkList) -> int:
    known = {chunk.sha256 for chunk in old}
    return sum(chunk.length for chunk in new if chunk.sha256 not in known)


def labels_with(frames: int, seed: int = 0) -> bytes:
    """Something like a package: a header that changes with the number of frames, images, and a table of them."""
    images = [random.Random(f"{seed} {frame}").randbytes(24 * KB) for frame in range(frames)]
    header = f"{frames:08d}".encode() + bytes(2040)
    return header + b"".join(images) + b"".join(hashlib.sha256(image).digest() for image in images)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(DATA)), st.lists(st.integers(0, 700 * KB), max_size=40))
def test_cuts_do_not_depend_on_how_a_file_is_fed(size: int, blocks: list[int]) -> None:
    data = DATA[:size]
    assert [*cut(data, blocks)[1]] == [*cut(data)[1]]


@pytest.mark.parametrize("block", [1, 4 * AVERAGE - 1, 4 * AVERAGE, 4 * AVERAGE + 1])
def test_blocks_around_the_largest_chunk_and_of_one_byte_are_cut_alike(block: int, cutting: str) -> None:
    data = DATA[: 600 * KB]
    assert [*cut(data, [block] * (len(data) // block))[1]] == [*cut(data)[1]]


@pytest.mark.parametrize("size", [0, 1, SINGLE, SINGLE + 1, AVERAGE, 4 * AVERAGE, 4 * AVERAGE + 1, len(DATA)])
def test_the_list_is_the_file(size: int, cutting: str) -> None:
    data = DATA[:size]
    sha256, chunks = cut(data, [100_000] * 20)
    assert sha256 == hashlib.sha256(data).hexdigest()
    assert chunks.size == size
    for chunk in chunks:
        assert hashlib.sha256(data[chunk.offset : chunk.end]).digest() == chunk.sha256
    assert [*ChunkList.from_bytes(chunks.to_bytes(), size)] == [*chunks]


@pytest.mark.parametrize("size", [1, SINGLE])
def test_a_small_file_is_one_chunk_that_its_own_hash_names(size: int) -> None:
    sha256, chunks = cut(DATA[:size])
    assert [*chunks] == [*ChunkList.of_small(size, sha256)]


def test_chunks_stay_between_a_quarter_and_four_times_the_average() -> None:
    lengths = [chunk.length for chunk in cut(DATA)[1]]
    assert all(AVERAGE // 4 <= length <= 4 * AVERAGE for length in lengths[:-1])
    assert len(lengths) > len(DATA) // (2 * AVERAGE)


def test_the_announced_size_decides_how_large_chunks_are() -> None:
    huge = 100 * 2**30
    found = Chunker(huge)
    found.feed(bytes(40 * MB))
    lengths = [chunk.length for chunk in found.finish()[1]]
    assert lengths[0] == 4 * average_for(huge) == 4 * 2 * MB  # zeros give no reason to cut earlier


def test_a_file_of_zeros_is_cut_and_adds_up(cutting: str) -> None:
    chunks = cut(bytes(MB))[1]
    assert chunks.size == MB
    assert len({chunk.sha256 for chunk in chunks}) == 1


def test_a_block_may_be_used_again_as_soon_as_it_was_fed() -> None:
    found = Chunker(len(DATA))
    buffer = bytearray(50_000)
    for start in range(0, len(DATA), len(buffer)):
        block = DATA[start : start + len(buffer)]
        buffer[: len(block)] = block
        found.feed(memoryview(buffer)[: len(block)])
    assert [*found.finish()[1]] == [*cut(DATA)[1]]


def test_a_fifth_more_frames_cost_little_more_than_these_frames() -> None:
    old, new = labels_with(200), labels_with(240)
    assert unknown_bytes(cut(new)[1], cut(old)[1]) < 0.30 * len(new)


def test_an_edit_in_the_middle_costs_the_chunks_it_touches(cutting: str) -> None:
    edited = bytearray(DATA)
    edited[MB : MB + 40] = bytes(40)
    assert unknown_bytes(cut(bytes(edited))[1], cut(DATA)[1]) <= 8 * AVERAGE


@pytest.mark.parametrize("change", ["inserted", "removed"])
def test_bytes_inserted_or_removed_in_the_middle_do_not_move_the_other_cuts(change: str) -> None:
    middle = MB + 3
    changed = DATA[:middle] + (b"some more" + DATA[middle:] if change == "inserted" else DATA[middle + 9 :])
    assert unknown_bytes(cut(changed)[1], cut(DATA)[1]) <= 12 * AVERAGE


def test_the_same_file_is_cut_alike_by_another_chunker() -> None:
    assert cut(DATA, [MB])[1].digest == cut(DATA)[1].digest
