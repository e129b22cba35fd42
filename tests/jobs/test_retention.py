"""Jobs are kept for a while after their end, and no other time counts."""

from pathlib import Path

import pytest

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.jobs import attempts
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.protocol.jobs import JobSpec, JobState

from .conftest import OWNER, FakeRunner, names_in, new_board

DAY = 24 * 3600.0
KEEP = 14 * DAY


def job(root: Path, number: int, state: JobState, days_ago: float) -> JobFolder:
    root.mkdir(exist_ok=True)
    name = f"j_1234567{number}"
    spec = JobSpec(job=name, owner=OWNER, name="test", manifest="0" * 64, submitted=0)
    folder = JobFolder.create(root / name, spec)
    folder.write_state(StateRecord(state=state, t=utc_ms() - int(days_ago * DAY * 1000)))
    return folder


@pytest.mark.parametrize("state", [JobState.DONE, JobState.FAILED, JobState.CANCELLED, JobState.LOST])
async def test_what_ended_long_ago_is_removed_and_the_rest_is_kept(
    root: Path, fake: FakeRunner, state: JobState
) -> None:
    old = job(root, 0, state, 14.1)
    job(root, 1, state, 13.9)
    job(root, 2, JobState.RUNNING, 400)
    job(root, 3, JobState.QUEUED, 400)
    board = new_board(root, fake("good"))
    assert await board.remove_old(KEEP) == [old.job]
    assert names_in(root) == ["j_12345671", "j_12345672", "j_12345673"]
    assert [summary.job for summary in board.summaries()] == names_in(root)


async def test_an_end_in_the_future_counts_as_now(root: Path, fake: FakeRunner) -> None:
    job(root, 0, JobState.DONE, -400)
    assert await new_board(root, fake("good")).remove_old(KEEP) == []


async def test_what_is_fetched_now_is_kept(root: Path, fake: FakeRunner) -> None:
    folder = job(root, 0, JobState.DONE, 30)
    board = new_board(root, fake("good"))
    assert await board.remove_old(KEEP, lambda name: name == folder.job) == []
    assert await board.remove_old(KEEP, lambda name: False) == [folder.job]


async def test_a_job_whose_next_attempt_is_promised_is_kept(root: Path, fake: FakeRunner) -> None:
    folder = job(root, 0, JobState.LOST, 30)
    folder.promise_attempt(2)
    board = new_board(root, fake("good"))
    assert await board.remove_old(KEEP) == []
    attempts.finish(folder)
    assert await board.remove_old(KEEP) == []


async def test_an_odd_folder_is_kept_and_stops_nothing(root: Path, fake: FakeRunner) -> None:
    odd = job(root, 0, JobState.DONE, 30)
    (odd.control / "state.json").write_text("{")
    old = job(root, 1, JobState.DONE, 30)
    assert await new_board(root, fake("good")).remove_old(KEEP) == [old.job]
