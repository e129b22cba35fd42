"""The store's index: damaged, of another version, in use, out of step with the files."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import StorageError
from sleap_rtc.transfer import store as store_module
from sleap_rtc.transfer.store import Store
from tests.transfer.stored import File, bring, bring_missing, file_of, part_paths, stored_path

GB = 1024**3


def damage_header(index: Path) -> None:
    index.write_bytes(b"this is no database" * 1000)


def damage_pages(index: Path) -> None:
    size = index.stat().st_size
    with index.open("r+b") as raw:
        raw.seek(100)
        raw.write(os.urandom(size - 100))


def make_older(index: Path) -> None:
    with closing(sqlite3.connect(index)) as db:
        db.execute("PRAGMA user_version = 1")


def damage_chunks(index: Path) -> None:
    """Damage what opening does not see: leaves below the root of the chunks."""
    with closing(sqlite3.connect(index)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        roots = [page for (page,) in db.execute("SELECT rootpage FROM sqlite_master")]
        (size,) = db.execute("PRAGMA page_size").fetchone()
    pages = bytearray(index.read_bytes())
    for at in range(0, len(pages), size):
        if pages[at] == 10 and at // size + 1 not in roots:
            pages[at : at + size] = b"\xff" * size
    index.write_bytes(pages)


def make_foreign(index: Path) -> None:
    with closing(sqlite3.connect(index)) as db:
        db.execute("DROP TABLE owners")


@pytest.mark.parametrize("harm", [damage_header, damage_pages, make_older, make_foreign])
def test_a_damaged_or_older_index_is_set_aside(
    tmp_path: Path,
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    file, started = file_of(10), file_of(10, seed=1)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        bring(store, "ann", file)
        part = store.begin("ann", started.entry, started.chunks)
        part.write(0, started.span(0, 9))
        part.close()
    harm(tmp_path / "store" / "index.db")
    with caplog.at_level(logging.WARNING), closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        assert "index" in caplog.text
        assert not store.holds("ann", file.entry)
        assert not stored_path(store, file).exists()
        bring(store, "ann", file)
        assert bring_missing(store.begin("ann", started.entry, started.chunks), started) == 1
        assert store.holds("ann", file.entry)
    assert (tmp_path / "store" / "index.db.aside").exists()


LARGE = file_of(2000)
"""Its chunks take several pages."""


def harmed(folder: Path) -> Store:
    """A store whose index is damaged where nobody has looked yet."""
    with closing(Store(folder, max_bytes=GB)) as store:
        bring(store, "ann", LARGE)
    damage_chunks(folder / "index.db")
    return Store(folder, max_bytes=GB)


def find_damage(store: Store) -> None:
    new = File(LARGE.data + b"more")
    part = store.begin("ann", new.entry, new.chunks)
    with pytest.raises(StorageError, match=r"damaged.*send it again"):
        part.borrow()
    part.close()


def test_a_store_recovers_from_damage_that_it_finds_in_use(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pinned = file_of(10, seed=1)
    with closing(harmed(tmp_path / "store")) as store:
        with store.pinned("ann", [pinned.entry]):  # which the new index has to know
            find_damage(store)
            assert not store.holds("ann", LARGE.entry)
            assert "found damaged" in caplog.text
            assert not stored_path(store, LARGE).exists()
            bring(store, "ann", LARGE)
            bring(store, "ann", pinned)
            store.make_room(0)
            assert store._index.sizes() == (LARGE.entry.size + pinned.entry.size, LARGE.entry.size)
        assert store.holds("ann", LARGE.entry)
        assert store._index.sizes()[0] == store._index.sizes()[1]
    assert (tmp_path / "store" / "index.db.aside").exists()


def test_a_damaged_index_is_left_alone_while_somebody_uses_it(tmp_path: Path) -> None:
    with closing(harmed(tmp_path / "store")) as store, closing(Store(tmp_path / "store", max_bytes=GB)) as other:
        find_damage(store)
        with pytest.raises(StorageError, match="another sleap-rtc process is using it"):
            store.holds("ann", LARGE.entry)
        with pytest.raises(StorageError, match="another sleap-rtc process is using it"):
            Store(tmp_path / "store")
        assert stored_path(store, LARGE).exists()
        assert not other.holds("ann", LARGE.entry)  # it begins a new index by itself
        bring(store, "ann", LARGE)
        assert other.holds("ann", LARGE.entry)


def test_an_index_found_damaged_is_set_aside_by_the_next_command(tmp_path: Path) -> None:
    with closing(harmed(tmp_path / "store")) as store:
        find_damage(store)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        assert not store.holds("ann", LARGE.entry)
        bring(store, "ann", LARGE)


@pytest.mark.parametrize("marked", [False, True], ids=["sound", "found damaged"])
def test_a_newer_index_is_refused_and_kept(tmp_path: Path, marked: bool) -> None:
    file = file_of(10)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        bring(store, "ann", file)
    with closing(sqlite3.connect(tmp_path / "store" / "index.db")) as db:
        db.execute("PRAGMA user_version = 99")
    if marked:
        (tmp_path / "store" / "index.db.is-damaged").touch()
    with pytest.raises(StorageError, match="newer sleap-rtc"):
        Store(tmp_path / "store")
    assert stored_path(store, file).exists()
    assert not (tmp_path / "store" / "index.db.aside").exists()


def test_a_closed_store_stays_closed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", max_bytes=GB)
    store.close()
    (tmp_path / "store" / "index.db.is-damaged").touch()
    with pytest.raises(StorageError, match="is closed"):
        store.holds("ann", LARGE.entry)


@pytest.mark.parametrize(("mode", "synchronous"), [("wal", 1), ("delete", 2)])
def test_without_a_write_ahead_log_every_write_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, synchronous: int
) -> None:
    class OddDisk(sqlite3.Connection):
        def execute(self, query: str, *values: Any) -> sqlite3.Cursor:
            return super().execute(query.replace("journal_mode=WAL", f"journal_mode={mode}"), *values)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **named: connect(path, factory=OddDisk, **named))
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        assert store._index._db.rows("PRAGMA synchronous") == [(synchronous,)]
        bring(store, "ann", file_of(10))
        assert store.holds("ann", file_of(10).entry)


def test_leftovers_are_swept(tmp_path: Path) -> None:
    kept, lost = file_of(10), file_of(10, seed=1)
    fresh, old, busy = (file_of(10, seed) for seed in (2, 3, 4))
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        bring(store, "ann", kept)
        bring(store, "ann", lost)
        store.begin("ann", fresh.entry, fresh.chunks).close()
        before = set(part_paths(store))
        store.begin("ann", old.entry, old.chunks).close()
        (aged,) = set(part_paths(store)) - before
        held = store.begin("ann", busy.entry, busy.chunks)
        (used,) = set(part_paths(store)) - before - {aged}
        week_ago = time.time() - store_module.PART_LIFE - 60
        for path in (aged, used):
            os.utime(path, (week_ago, week_ago))
        stored_path(store, lost).unlink()
        files = store.folder / "files"
        (files / "ab").mkdir(exist_ok=True)
        (files / "ab" / ("ab" * 32)).write_bytes(b"unknown")
        (files / "stray").write_bytes(b"stray")
        (files / "cd").symlink_to(tmp_path)
        with closing(Store(tmp_path / "store", max_bytes=GB)) as again:
            assert set(part_paths(again)) == before | {used}
            assert again.holds("ann", kept.entry)
            assert [path for path in files.rglob("*") if not path.is_dir()] == [stored_path(store, kept)]
            assert again._index.find(lost.sha256) is None
        held.close()
    assert tmp_path.exists()
