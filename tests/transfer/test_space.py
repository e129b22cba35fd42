"""What is refused before it is written, on whichever disk it would not fit."""

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sleap_rtc.errors import StorageError
from sleap_rtc.transfer.progress import Progress
from sleap_rtc.transfer.space import DiskSpace
from sleap_rtc.transfer.store import Store
from sleap_rtc.transfer.usage import disk_of, space_of
from tests.session.linked import STEADY

GB = 10**9
TOO_MUCH = 10**15


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store", max_bytes=GB)) as store:
        yield store


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk than `tmp_path`."""
    memory = Path("/dev/shm")
    if sys.platform != "linux" or not memory.is_dir() or disk_of(memory) == disk_of(tmp_path):
        pytest.skip("there is one disk here")
    with TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


async def test_a_file_and_its_copy_must_fit_together_on_one_disk(store: Store, tmp_path: Path) -> None:
    space = DiskSpace(store, Progress(), STEADY)
    place = tmp_path / "jobs" / "job" / "labels.slp"
    half = space_of(tmp_path)[1] * 2 // 3
    await space.check(half, 0, place)
    with pytest.raises(StorageError, match="store"):
        await space.check(half, half, place)


async def test_a_copy_on_another_disk_is_asked_of_that_disk(store: Store, elsewhere: Path) -> None:
    space = DiskSpace(store, Progress(), STEADY)
    place = elsewhere / "jobs" / "job" / "labels.slp"
    await space.check(0, 1000, place)
    with pytest.raises(StorageError, match=str(elsewhere)):
        await space.check(0, TOO_MUCH, place)
    with pytest.raises(StorageError, match="store"):
        await space.check(TOO_MUCH, 0, place)
