"""The store: each file once, each chunk proven, nothing for those who did not bring it."""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sleap_rtc.errors import ConflictError, NotFoundError, StorageError
from sleap_rtc.protocol.chunks import ChunkList
from sleap_rtc.transfer.placing import Placing
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

GB = 1024**3


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "store", max_bytes=GB)
    yield store
    assert_sound(store)
    store.close()


def placed(store: Store, owner: str, file: File, target: Path) -> bytes:
    store.place(owner, file.entry, Placing(target))
    return target.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 16 * 1024, 16 * 1024 + 1, 50 * CHUNK], ids=lambda size: f"{size} bytes")
def test_a_file_arrives_and_is_given_out_again(store: Store, tmp_path: Path, size: int) -> None:
    file = File(some_bytes(size))
    assert not store.holds("ann", file.entry)
    bring(store, "ann", file)
    assert store.holds("ann", file.entry)
    assert placed(store, "ann", file, tmp_path / "job" / "inputs" / "labels.slp") == file.data
    assert store.size == size
    assert part_paths(store) == []


def test_a_hash_gives_nobody_the_file_of_another(store: Store, tmp_path: Path) -> None:
    file = file_of(10)
    bring(store, "ann", file)
    assert not store.holds("bob", file.entry)
    with pytest.raises(NotFoundError) as theirs:
        store.place("bob", file.entry, Placing(tmp_path / "stolen"))
    part = store.begin("bob", file.entry, file.chunks)
    assert part.borrow() == 0
    assert len(part.missing()) == 10
    part.close()
    unknown = file_of(10, seed=1)
    with pytest.raises(NotFoundError) as nobodys:
        store.place("bob", unknown.entry, Placing(tmp_path / "stolen"))
    assert str(theirs.value) == str(nobodys.value)
    assert not (tmp_path / "stolen").exists()


def recut(data: bytes, size: int) -> ChunkList:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return ChunkList((len(piece), hashlib.sha256(piece).digest()) for piece in pieces)


