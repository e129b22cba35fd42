"""Jobs that fill the disk: they are ended with a sentence and keep their model, and no other job suffers for it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from sleap_rtc.errors import StorageError
from sleap_rtc.jobs import quota
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.quota import QuotaWatch, bytes_below, least_free
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import Event, JobState

from .aftermath import assert_whole
from .conftest import (
    FakeRunner,
    all_events,
    ended_by,
    events_until,
    eventually,
    is_epoch_end,
    lives,
    new_board,
    noted,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)
from .ending import end_jobs

MB = 1024 * 1024
HOARDER, OTHER = "j_11111111", "j_22222222"


@pytest.fixture
def hoard(tmp_path: Path) -> Path:
    """A package whose training keeps something of every epoch."""
    return write_package(tmp_path / "hoard", {"hoard": training_config()})


@pytest.fixture
def small(root: Path) -> Iterator[Path]:
    """The folder for jobs on a disk of 48 MiB."""
    root.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={48 * MB}", "tmpfs", str(root)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield root
    finally:
        end_jobs(root)
        subprocess.run(["umount", "--lazy", root], check=True)


def with_limits(
    settings: SupervisorSettings, *, max_work: int = SupervisorSettings.max_work, min_free: int = 0
) -> SupervisorSettings:
    return replace(settings, quota_look=0.05, max_work=max_work, min_free=min_free)


def assert_ended_for(folder: JobFolder, events: list[Event], *words: str) -> None:
    """The job was ended for what it took, and its model can be fetched."""
    (ended,) = of_type(events, "run_ended")
    last = of_type(events, "state")[-1]
    assert (last.state, ended.outcome, ended.folder) == (JobState.FAILED, "failed", "hoard")
    for each in ("Run 'hoard' was ended: ", *words, "Its best model so far is kept"):
        assert each in last.error.sentence
    files = ("best.ckpt", "initial_config.yaml", "last.ckpt", "training_config.yaml", "training_log.csv")
    assert [file.path for file in folder.results()] == [f"hoard/{name}" for name in files]


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_a_job_that_writes_too_much_is_ended_and_the_next_one_starts(
    root: Path, fake: FakeRunner, hoard: Path, package: Path, ledger: Path, *, warm: bool
) -> None:
    async with running(new_board(root, with_limits(fake("hoards"), max_work=4 * MB), warm=warm)) as board:
        hoarder, other = await submit(board, hoard, HOARDER), await submit(board, package, OTHER)
        events = await all_events(board, hoarder)
        await events_until(board, other, is_epoch_end)
        await ended_by(board, other, "stop")
        await board.idle()
    assert_ended_for(hoarder, events, "this worker lets a job take 4.2 MB", "worker.max_job_bytes")
    assert_whole(hoarder, other)
    assert [run for run, _ in noted(ledger)] == ["hoard", "one"]


async def test_on_a_disk_that_is_nearly_full_the_job_that_takes_most_is_ended(
    small: Path, fake: FakeRunner, hoard: Path, package: Path
) -> None:
    # a running job is ended when a tenth of what a new one needs is left
    settings = with_limits(fake("hoards"), min_free=200 * MB)
    async with running(new_board(small, settings, slots=2)) as board:
        other, hoarder = await submit(board, package, OTHER), await submit(board, hoard, HOARDER)
        events = await all_events(board, hoarder)
        known = board.summary(other).last_seq
        await events_until(board, other, lambda event: event.seq > known and is_epoch_end(event))
        await ended_by(board, other, "stop")
        await board.idle()
    assert_ended_for(hoarder, events, "the worker's disk has", "of the jobs that run it takes most")
    assert other.state().state is JobState.DONE
    assert_whole(hoarder, other)


async def test_a_disk_that_others_fill_up_ends_what_runs_and_nothing_that_waits(
    small: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(small, fake("endless"))) as board:
        first, second = await submit(board, package, HOARDER), await submit(board, package, OTHER)
        await events_until(board, first, is_epoch_end)
        supervisor = first.supervisor()
        assert supervisor is not None
        filler = small / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(MB)):
                pass
        await eventually(lambda: not lives(supervisor.pid))
        assert not any(lives(pid) for _, pid in noted(ledger))
        filler.unlink()
        last = of_type(await all_events(board, first), "state")[-1]
        await events_until(board, second, is_epoch_end)
        await ended_by(board, second, "stop")
        await board.idle()
    assert last.state in (JobState.FAILED, JobState.LOST)
    assert last.error.sentence
    assert_whole(first, second)
    assert second.state().state is JobState.DONE


async def test_a_disk_that_is_nearly_full_takes_no_new_job_and_goes_on_with_those_it_has(
    root: Path, fake: FakeRunner, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = new_board(root, fake("good"), min_free=5 * 10**9)
    known = await submit(board, package)
    monkeypatch.setattr(quota, "_usage", lambda _: SimpleNamespace(total=10**12, free=4 * 10**9))
    with pytest.raises(StorageError, match=r"has 4\.0 GB left, and it takes new jobs only with 5\.0 GB free"):
        await submit(board, package, OTHER)
    assert not (root / OTHER).exists()
    # typed again, it is found and not refused
    spec = known.spec()
    again = await board.receive(
        spec.job, owner=spec.owner, name="test", manifest_digest=spec.manifest, options=spec.options
    )
    assert again.path == known.path
    async with running(board):
        await all_events(board, known)
        await board.idle()
    assert known.state().state is JobState.DONE


def test_a_new_job_needs_five_gibibytes_or_a_twentieth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for total, least in ((10**10, 5 * 2**30), (10**12, 5 * 10**10)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, total=total: SimpleNamespace(total=total))
        assert least_free(tmp_path / "not" / "yet") == least


def test_what_lies_below_a_folder_counts_as_it_does_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_bytes(os.urandom(MB))
    with (tmp_path / "hole").open("wb") as hole:
        hole.truncate(1000 * MB)
    (tmp_path / "loop").symlink_to(tmp_path)
    nested = str(tmp_path)
    for _ in range(1100):
        nested += "/x"
        os.mkdir(nested)  # noqa: PTH102
    assert MB <= bytes_below(tmp_path) < 2 * MB
    os.removedirs(nested)  # what tidies up after tests would not go so deep
    assert bytes_below(tmp_path / "missing") == 0


@pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="folders cannot be nested so deep here")
def test_nothing_is_hidden_in_folders_too_deep_to_look_into(tmp_path: Path) -> None:
    name, made = "x" * 200, [os.open(tmp_path, os.O_RDONLY)]
    for _ in range(25):
        os.mkdir(name, dir_fd=made[-1])
        made.append(os.open(name, os.O_RDONLY, dir_fd=made[-1]))
    try:
        assert bytes_below(tmp_path) > 10**15
    finally:
        for below, above in zip(reversed(made), reversed(made[:-1]), strict=False):
            os.close(below)
            os.rmdir(name, dir_fd=above)
        os.close(made[0])


def test_another_jobs_folder_that_cannot_be_read_ends_no_watch(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = (JobFolder(root / job) for job in (HOARDER, OTHER))
    mine.work.mkdir(parents=True)
    (mine.work / "large").write_bytes(bytes(MB))
    (other.control / "state.json").mkdir(parents=True)
    monkeypatch.setattr(quota, "_usage", lambda _: SimpleNamespace(total=MB, free=0))
    told = QuotaWatch(mine, SupervisorSettings(min_free=MB))._look()
    assert told is not None
    assert "it takes most" in told
