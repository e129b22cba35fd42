"""The store when things break: killed processes, refusing disks, damaged indexes."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from sleap_rtc.errors import ConflictError, StorageError
from sleap_rtc.transfer import part as part_module
from sleap_rtc.transfer import placing, shelf
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.store import Store
from tests.transfer.stored import (
    assert_sound,
    bring,
    bring_missing,
    file_of,
    part_paths,
    stored_path,
)

GB = 1024**3

_DIES = """
import os, signal, sys
from pathlib import Path
from importlib import import_module
from tests.transfer.stored import bring, file_of
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.store import Store

folder, where, when, count = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
store = Store(folder / "store", max_bytes=10**9)
module, _, path = where.partition(":")
owner, name = import_module(module), path
while "." in name:
    first, _, name = name.partition(".")
    owner = getattr(owner, first)
original = getattr(owner, name)

def dying(*args, **kwargs):
    global count
    count -= 1
    if count == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = original(*args, **kwargs)
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, dying)
file = file_of(30, hashed=sys.argv[5] == "hashed")
part = store.begin("ann", file.entry, file.chunks)
for first in range(0, 30, 10):
    part.write(first, file.span(first, first + 10))
part.publish()
store.place("ann", file.entry, Placing(folder / "job" / "labels.slp"))
store.max_bytes = 0
store.make_room(0)
"""
TRANSFER = "sleap_rtc.transfer"
CRASHES = [
    (f"{TRANSFER}.part:open_locked", "after", 1),
    (f"{TRANSFER}.part:write_at", "before", 2),
    (f"{TRANSFER}.part:write_at", "after", 3),
    (f"{TRANSFER}.part:os.fsync", "before", 1),
    (f"{TRANSFER}.part:os.fsync", "after", 1),
    (f"{TRANSFER}.chunk_index:ChunkIndex.add", "before", 1),
    (f"{TRANSFER}.chunk_index:ChunkIndex.add_owner", "after", 1),
    (f"{TRANSFER}.shelf:Path.replace", "before", 1),
    (f"{TRANSFER}.shelf:Path.replace", "after", 1),
    (f"{TRANSFER}.shelf:sync_folder", "before", 1),
    (f"{TRANSFER}.placing:copy_file", "after", 1),
    (f"{TRANSFER}.shelf:Path.replace", "before", 2),
    (f"{TRANSFER}.shelf:Path.replace", "after", 2),
    (f"{TRANSFER}.shelf:remove", "after", 1),
    (f"{TRANSFER}.chunk_index:ChunkIndex.drop", "after", 1),
]
UNHASHED = [
    (f"{TRANSFER}.part:write_at", "after", 3),
    (f"{TRANSFER}.chunk_index:ChunkIndex.add_list", "before", 1),
    (f"{TRANSFER}.chunk_index:ChunkIndex.add_list", "after", 1),
    (f"{TRANSFER}.shelf:Path.replace", "after", 1),
]


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


@pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL")
@pytest.mark.parametrize(
    ("where", "when", "count", "hashed"),
    [(*crash, "hashed") for crash in CRASHES] + [(*crash, "not hashed") for crash in UNHASHED],
    ids=lambda value: str(value).partition(":")[2] or str(value),
)
def test_a_killed_process_costs_at_most_work(tmp_path: Path, where: str, when: str, count: int, hashed: str) -> None:
    file = file_of(30, hashed=hashed == "hashed")
    command = python(_DIES, str(tmp_path), where, when, str(count), hashed)
    ended = subprocess.run(command, check=False, cwd=Path.cwd())
    assert ended.returncode == -signal.SIGKILL
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        assert_sound(store)
        placed = tmp_path / "job" / "labels.slp"
        assert not placed.exists() or placed.read_bytes() == file.data
        if not store.holds("ann", file.entry):
            assert not stored_path(store, file).exists()
            part = store.begin("ann", file.entry, file.chunks)
            if where.endswith("fsync"):
                assert part.missing() == []  # nothing is sent again
            bring_missing(part, file)
        store.place("ann", file.entry, Placing(placed))
        assert placed.read_bytes() == file.data
        assert part_paths(store) == []
        assert store.size == file.entry.size


def refuse(code: int):  # type: ignore[no-untyped-def]
    def refusing(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return refusing


REFUSALS = [
    (errno.ENOSPC, "is full"),
    (errno.EDQUOT, "is full"),
    (errno.EFBIG, "may not grow that large"),
    (errno.EROFS, "read-only"),
    (errno.EACCES, "permissions"),
    (errno.EIO, "reports an error"),
]


@pytest.mark.parametrize(("code", "sentence"), REFUSALS, ids=[errno.errorcode[code] for code, _ in REFUSALS])
def test_a_disk_that_refuses_is_a_sentence_and_keeps_what_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, sentence: str
) -> None:
    file, other = file_of(20), file_of(10, seed=1)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        bring(store, "bob", other)
        part = store.begin("ann", file.entry, file.chunks)
        part.write(0, file.span(0, 8))
        with monkeypatch.context() as patch:
            patch.setattr(part_module, "write_at", refuse(code))
            with pytest.raises(StorageError, match=sentence):
                part.write(8, file.span(8, 20))
        part.close()
        assert store.holds("bob", other.entry)
        part = store.begin("ann", file.entry, file.chunks)
        assert part.missing() == list(range(8, 20))
        bring_missing(part, file)


@pytest.mark.parametrize("step", ["sync", "rename", "folder"])
def test_a_refusal_while_publishing_shows_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = file_of(20)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        part = store.begin("ann", file.entry, file.chunks)
        part.write(0, file.data)
        with monkeypatch.context() as patch:
            match step:
                case "sync":
                    patch.setattr(os, "fsync", refuse(errno.EIO))
                case "rename":
                    patch.setattr(Path, "replace", refuse(errno.ENOSPC))
                case _:
                    patch.setattr(shelf, "make_folder", refuse(errno.ENOSPC))
            with pytest.raises(StorageError):
                part.publish()
        assert not store.holds("ann", file.entry)
        assert not stored_path(store, file).exists()
        part = store.begin("ann", file.entry, file.chunks)
        # after a failed sync nobody knows what the disk has; otherwise all of it is still there
        assert len(part.missing()) == (20 if step == "sync" else 0)
        bring_missing(part, file)
        assert store.holds("ann", file.entry)


def test_an_index_that_cannot_be_written_leaves_the_part_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = file_of(20)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        part = store.begin("ann", file.entry, file.chunks)
        part.write(0, file.data)
        database = store._index._db
        connection = database._db
        assert connection is not None
        real: sqlite3.Connection = connection

        class FullAtCommit:
            def execute(self, query: str, values: tuple[object, ...] = ()) -> object:
                if query == "COMMIT":
                    error = sqlite3.OperationalError("database or disk is full")
                    error.sqlite_errorcode = sqlite3.SQLITE_FULL
                    raise error
                return real.execute(query, values)

            def executemany(self, query: str, values: object) -> object:
                return real.executemany(query, values)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(database, "_db", FullAtCommit())
            with pytest.raises(StorageError, match="is full"):
                part.publish()
        assert not store.holds("ann", file.entry)
        part = store.begin("ann", file.entry, file.chunks)
        assert part.missing() == []
        part.publish()
        assert store.holds("ann", file.entry)


@pytest.mark.parametrize("step", ["copy", "sync", "rename"])
def test_a_refusal_while_placing_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    file = file_of(20)
    target = tmp_path / "job" / "labels.slp"
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        bring(store, "ann", file)
        with monkeypatch.context() as patch:
            match step:
                case "copy":
                    patch.setattr(placing, "copy_file", refuse(errno.ENOSPC))
                case "sync":
                    patch.setattr(os, "fsync", refuse(errno.EIO))
                case _:
                    patch.setattr(Path, "replace", refuse(errno.EACCES))
            with pytest.raises(StorageError, match="labels"):
                store.place("ann", file.entry, Placing(target))
        assert list(target.parent.iterdir()) == []
        store.place("ann", file.entry, Placing(target))
        assert target.read_bytes() == file.data


@pytest.mark.parametrize("ways", ["none", "all refuse", "stops midway", "claims the end", "finds nothing"])
def test_a_copy_is_whole_whatever_the_system_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: str) -> None:
    def midway(source: int, sink: int, begin: int, end: int) -> None:
        os.write(sink, b"half")
        raise OSError(errno.EXDEV, "other disk")

    def ended(source: int, sink: int, begin: int, end: int) -> None:
        placing._in_steps(source, begin, end, lambda at, left: 0 if at else os.write(sink, b"half"))

    chosen = {
        "none": (),
        "all refuse": (refuse(errno.EOPNOTSUPP), refuse(errno.ENOSYS)),
        "stops midway": (midway,),
        "claims the end": (ended, ended),
        "finds nothing": (refuse(errno.ENOENT),),
    }
    monkeypatch.setattr(placing, "_WAYS", chosen[ways])
    file = file_of(300)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        bring(store, "ann", file)
        store.place("ann", file.entry, Placing(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == file.data


@pytest.mark.parametrize("shares", [False, True], ids=["copied", "shared"])
def test_a_file_is_copied_while_it_arrives_where_blocks_cannot_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shares: bool
) -> None:
    def clone(source: int, sink: int) -> bool:
        os.ftruncate(sink, 0)
        os.pwrite(sink, os.pread(source, 1024 * 1024, 0), 0)
        return shares

    copied: list[tuple[int, int]] = []
    copy_file = placing.copy_file

    def copy_counted(source: int, sink: int, begin: int, end: int) -> None:
        copied.append((begin, end))
        os.ftruncate(sink, begin)
        copy_file(source, sink, begin, end)

    monkeypatch.setattr(placing, "shares_blocks", clone)
    monkeypatch.setattr(placing, "copy_file", copy_counted)
    file = file_of(30)
    place = Placing(tmp_path / "copy")
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        part = store.begin("ann", file.entry, file.chunks)
        for first in (0, 20, 10):
            part.write(first, file.span(first, first + 10))
            part.settle(place)
        assert not (tmp_path / "copy").exists()
        part.publish()
        store.place("ann", file.entry, place)
    ten = file.chunks[10].offset
    size = file.entry.size
    assert copied == ([] if shares else [(0, ten), (ten, size), (size, size)])
    assert (tmp_path / "copy").read_bytes() == file.data
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == ["copy"]


def test_what_was_copied_of_a_file_that_never_came_whole_is_removed(tmp_path: Path) -> None:
    file = file_of(30)
    place = Placing(tmp_path / "job" / "copy")
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        with closing(store.begin("ann", file.entry, file.chunks)) as part:
            part.write(0, file.span(0, 10))
            part.settle(place)
            assert len(list((tmp_path / "job").iterdir())) == 1
            place.close()
            part.settle(place)  # by a thread that has not heard of it
        assert list((tmp_path / "job").iterdir()) == []


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    import resource  # POSIX only

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")
def test_a_real_limit_on_files_is_a_sentence(tmp_path: Path) -> None:
    small, large = file_of(5), file_of(2000, seed=1)
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store, file_size_limit(4 * 1024 * 1024):
        with pytest.raises(StorageError, match="may not grow that large"):
            store.begin("ann", large.entry, large.chunks)
        bring(store, "bob", small)
        assert store.holds("bob", small.entry)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_a_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="permissions"):
            Store(tmp_path / "store")
    finally:
        tmp_path.chmod(0o700)


def test_a_store_where_a_file_is_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"")
    with pytest.raises(StorageError, match="store"):
        Store(tmp_path / "store")


_BUSY = """
import sys
from pathlib import Path
from tests.transfer.stored import bring, file_of
from sleap_rtc.transfer.placing import Placing
from sleap_rtc.transfer.store import Store

store = Store(Path(sys.argv[1]), max_bytes=10**9)
file = file_of(10, seed=77)
part = store.begin("ann", file.entry, file.chunks)
for seed in range(20):
    bring(store, "ann", file_of(20, seed))
print("begun", flush=True)
sys.stdin.read()
part.write(0, file.data)
part.publish()
"""


def test_two_processes_share_a_store(tmp_path: Path) -> None:
    folder, shared = tmp_path / "store", file_of(10, seed=77)
    with (
        closing(Store(folder, max_bytes=GB)) as store,
        subprocess.Popen(
            python(_BUSY, str(folder)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        ) as other,
    ):
        assert other.stdin is not None
        assert other.stdout is not None
        for seed in range(100, 120):
            bring(store, "ann", file_of(20, seed))
            with closing(Store(folder, max_bytes=GB)):
                pass  # a third one, which sweeps
        assert other.stdout.readline() == "begun\n"
        with pytest.raises(ConflictError):
            store.begin("ann", shared.entry, shared.chunks)
        other.stdin.close()
        assert other.wait() == 0
        for file in [shared, *(file_of(20, seed) for seed in (*range(20), *range(100, 120)))]:
            assert store.holds("ann", file.entry)
        assert_sound(store)
