"""Files of a job come and go in the folder that the sandbox of checks sees."""

import errno
import os
from pathlib import Path

import pytest

from sleap_rtc.jobs.showing import Showcase

from .conftest import names_in

JOB = "j_12345678"


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    inputs = tmp_path / "jobs" / JOB / "inputs"
    (inputs / "day1").mkdir(parents=True)
    (inputs / "day1" / "a.mp4").write_bytes(b"video")
    (inputs / "labels.slp").write_bytes(b"labels")
    return tmp_path / "jobs"


@pytest.fixture
def showcase(jobs: Path) -> Showcase:
    made = Showcase(jobs / ".preflight" / "shown", jobs)
    made.set_up()
    return made


def seen(showcase: Showcase) -> dict[str, bytes]:
    found = (path for path in showcase.folder.rglob("*") if not path.is_dir())
    return {path.relative_to(showcase.folder).as_posix(): path.read_bytes() for path in found}


def test_what_is_shown_is_seen_where_it_is_until_it_is_taken_away(jobs: Path, showcase: Showcase) -> None:
    showcase.show([jobs / JOB / "inputs" / "labels.slp"])
    assert seen(showcase) == {f"{JOB}/inputs/labels.slp": b"labels"}
    showcase.clear()
    showcase.show([jobs / JOB / "inputs", jobs / JOB / "work" / "runs"])
    assert seen(showcase) == {f"{JOB}/inputs/labels.slp": b"labels", f"{JOB}/inputs/day1/a.mp4": b"video"}
    showcase.clear()
    assert names_in(showcase.folder) == []
    assert (jobs / JOB / "inputs" / "labels.slp").read_bytes() == b"labels"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
def test_links_and_pipes_are_not_shown(jobs: Path, showcase: Showcase, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").touch()
    inputs = jobs / JOB / "inputs"
    (inputs / "labels.slp").unlink()
    (inputs / "labels.slp").symlink_to(tmp_path / "secret" / "key")
    (inputs / "day1" / "more").symlink_to(tmp_path / "secret")
    os.mkfifo(inputs / "pipe")
    (jobs / JOB / "work").symlink_to(tmp_path / "secret")
    showcase.show([inputs, inputs / "labels.slp", jobs / JOB / "work"])
    assert list(seen(showcase)) == [f"{JOB}/inputs/day1/a.mp4"]


def test_a_file_system_without_links_gets_copies(
    jobs: Path, showcase: Showcase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    showcase.show([jobs / JOB / "inputs"])
    assert seen(showcase)[f"{JOB}/inputs/labels.slp"] == b"labels"


def test_what_a_worker_that_died_has_left_is_cleared(jobs: Path, showcase: Showcase) -> None:
    showcase.show([jobs / JOB / "inputs"])
    Showcase(showcase.folder, jobs).set_up()
    assert names_in(showcase.folder) == []


def test_nothing_is_shown_from_elsewhere(showcase: Showcase, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="subpath"):
        showcase.show([tmp_path])
