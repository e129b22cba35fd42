"""What the store keeps when room is short."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sleap_rtc.transfer import store as store_module
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.store import Store
from tests.transfer.stored import CHUNK, File, bring, file_of, part_paths

FILES = [file_of(10, seed) for seed in range(4)]
SIZE = FILES[0].entry.size


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store", max_bytes=4 * SIZE)) as store:
        yield store


@pytest.fixture
def full_store(store: Store) -> Store:
    for file in FILES:
        bring(store, "ann", file)
    return store


def held(store: Store) -> list[int]:
    return [index for index, file in enumerate(FILES) if store._index.find_of("ann", file.entry.content)]


def test_nothing_goes_while_there_is_room(full_store: Store) -> None:
    full_store.make_room(0)
    assert held(full_store) == [0, 1, 2, 3]


def test_what_was_not_used_for_longest_goes_first(full_store: Store, tmp_path: Path) -> None:
    full_store.holds("ann", FILES[0].entry)
    full_store.place("ann", FILES[1].entry, Placing(tmp_path / "copy"))
    full_store.make_room(1)
    assert held(full_store) == [0, 1, 3]
    full_store.make_room(SIZE + 1)
    assert held(full_store) == [0, 1]
    assert full_store.size == 2 * SIZE
    assert (tmp_path / "copy").exists()


def test_another_owner_asking_is_no_use(full_store: Store) -> None:
    assert not full_store.holds("bob", FILES[0].entry)
    full_store.make_room(1)
    assert held(full_store) == [1, 2, 3]


def test_pinned_files_stay(full_store: Store) -> None:
    with full_store.pinned("ann", [FILES[0].entry, FILES[2].entry]):
        with full_store.pinned("ann", [FILES[0].entry]):
            pass
        assert full_store.make_room(2 * SIZE)
        assert held(full_store) == [0, 2]
        full_store.make_room(3 * SIZE)
        assert held(full_store) == [0, 2]
    full_store.make_room(4 * SIZE)
    assert held(full_store) == []


def test_a_pin_on_the_file_of_another_holds_nothing(full_store: Store) -> None:
    with full_store.pinned("bob", [file.entry for file in FILES]):
        full_store.make_room(4 * SIZE)
    assert held(full_store) == []


def test_a_file_may_be_pinned_before_it_is_here(store: Store) -> None:
    with store.pinned("ann", [FILES[3].entry]):
        for file in FILES:
            bring(store, "ann", file)
        store.make_room(3 * SIZE)
        assert held(store) == [3]


def test_two_commands_respect_each_others_pins(full_store: Store) -> None:
    with full_store.pinned("ann", [FILES[1].entry]), closing(Store(full_store.folder, max_bytes=4 * SIZE)) as other:
        other.make_room(3 * SIZE)
        assert held(full_store) == [1]


_PINS = """
import sys
from pathlib import Path
from tests.transfer.stored import file_of
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.store import Store

