"""A file on its way: chunks in any order, each proven, nothing remembered but the bytes."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sleap_rtc.config import durable
from sleap_rtc.errors import TransferError
from sleap_rtc.protocol.chunks import ChunkList
from sleap_rtc.transfer import part as part_module
from sleap_rtc.transfer import shelf
from sleap_rtc.transfer.store import Store
from tests.transfer.stored import (
    CHUNK,
    File,
    assert_sound,
    bring,
    bring_missing,
    file_of,
    part_paths,
    some_bytes,
    stored_path,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store", max_bytes=10**9)) as store:
        yield store
        assert_sound(store)


def test_chunks_may_come_in_any_order_and_more_than_once(store: Store) -> None:
    file = file_of(20)
    part = store.begin("ann", file.entry, file.chunks)
    for first, stop in [(10, 15), (3, 4), (0, 2), (12, 20), (0, 3), (2, 9), (5, 11)]:
        assert part.write(first, file.span(first, stop)) == []
    assert part.missing() == []
    assert part.here == file.entry.size
    part.publish()
    assert stored_path(store, file).read_bytes() == file.data


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_any_kind_of_bytes_is_taken(store: Store, kind: type) -> None:
    file = file_of(5)
    part = store.begin("ann", file.entry, file.chunks)
    assert part.write(0, kind(file.data)) == []
    part.publish()


def test_one_flipped_bit_in_a_hundred_chunks_costs_one_chunk(store: Store) -> None:
    file = file_of(100)
    damaged = bytearray(file.data)
    damaged[file.chunks[41].offset + 5] ^= 4
    part = store.begin("ann", file.entry, file.chunks)
    assert part.write(0, damaged) == [41]
    assert part.missing() == [41]
    assert part.here == file.entry.size - CHUNK
    with pytest.raises(TransferError, match="has not arrived whole"):
        part.publish()
    assert part.write(41, file.pieces[41]) == []
    part.publish()
    assert store.holds("ann", file.entry)


@pytest.mark.parametrize(
    ("first", "size"),
    [(0, CHUNK - 1), (0, CHUNK + 1), (3, 2 * CHUNK), (4, 1), (-1, CHUNK), (2**40, CHUNK), (0, 6 * CHUNK)],
    ids=["short", "long", "past the end", "beyond", "negative", "far out", "too much"],
)
def test_bytes_that_are_no_whole_chunks_are_refused(store: Store, first: int, size: int) -> None:
    file = file_of(4)
    part = store.begin("ann", file.entry, file.chunks)
    with pytest.raises(TransferError, match=r"labels\.pkg\.slp"):
        part.write(first, bytes(size))
    assert len(part.missing()) == 4
    part.close()


def test_chunks_that_do_not_add_up_to_the_file_are_refused(store: Store) -> None:
    with pytest.raises(TransferError, match="do not add up"):
        store.begin("ann", file_of(4).entry, file_of(5).chunks)
    assert part_paths(store) == []


def test_right_chunks_with_a_wrong_hash_of_the_whole_are_thrown_away(store: Store) -> None:
    file = File(file_of(10).data, sha256="0" * 64)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(0, file.data)
    with pytest.raises(TransferError, match="arrived damaged or changed while it was sent"):
        part.publish()
    assert not store.holds("ann", file.entry)
    assert part_paths(store) == []


def test_claiming_chunks_of_ones_own_files_does_not_make_another_file(store: Store) -> None:
    bring(store, "ann", file_of(10))
    claim = File(file_of(10).data, sha256="0" * 64)
    part = store.begin("ann", claim.entry, claim.chunks)
    assert part.borrow() == claim.entry.size
    with pytest.raises(TransferError, match="arrived damaged"):
        part.publish()
    assert not store.holds("ann", claim.entry)
    assert store.holds("ann", file_of(10).entry)


def test_an_interrupted_file_goes_on_with_what_is_missing(store: Store) -> None:
    file = file_of(30)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(0, file.span(0, 4))
    part.write(10, file.span(10, 20))
    part.close()
    part.close()
    part = store.begin("ann", file.entry, file.chunks)
    assert part.missing() == [*range(4, 10), *range(20, 30)]
    assert part.here == 14 * CHUNK
    assert bring_missing(part, file) == 16
    assert store.holds("ann", file.entry)


def test_a_part_that_was_tampered_with_counts_only_where_it_is_right(store: Store) -> None:
    file = file_of(30)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(0, file.data)
    part.close()
    (path,) = part_paths(store)
    with path.open("r+b") as raw:
        raw.seek(file.chunks[7].offset + 1)
        raw.write(b"\x00\x00")
    part = store.begin("ann", file.entry, file.chunks)
    assert part.missing() == [7]
    bring_missing(part, file)


def test_a_part_that_lost_its_end_goes_on(store: Store) -> None:
    file = file_of(30)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(0, file.data)
    part.close()
    os.truncate(part_paths(store)[0], 11 * CHUNK + 3)
    part = store.begin("ann", file.entry, file.chunks)
    assert part.missing() == list(range(11, 30))
    bring_missing(part, file)


def test_holes_are_not_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    data = some_bytes(CHUNK)
    file = File(bytes(300 * CHUNK) + data)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(300, data)
    part.close()
    read = 0

    def counting(descriptor: int, offset: int, size: int) -> bytes:
        nonlocal read
        read += size
        return os.pread(descriptor, size, offset)

    monkeypatch.setattr(part_module, "read_at", counting)
    part = store.begin("ann", file.entry, file.chunks)
    assert 300 not in part.missing()
    if part_paths(store)[0].stat().st_blocks * 512 < file.entry.size // 2:  # this disk keeps holes
        assert read < file.entry.size // 2
    part.close()


def make_link(path: Path, aside: Path) -> None:
    path.symlink_to(aside)


def make_second_name(path: Path, aside: Path) -> None:
    path.hardlink_to(aside)


def make_pipe(path: Path, aside: Path) -> None:
    os.mkfifo(path)


def make_folder(path: Path, aside: Path) -> None:
    (path / "below").mkdir(parents=True)


def make_longer(path: Path, aside: Path) -> None:
    path.write_bytes(bytes(100 * CHUNK))


@pytest.mark.parametrize("make", [make_link, make_second_name, make_pipe, make_folder, make_longer])
def test_a_part_of_a_wrong_kind_is_replaced_and_never_followed(
    store: Store, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    file = file_of(5)
    part = store.begin("ann", file.entry, file.chunks)
    part.close()
    (path,) = part_paths(store)
    path.unlink()
    aside = tmp_path / "aside"
    aside.write_bytes(b"precious")
    make(path, aside)
    bring(store, "ann", file)
    assert aside.read_bytes() == b"precious"
    assert store.holds("ann", file.entry)


def test_the_next_version_of_a_file_borrows_what_stayed_the_same(store: Store) -> None:
    old = file_of(50)
    bring(store, "ann", old)
    new = File(some_bytes(3 * CHUNK, 1) + old.span(5, 45) + some_bytes(CHUNK, 2) + old.span(0, 5))
    part = store.begin("ann", new.entry, new.chunks)
    assert part.borrow() == 45 * CHUNK
    assert part.missing() == [0, 1, 2, 43]
    bring_missing(part, new)
    assert stored_path(store, new).read_bytes() == new.data


def test_a_chunk_that_a_file_holds_many_times_is_needed_once(store: Store) -> None:
    same, other = some_bytes(CHUNK, 1), some_bytes(CHUNK, 2)
    file = File(same * 10 + other + same * 10)
    part = store.begin("ann", file.entry, file.chunks)
    assert part.borrow() == 0
    part.write(4, same)
    assert part.borrow() == 19 * CHUNK
    assert part.missing() == [10]
    bring_missing(part, file)


def test_a_stored_file_that_rotted_is_lent_only_where_it_is_right(store: Store) -> None:
    old = file_of(20)
    bring(store, "ann", old)
    path = stored_path(store, old)
    rotten = bytearray(old.data)
    rotten[old.chunks[3].offset] ^= 1
    path.write_bytes(rotten)
    new = File(old.data + b"more")
    part = store.begin("ann", new.entry, new.chunks)
    part.borrow()
    assert part.missing() == [3, 19]
    bring_missing(part, new)
    path.unlink()


def test_the_whole_is_hashed_in_passing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_of(40)
    part = store.begin("ann", file.entry, file.chunks)
    with monkeypatch.context() as patch:
        patch.setattr(part_module, "read_at", lambda *_: pytest.fail("what arrives in order is never read back"))
        for first in range(0, 40, 8):
            part.write(first, file.span(first, first + 8))
        part.publish()


def test_a_list_with_the_same_bytes_cut_elsewhere_goes_on_as_far_as_it_fits(store: Store) -> None:
    file = file_of(24)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(0, file.span(0, 20))
    part.close()
    pieces = [file.data[at : at + 3 * CHUNK] for at in range(0, len(file.data), 3 * CHUNK)]
    other = ChunkList((len(piece), hashlib.sha256(piece).digest()) for piece in pieces)
    part = store.begin("ann", file.entry, other)
    assert part.missing() == [6, 7]
    part.close()


def test_bytes_are_on_disk_before_the_file_has_its_name(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    sync, replace, sync_folder = os.fsync, Path.replace, durable.sync_folder

    def note(step: str, work: Callable[[], object]) -> None:
        steps.append(step)
        work()

    file = file_of(5)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(0, file.data)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: note("sync", lambda: sync(descriptor)))
        patch.setattr(Path, "replace", lambda path, target: note("rename", lambda: replace(path, target)))
        patch.setattr(shelf, "sync_folder", lambda path: note("folder", lambda: sync_folder(path)))
        part.publish()
    assert steps[:3] == ["sync", "rename", "folder"]
