"""The file of workers that were met: readable, private, and careful with what it does not know."""

import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.config.known_workers import KnownWorker, KnownWorkers
from sleap_rtc.errors import StorageError

ROOM = ("http://127.0.0.1:8000", "r_room0000")


def worker(name: str = "lab-gpu-1", seed: int = 1, room: tuple[str, str] = ROOM) -> KnownWorker:
    return KnownWorker(*room, name, bytes([seed]) * 32)


def keep(path: Path, *workers: KnownWorker) -> None:
    KnownWorkers(path).change(lambda known: ((), workers))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_workers"


def test_an_entry_is_a_line_that_a_person_can_read(path: Path) -> None:
    known = worker("Müllers GPU 1")
    keep(path, known)
    heading, line = path.read_text("utf-8").splitlines()
    assert heading.startswith("# ")
    assert line == f'http://127.0.0.1:8000 r_room0000 {known.worker_id} {known.key.hex()} "Müllers GPU 1"'
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(st.text(st.characters(), max_size=40))
def test_any_name_comes_back_as_it_was_and_steers_no_terminal(name: str) -> None:
    line = worker(name).line
    assert line.isprintable()
    assert KnownWorker.from_line(line) == worker(name)


def test_what_cannot_be_read_is_left_alone_and_counts_for_nothing(path: Path) -> None:
    good, other = worker(), worker("lab-gpu-2", 2)
    strange = [
        b"# a remark of the user's",
        b"",
        b"w_OLDERVERSION " + b"ab" * 32,
        other.line.replace(other.worker_id, good.worker_id).encode(),  # an id that is not made of the key
        other.line.removesuffix('"').encode(),
        other.line.replace('"lab-gpu-2"', '"\\x"').encode(),
        b"\xff\xfe not text \x00",
    ]
    path.write_bytes(b"\n".join([*strange[:3], good.line.encode(), *strange[3:]]) + b"\n")
    assert KnownWorkers(path).all() == [good]
    keep(path, other)
    assert KnownWorkers(path).all() == [good, other]
    assert KnownWorkers(path).forget(lambda each: each == good) == [good]
    assert path.read_bytes().split(b"\n") == [*strange, other.line.encode(), b""]


def test_the_same_entry_is_written_once_and_nothing_is_written_for_nothing(path: Path) -> None:
    KnownWorkers(path).forget(lambda each: True)
    assert not path.exists()
    keep(path, worker())
    before = path.stat().st_mtime_ns
    keep(path, worker())
    assert path.stat().st_mtime_ns == before


def test_what_a_change_raises_changes_nothing(path: Path) -> None:
    keep(path, worker())

    def refuse(known: list[KnownWorker]) -> tuple[list[KnownWorker], list[KnownWorker]]:
        raise StorageError("no")

    with pytest.raises(StorageError):
        KnownWorkers(path).change(refuse)
    assert KnownWorkers(path).all() == [worker()]


def test_many_at_once_lose_no_entry(path: Path) -> None:
    workers = [worker(f"gpu-{seed}", seed) for seed in range(1, 9)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: keep(path, each), workers))
    assert sorted(KnownWorkers(path).all(), key=lambda each: each.name) == workers


def test_a_file_that_cannot_be_read_makes_nobody_a_stranger(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StorageError, match="cannot be read"):
        KnownWorkers(path).all()
