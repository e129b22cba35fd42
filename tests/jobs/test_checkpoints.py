"""What an earlier attempt left of a run, moved away, put back and made one folder again."""

import os
import zipfile
from pathlib import Path

import pytest

from sleap_rtc.jobs.checkpoints import Remains
from sleap_rtc.jobs.folder import JobFolder

from .conftest import names_in

HEADER = "epoch,val/loss\n"


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    folder = JobFolder(tmp_path / "j_12345678")
    folder.models.mkdir(parents=True)
    return folder


def checkpoint(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("content", content)


def content_of(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("content").decode()


def trained(folder: JobFolder, epochs: range, best: str | None = "") -> Path:
    """What a training of these epochs leaves; `best` is None where none of them was better than those before."""
    run = folder.models / "one"
    checkpoint(run / "last.ckpt", f"last {epochs[-1]}")
    if best is not None:
        checkpoint(run / "best.ckpt", best or f"best {epochs[-1]}")
    (run / "training_log.csv").write_text(HEADER + "".join(f"{epoch},0.5\n" for epoch in epochs))
    return run


def test_a_run_goes_on_from_its_last_checkpoint_in_an_empty_folder(folder: JobFolder) -> None:
    trained(folder, range(3))
    assert Remains(folder, "one").take() == folder.before / "one/last.ckpt"
    assert names_in(folder.models) == []


def test_without_a_last_checkpoint_the_best_one_serves(folder: JobFolder) -> None:
    (trained(folder, range(3)) / "last.ckpt").unlink()
    assert Remains(folder, "one").take() == folder.before / "one/best.ckpt"


def test_a_torn_checkpoint_is_passed_over(folder: JobFolder) -> None:
    last = trained(folder, range(3)) / "last.ckpt"
    last.write_bytes(last.read_bytes()[:-10])
    assert Remains(folder, "one").take() == folder.before / "one/best.ckpt"


def test_a_run_that_never_saved_leaves_nothing(folder: JobFolder) -> None:
    (folder.models / "one").mkdir()
    (folder.models / "one/training_log.csv").write_text(HEADER)
    assert Remains(folder, "one").take() is None
    assert names_in(folder.models) == []


def test_the_best_model_is_put_back_and_never_over_a_better_one(folder: JobFolder) -> None:
    trained(folder, range(3), best="good")
    remains = Remains(folder, "one")
    remains.take()
    remains.put_back()
    assert names_in(folder.models / "one") == ["best.ckpt"]
    assert content_of(folder.models / "one/best.ckpt") == "good"
    checkpoint(folder.models / "one/best.ckpt", "better")
    remains.put_back()
    assert content_of(folder.models / "one/best.ckpt") == "better"
    assert names_in(folder.models / "one") == ["best.ckpt"]


def test_one_folder_comes_of_two_attempts(folder: JobFolder) -> None:
    trained(folder, range(4), best="best of all")
    remains = Remains(folder, "one")
    remains.take()
    # the first attempt was killed when it had told of epoch 3 and not yet saved it
    trained(folder, range(3, 6), best=None)
    for _ in range(2):
        remains.merge()
        assert content_of(folder.models / "one/best.ckpt") == "best of all"
        assert content_of(folder.models / "one/last.ckpt") == "last 5"
        rows = (folder.models / "one/training_log.csv").read_text().splitlines()
        assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2", "3", "4", "5"]
        assert names_in(folder.before) == []


def test_an_attempt_that_saved_nothing_costs_nothing(folder: JobFolder) -> None:
    trained(folder, range(3))
    Remains(folder, "one").take()
    (folder.models / "one").mkdir()
    assert Remains(folder, "one").take() == folder.before / "one/last.ckpt"
    Remains(folder, "one").merge()
    assert names_in(folder.models / "one") == ["best.ckpt", "last.ckpt", "training_log.csv"]


def test_a_log_of_other_columns_is_left_as_it_is(folder: JobFolder) -> None:
    trained(folder, range(3))
    Remains(folder, "one").take()
    log = trained(folder, range(3, 5)) / "training_log.csv"
    log.write_text("epoch,other\n3,1\n")
    Remains(folder, "one").merge()
    assert log.read_text() == "epoch,other\n3,1\n"


def test_no_link_of_the_jobs_making_is_followed(folder: JobFolder, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    checkpoint(foreign / "last.ckpt", "mine")
    checkpoint(foreign / "best.ckpt", "mine")
    remains = Remains(folder, "one")
    (folder.models / "one").symlink_to(foreign)
    assert remains.take() is None
    assert not (folder.models / "one").is_symlink()
    (folder.models / "one").mkdir()
    (folder.models / "one/last.ckpt").symlink_to(foreign / "last.ckpt")
    assert remains.take() is None
    folder.before.symlink_to(foreign)
    trained(folder, range(2))
    assert remains.take() == folder.before / "one/last.ckpt"
    assert not folder.before.is_symlink()
    (folder.models / "one").symlink_to(foreign)
    (foreign / "best.ckpt").unlink()
    remains.put_back()
    assert names_in(foreign) == ["last.ckpt"]
    (folder.models / "one").unlink()
    (folder.before / "one/best.ckpt").unlink()
    os.mkfifo(folder.before / "one/best.ckpt")
    remains.put_back()
    (folder.before / "one/best.ckpt").unlink()
    (folder.before / "one/best.ckpt").symlink_to(foreign / "last.ckpt")
    remains.put_back()
    assert names_in(folder.models / "one") in ([], ["best.ckpt"])
    assert not (folder.models / "one/best.ckpt").exists() or content_is_empty(folder.models / "one/best.ckpt")


def content_is_empty(path: Path) -> bool:
    return path.read_bytes() == b""