@pytest.mark.parametrize("there", [True, False], ids=["another owner has it", "nobody has it"])
def test_what_can_be_borrowed_does_not_tell_what_others_have(store: Store, there: bool) -> None:
    old = file_of(20)
    new = File(old.data + b"more")
    if there:
        bring(store, "ann", old)
    odd = recut(old.data, 5000)
    part = store.begin("bob", old.entry.model_copy(update={"chunks": odd.digest}), odd)
    assert part.borrow() == 0
    part.write(0, old.data)
    part.publish()
    assert len(store._index._db.rows("SELECT key FROM chunks")) == len(odd) + 20 * there
    again = recut(new.data, 5000)
    for chunks, gained in ((again, len(old.data) // 5000 * 5000), (new.chunks, 0)):
        part = store.begin("bob", new.entry.model_copy(update={"chunks": chunks.digest}), chunks)
        assert part.borrow() == gained
        part.write(0, new.data)
        part._throw_away()


def test_bringing_a_file_that_rotted_with_another_owner_heals_it(store: Store, tmp_path: Path) -> None:
    file = file_of(10)
    bring(store, "ann", file)
    stored_path(store, file).write_bytes(bytes(file.entry.size))
    bring(store, "bob", file)
    assert placed(store, "ann", file, tmp_path / "copy") == file.data
    assert part_paths(store) == []


def test_parts_belong_to_their_owners(store: Store) -> None:
    file = file_of(10)
    mine = store.begin("ann", file.entry, file.chunks)
    mine.write(0, file.span(0, 9))
    theirs = store.begin("bob", file.entry, file.chunks)
    assert len(theirs.missing()) == 10
    mine.close()
    theirs.close()


def test_two_owners_of_the_same_file_share_its_bytes_once_both_brought_them(store: Store, tmp_path: Path) -> None:
    file = file_of(10)
    bring(store, "ann", file)
    bring(store, "bob", file)
    assert store.size == file.entry.size
    assert placed(store, "ann", file, tmp_path / "a") == placed(store, "bob", file, tmp_path / "b") == file.data


def test_a_stored_file_that_vanished_or_shrank_is_not_here(store: Store, tmp_path: Path) -> None:
    file, other = file_of(20), file_of(20, seed=1)
    bring(store, "ann", file)
    bring(store, "ann", other)
    stored_path(store, file).unlink()
    os.truncate(stored_path(store, other), 5)
    for each in (file, other):
        assert not store.holds("ann", each.entry)
        with pytest.raises(NotFoundError):
            store.place("ann", each.entry, Placing(tmp_path / "copy"))
        part = store.begin("ann", each.entry, each.chunks)
        part.borrow()
        bring_missing(part, each)
        assert placed(store, "ann", each, tmp_path / "copy") == each.data


def test_an_entry_with_another_size_is_another_file(store: Store) -> None:
    file = file_of(10)
    bring(store, "ann", file)
    assert not store.holds("ann", file.entry.model_copy(update={"size": file.entry.size + 1}))


def test_a_file_cannot_arrive_twice_at_once(store: Store) -> None:
    file = file_of(10)
    part = store.begin("ann", file.entry, file.chunks)
    with pytest.raises(ConflictError, match=r"labels\.pkg\.slp is arriving already"):
        store.begin("ann", file.entry, file.chunks)
    part.close()
    bring(store, "ann", file)


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_everything_is_private(store: Store, tmp_path: Path) -> None:
    bring(store, "ann", file_of(5))
    store.begin("ann", file_of(6).entry, file_of(6).chunks).close()
    store.place("ann", file_of(5).entry, Placing(tmp_path / "a" / "b" / "copy"))
    for root in (store.folder, tmp_path / "a"):
        for path in (root, *root.rglob("*")):
            if not path.name.endswith(".lock"):  # empty
                assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_what_is_placed_is_a_copy(store: Store, tmp_path: Path) -> None:
    file = file_of(10)
    bring(store, "ann", file)
    store.place("ann", file.entry, Placing(tmp_path / "copy"))
    assert (tmp_path / "copy").stat().st_nlink == 1
    (tmp_path / "copy").write_bytes(b"trained on")
    assert placed(store, "ann", file, tmp_path / "second") == file.data


def test_nothing_is_placed_over_a_link_or_a_folder(store: Store, tmp_path: Path) -> None:
    file = file_of(10)
    bring(store, "ann", file)
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for name in ("link", "dangling", "folder"):
        with pytest.raises(StorageError, match=name):
            store.place("ann", file.entry, Placing(tmp_path / name))
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "folder", "link", "outside", "store"]


def test_many_threads_bring_and_place_at_once(store: Store, tmp_path: Path) -> None:
    files = [file_of(12, seed) for seed in range(6)]

    def work(owner: str, file: File) -> bytes:
        bring(store, owner, file)
        with store.pinned(owner, [file.entry]):
            assert store.holds(owner, file.entry)
            return placed(store, owner, file, tmp_path / owner / file.sha256)

    with ThreadPoolExecutor(8) as pool:
        jobs = [(pool.submit(work, owner, file), file) for file in files for owner in ("ann", "bob", "eve")]
        for job, file in jobs:
            assert job.result() == file.data
    assert store.size == sum(file.entry.size for file in files)


def test_a_look_from_outside_changes_nothing(store: Store, tmp_path: Path) -> None:
    assert Store.look(tmp_path / "nowhere", max_bytes=5) == (0, 5)
    assert not (tmp_path / "nowhere").exists()
    bring(store, "ann", file_of(10))
    part = store.begin("ann", file_of(20, 1).entry, file_of(20, 1).chunks)
    part.write(0, file_of(20, 1).span(0, 5))
    stray = store.folder / "files" / "stray"
    stray.write_bytes(b"stray")
    size = store.size
    (store.folder / "index.db.is-damaged").touch()
    before = sorted(store.folder.rglob("*"))
    assert Store.look(store.folder, max_bytes=GB) == (size + 5, GB)
    assert sorted(store.folder.rglob("*")) == before
    (store.folder / "index.db.is-damaged").unlink()
    stray.unlink()
    part.close()
