"""Files whose sender leaves their SHA-256 to the receiver, as a browser does: no less certain, and sent once."""

import hashlib
import os
import random
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleap_rtc.errors import NotFoundError, ProtocolError, TransferError
from sleap_rtc.protocol.chunks import SINGLE, ChunkList
from sleap_rtc.protocol.files import FileEntry, Manifest
from sleap_rtc.transfer.fetch import Target
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.source import FilesSource
from sleap_rtc.transfer.store import Store
from tests.session.linked import STEADY, linked, meeting
from tests.transfer.stored import File, assert_sound, bring, bring_missing, file_of, part_paths, some_bytes, stored_path
from tests.transfer.test_fetch import (
    FILES,
    Change,
    Hostile,
    Sender,
    assert_nothing_arrived,
    fetch,
    fetch_once,
    fetch_over_a_cut,
    read_tree,
    target_in,
    write_tree,
)

MB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store", max_bytes=10**9)) as store:
        yield store
        assert_sound(store)


# the store


def test_a_file_without_a_hash_is_kept_under_its_own(store: Store, tmp_path: Path) -> None:
    file = file_of(20, hashed=False)
    assert file.entry.sha256 is None
    assert not store.holds("ann", file.entry)
    bring(store, "ann", file)
    assert stored_path(store, file).read_bytes() == file.data
    assert store.holds("ann", file.entry)
    store.place("ann", file.entry, Placing(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == file.data
    # also for whoever says it
    assert store.holds("ann", file_of(20).entry)
    assert part_paths(store) == []


def test_a_chunk_list_gives_nobody_the_file_of_another(store: Store, tmp_path: Path) -> None:
    file = file_of(10, hashed=False)
    bring(store, "ann", file)
    assert not store.holds("bob", file.entry)
    with pytest.raises(NotFoundError):
        store.place("bob", file.entry, Placing(tmp_path / "stolen"))
    part = store.begin("bob", file.entry, file.chunks)
    assert (part.borrow(), len(part.missing())) == (0, 10)
    bring_missing(part, file)
    assert store.holds("bob", file.entry)


def test_a_list_of_another_file_or_with_another_size_is_not_here(store: Store) -> None:
    bring(store, "ann", file_of(10, hashed=False))
    other = file_of(10, seed=1, hashed=False)
    assert not store.holds("ann", other.entry)
    assert not store.holds("ann", file_of(10, hashed=False).entry.model_copy(update={"size": 1}))


def test_the_same_bytes_in_other_chunks_are_one_file_that_both_lists_name(store: Store) -> None:
    data = some_bytes(50_000)
    first, second = File(data, chunk=5000, hashed=False), File(data, chunk=7000, hashed=False)
    for file in (first, second):
        bring(store, "ann", file)
        bring(store, "ann", file)
    assert store.holds("ann", first.entry)
    assert store.holds("ann", second.entry)
    assert store.size == len(data)


def test_what_was_evicted_is_not_here_by_its_list_either(store: Store) -> None:
    file = file_of(10, hashed=False)
    bring(store, "ann", file)
    store.max_bytes = 0
    store.make_room(0)
    assert not store.holds("ann", file.entry)
    assert store._index._db.rows("SELECT * FROM lists") == []
    bring(store, "ann", file)
    assert store.holds("ann", file.entry)


def test_pins_keep_it_before_and_after_it_came(store: Store) -> None:
    file, other = file_of(10, hashed=False), file_of(10, seed=1, hashed=False)
    bring(store, "ann", other)
    size = file.entry.size
    index = store._index
    with store.pinned("ann", [file.entry, other.entry]), store.pinned("bob", [file.entry]):
        assert index.sizes() == (size, 0)
        bring(store, "ann", file)
        assert index.sizes() == (2 * size, 0)
        with store.pinned("ann", [file_of(10).entry]):
            store.max_bytes = 0
            store.make_room(0)
            assert index.sizes() == (2 * size, 0)
        assert index.sizes() == (2 * size, 0)
        store.max_bytes = 10**9
    assert index.sizes() == (2 * size, 2 * size)
    with store.pinned("bob", [file.entry]):
        assert index.sizes() == (2 * size, 2 * size)


def test_the_list_is_known_after_a_restart(tmp_path: Path) -> None:
    file = file_of(10, hashed=False)
    with closing(Store(tmp_path / "store")) as store:
        bring(store, "ann", file)
    with closing(Store(tmp_path / "store")) as store:
        assert store.holds("ann", file.entry)
        stored_path(store, file).unlink()
        assert not store.holds("ann", file.entry)


def test_an_index_of_the_version_before_is_begun_anew(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "store")):
        pass
    with closing(sqlite3.connect(tmp_path / "store" / "index.db")) as db:
        db.executescript("DROP TABLE lists; PRAGMA user_version=2;")
    with closing(Store(tmp_path / "store")) as store:
        bring(store, "ann", file_of(10, hashed=False))


def test_an_interrupted_file_goes_on_with_what_is_missing(store: Store) -> None:
    file = file_of(30, hashed=False)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(0, file.span(0, 4))
    part.write(10, file.span(10, 20))
    part.close()
    part = store.begin("ann", file.entry, file.chunks)
    assert part.missing() == [*range(4, 10), *range(20, 30)]
    bring_missing(part, file)
    assert stored_path(store, file).read_bytes() == file.data


def test_what_rots_on_the_disk_before_it_was_hashed_is_not_believed(store: Store) -> None:
    """No hash of the whole would tell: what is read back is compared with its chunks once more."""
    file = file_of(30, hashed=False)
    part = store.begin("ann", file.entry, file.chunks)
    part.write(10, file.span(10, 30))
    with part_paths(store)[0].open("r+b") as raw:
        raw.seek(file.chunks[17].offset + 1)
        raw.write(b"\x00\x00")
    with pytest.raises(TransferError, match="arrived damaged"):
        part.write(0, file.span(0, 10))
    assert part_paths(store) == []
    assert not store.holds("ann", file.entry)
    bring(store, "ann", file)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_in_whatever_order_the_chunks_come_the_file_has_its_own_name(data: st.DataObject) -> None:
    file = File(some_bytes(SINGLE + 1 + data.draw(st.integers(0, 40_000))), chunk=4096, hashed=False)
    order = data.draw(st.permutations(range(len(file.pieces))))
    breaks = data.draw(st.sets(st.sampled_from(order)))
    with tempfile.TemporaryDirectory() as folder, closing(Store(Path(folder) / "store", max_bytes=10**9)) as store:
        part = store.begin("ann", file.entry, file.chunks)
        for index in order:
            if index in breaks:
                part.close()
                part = store.begin("ann", file.entry, file.chunks)
            assert part.write(index, file.pieces[index]) == []
        part.publish()
        assert stored_path(store, file).read_bytes() == file.data
        assert store.holds("ann", file.entry)


# over a link

_opened: list[FilesSource] = []


@pytest.fixture(autouse=True)
def _close_sources() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def unhashed(folder: Path, chunk: int = MB) -> Offering:
    """What a browser offers of the files below a folder: fixed chunks, and hashes of small files only."""
    entries, lists = [], []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        pieces = [data[at : at + chunk] for at in range(0, len(data), chunk)]
        lists.append(ChunkList((len(piece), hashlib.sha256(piece).digest()) for piece in pieces))
        small = len(data) <= SINGLE
        entries.append(
            FileEntry(
                path=path.relative_to(folder).as_posix(),
                size=len(data),
                sha256=hashlib.sha256(data).hexdigest() if small else None,
                chunks=None if small else lists[-1].digest,
            )
        )
    _opened.append(FilesSource({entry.path: folder / entry.path for entry in entries}))
    return Offering(Manifest(files=tuple(entries)), lists, _opened[-1])


async def test_a_mixed_tree_arrives_byte_for_byte_and_costs_nothing_again(tmp_path: Path) -> None:
    offering = unhashed(write_tree(tmp_path / "src"))
    assert {entry.sha256 is None for entry in offering.manifest} == {True, False}
    target = target_in(tmp_path)
    await fetch_once(offering, target)
    assert read_tree(tmp_path / "here") == FILES
    elsewhere = Target(target.store, target.owner, tmp_path / "elsewhere")
    offering.source = FilesSource({})  # nothing could be read any more
    for each in (target, elsewhere):
        progress = Progress()
        sender = await fetch_once(offering, each, progress)
        assert (sender.sent, sender.lists, progress.here) == (0, 0, offering.manifest.total_size)
    assert read_tree(tmp_path / "elsewhere") == FILES


@pytest.mark.parametrize("tenth", [1, 4, 7])
async def test_a_cut_costs_no_more_than_what_was_under_way(tmp_path: Path, tenth: int) -> None:
    data = random.Random(tenth).randbytes(32 * MB)
    sender = Sender(unhashed(write_tree(tmp_path / "src", {"big": data})))

    def started_again(target: Target) -> Target:
        target.store.close()  # nothing is remembered but what is on the disk
        return target_in(tmp_path)

    await fetch_over_a_cut(sender, data, target_in(tmp_path), len(data) * tenth // 10, started_again)
    assert sender.sent - len(data) <= 4 * MB


async def test_of_a_new_version_only_the_changed_chunks_are_sent(tmp_path: Path) -> None:
    data = bytearray(random.Random(1).randbytes(8 * MB))
    target = target_in(tmp_path)
    await fetch_once(unhashed(write_tree(tmp_path / "src", {"big": bytes(data)})), target)
    data[3 * MB + 5] ^= 1
    data += b"appended"
    sender = await fetch_once(unhashed(write_tree(tmp_path / "src", {"big": bytes(data)})), target)
    assert sender.sent == MB + len(b"appended")
    assert (tmp_path / "here" / "big").read_bytes() == data


@pytest.mark.parametrize("name", ["one bit for ever", "too little", "nothing"])
async def test_wrong_bytes_again_and_again_end_the_transfer_and_nothing_lands(tmp_path: Path, name: str) -> None:
    offering = unhashed(write_tree(tmp_path / "src", {"big": bytes(range(256)) * 9000}))
    sender = Hostile(offering, Change(name))
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        with pytest.raises(TransferError):
            await fetch(client, target_in(tmp_path))
        assert client.close_reason is None
    assert_nothing_arrived(tmp_path)


async def test_a_bit_that_flips_on_the_way_is_fetched_again(tmp_path: Path) -> None:
    offering = unhashed(write_tree(tmp_path / "src"))
    sender = Hostile(offering, Change("one bit once"))
    async with meeting(timeouts=STEADY, worker_producers=sender.producers) as found, linked(found) as (client, _):
        await fetch(client, target_in(tmp_path))
    assert read_tree(tmp_path / "here") == FILES


@pytest.mark.parametrize("size", [2 * MB - 1, 2 * MB + 1, 2**41])
async def test_a_size_that_is_not_the_lists_is_refused(tmp_path: Path, size: int) -> None:
    offering = unhashed(write_tree(tmp_path / "src", {"big": os.urandom(2 * MB)}))
    offering.manifest = Manifest(files=(offering.manifest.files[0].model_copy(update={"size": size}),))
    with pytest.raises(ProtocolError, match="does not fit its file"):
        await fetch_once(offering, target_in(tmp_path))
    assert_nothing_arrived(tmp_path)


async def test_an_empty_file_may_come_that_way_too(tmp_path: Path) -> None:
    offering = unhashed(write_tree(tmp_path / "src", {"empty": b""}))
    entry = FileEntry(path="empty", size=0, chunks=hashlib.sha256(b"").hexdigest())
    offering.manifest = Manifest(files=(entry,))
    await fetch_once(offering, target_in(tmp_path))
    assert read_tree(tmp_path / "here") == {"empty": b""}


async def test_a_list_other_than_announced_is_refused(tmp_path: Path) -> None:
    """The list is all that the file is known by."""
    offering = unhashed(write_tree(tmp_path / "src", {"big": os.urandom(2 * MB)}))
    entry = offering.manifest.files[0].model_copy(update={"chunks": "0" * 64})
    offering.manifest = Manifest(files=(entry,))
    with pytest.raises(ProtocolError, match="not the one that was announced"):
        await fetch_once(offering, target_in(tmp_path))
    assert_nothing_arrived(tmp_path)