with Store(Path(sys.argv[1]), max_bytes=10**9).pinned("ann", [file_of(10, 0).entry]):
    print("pinned", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
def test_a_dead_process_pins_nothing(full_store: Store) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PINS, str(full_store.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"pinned\n"
        full_store.make_room(3 * SIZE)
        assert held(full_store) == [0]
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        full_store.make_room(4 * SIZE)
    assert held(full_store) == []


def test_a_file_with_two_owners_goes_for_both(full_store: Store) -> None:
    bring(full_store, "bob", FILES[0])
    full_store.make_room(4 * SIZE)
    assert not full_store.holds("bob", FILES[0].entry)


def test_what_cannot_be_enough_is_not_tried(full_store: Store) -> None:
    assert full_store.make_room(4 * SIZE + 1)  # the disk has room; the cap gives way
    assert held(full_store) == [0, 1, 2, 3]
    with full_store.pinned("ann", [FILES[0].entry]):
        assert full_store.make_room(4 * SIZE)
        assert held(full_store) == [0, 1, 2, 3]
        assert not full_store.make_room(2**60)
    assert held(full_store) == [0, 1, 2, 3]


def test_beyond_the_cap_files_go_only_as_the_disk_needs(full_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 100 * SIZE
    monkeypatch.setattr(store_module, "space_of", lambda path: (total, total - full_store.size))
    assert full_store.make_room(50 * SIZE)
    assert held(full_store) == [0, 1, 2, 3]
    assert full_store.make_room(92 * SIZE)
    assert held(full_store) == [1, 2, 3]
    assert not full_store.make_room(100 * SIZE)
    assert held(full_store) == [1, 2, 3]


def test_the_reserve_gives_way_where_nothing_else_is_left(full_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LEAST", 0)
    monkeypatch.setattr(store_module, "space_of", lambda path: (100 * SIZE, 5 * SIZE - full_store.size))
    assert full_store.make_room(2 * SIZE)
    assert held(full_store) == [1, 2, 3]


def test_the_cap_is_kept_once_a_transfer_has_ended(store: Store) -> None:
    store.max_bytes = 2 * SIZE
    with store.pinned("ann", [file.entry for file in FILES]):
        for file in FILES:
            store.make_room(SIZE)
            bring(store, "ann", file)
        assert store.size == 4 * SIZE
    assert held(store) == [2, 3]


def test_the_cap_is_kept_when_a_store_is_opened(full_store: Store) -> None:
    with closing(Store(full_store.folder, max_bytes=SIZE)):
        assert held(full_store) == [3]


def test_keeping_the_cap_costs_nobody_what_arrived_of_a_file(store: Store) -> None:
    store.max_bytes = 2 * SIZE
    large = file_of(40, seed=30)
    with store.pinned("ann", [large.entry]):
        part = store.begin("ann", large.entry, large.chunks)
        part.write(0, large.span(0, 39))
        part.close()
    part = store.begin("ann", large.entry, large.chunks)
    assert part.missing() == [39]
    part.close()


def test_what_open_parts_announced_counts(full_store: Store) -> None:
    full_store.max_bytes = 10 * SIZE
    large = file_of(69, seed=30)
    part = full_store.begin("ann", large.entry, large.chunks)
    if part_paths(full_store)[0].stat().st_blocks == 0:  # this disk keeps holes
        full_store.make_room(SIZE)
        assert held(full_store) == [1, 2, 3]
        part.close()
        bring(full_store, "ann", FILES[0])
        full_store.make_room(SIZE)
        assert held(full_store) == [0, 1, 2, 3]
    part.close()


def test_the_totals_follow_files_owners_and_pins(full_store: Store) -> None:
    index = full_store._index
    assert index.sizes() == (4 * SIZE, 4 * SIZE)
    with full_store.pinned("ann", [FILES[0].entry, FILES[1].entry]), full_store.pinned("bob", [FILES[1].entry]):
        assert index.sizes() == (4 * SIZE, 2 * SIZE)
        bring(full_store, "bob", FILES[1])
        with full_store.pinned("bob", [FILES[1].entry, FILES[2].entry]):
            assert index.sizes() == (4 * SIZE, 2 * SIZE)
            bring(full_store, "bob", FILES[2])
            assert index.sizes() == (4 * SIZE, SIZE)
        assert index.sizes() == (4 * SIZE, 2 * SIZE)
        full_store.make_room(2 * SIZE)
        assert index.sizes() == (2 * SIZE, 0)
    assert index.sizes() == (2 * SIZE, 2 * SIZE)
    full_store.make_room(4 * SIZE)
    assert index.sizes() == (0, 0)


def test_many_files_go_at_once(tmp_path: Path) -> None:
    files = [File(bytes([number % 256, number // 256])) for number in range(300)]
    with closing(Store(tmp_path / "store", max_bytes=600)) as store:
        for file in files:
            bring(store, "ann", file)
        store.make_room(599)
        assert [store._index.find(file.sha256) is not None for file in files] == [False] * 300


def test_the_chunks_of_evicted_files_are_forgotten(full_store: Store) -> None:
    bring(full_store, "bob", FILES[1])
    full_store.make_room(4 * SIZE)
    for table in ("files", "owners", "lists", "chunks"):
        assert full_store._index._db.rows(f"SELECT * FROM {table}") == []


def test_evicted_chunks_are_not_lent(full_store: Store) -> None:
    full_store.make_room(4 * SIZE)
    new = File(FILES[0].data + b"more")
    part = full_store.begin("ann", new.entry, new.chunks)
    assert part.borrow() == 0
    part.close()


def test_parts_count_and_go_after_files_the_oldest_first(full_store: Store) -> None:
    started = [file_of(20, seed) for seed in (10, 11, 12)]
    paths: list[Path] = []
    for age, file in enumerate(started):
        part = full_store.begin("ann", file.entry, file.chunks)
        part.write(0, file.span(0, 20))
        part.close()
        (path,) = set(part_paths(full_store)) - set(paths)
        os.utime(path, (1000 + age, 1000 + age))
        paths.append(path)
    assert full_store.size > 4 * SIZE + 3 * 19 * CHUNK
    open_part = full_store.begin("ann", started[0].entry, started[0].chunks)
    full_store.max_bytes = full_store.size
    full_store.make_room(4 * SIZE)
    assert held(full_store) == []
    assert len(part_paths(full_store)) == 3
    full_store.max_bytes = full_store.size
    full_store.make_room(1)
    assert set(part_paths(full_store)) == {paths[0], paths[2]}
    full_store.make_room(2 * paths[2].stat().st_size)
    assert part_paths(full_store) == [paths[0]]
    open_part.publish()
    assert full_store.holds("ann", started[0].entry)


def test_a_hole_takes_no_room(store: Store) -> None:
    file = file_of(1000, seed=20)
    part = store.begin("ann", file.entry, file.chunks)
    if part_paths(store)[0].stat().st_blocks == 0:  # this disk keeps holes
        assert store.size == 0
    part.close()


def test_a_disk_that_others_filled_makes_the_store_give_way(full_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 100 * SIZE
    reserve = total // 20
    monkeypatch.setattr(store_module, "space_of", lambda path: (total, reserve + SIZE // 2))
    full_store.max_bytes = total
    full_store.make_room(SIZE)
    assert held(full_store) == [1, 2, 3]
    assert full_store.free() == reserve + SIZE // 2


def test_without_a_size_the_store_takes_a_tenth_of_its_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "space_of", lambda path: (1000, 500))
    with closing(Store(tmp_path / "other")) as store:
        assert store.max_bytes == 100
