"""The jobs of a room, as its members see them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from sleap_rtc.errors import NotFoundError
from sleap_rtc.jobs import intake
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.codec import MAX_MESSAGE, ErrorInfo
from sleap_rtc.protocol.jobs import JobList, JobListed, JobSpec, JobState, JobSummary, Owner, Run
from sleap_rtc.worker.listing import PAGE_JOBS, list_jobs
from tests.jobs.conftest import OWNER, STRANGER, new_board
from tests.jobs.fakes import QUICK

ELSEWHERE = Owner(user=OWNER.user, name="Alice", room="r_otherlab1")
SUBMITTER, MEMBER, ROOM_OWNER = Access(OWNER), Access(STRANGER), Access(STRANGER, owns_room=True)


@pytest.fixture
def board(tmp_path: Path) -> JobBoard:
    return new_board(tmp_path / "jobs", QUICK)


def put(
    board: JobBoard, number: int, owner: Owner = OWNER, *, over: bool = False, runs: Sequence[Run] = ()
) -> JobFolder:
    """A job that was submitted a moment after the one of the number before."""
    job = f"j_{number:08}"
    spec = JobSpec(job=job, owner=owner, name="labels.zip", manifest="0" * 64, submitted=number, runs=tuple(runs))
    folder = JobFolder.create(board._root / job, spec)
    if over:
        intake.enter(folder, JobState.FAILED, ErrorInfo(code="config", sentence="The config names /home/alice."))
    return folder


def names(listed: Sequence[JobSummary]) -> list[str]:
    return [summary.job for summary in listed]


def test_a_room_is_listed_newest_first_and_other_rooms_are_not(board: JobBoard) -> None:
    put(board, 1)
    put(board, 2, over=True)
    put(board, 3, STRANGER)
    put(board, 4, ELSEWHERE)
    assert names(list_jobs(board, SUBMITTER, JobList()).jobs) == ["j_00000003", "j_00000001"]
    assert names(list_jobs(board, SUBMITTER, JobList(all=True)).jobs) == ["j_00000003", "j_00000002", "j_00000001"]


def test_members_see_of_others_jobs_what_is_not_out_of_the_package(board: JobBoard) -> None:
    put(board, 1, over=True, runs=[Run(name="centroid", model_type="centroid", config="inputs/centroid.yaml")])
    for access, mine in ((SUBMITTER, True), (ROOM_OWNER, True), (MEMBER, False)):
        (summary,) = list_jobs(board, access, JobList(all=True)).jobs
        assert (summary.mine, summary.owner, summary.state) == (mine, "Alice", JobState.FAILED)
        assert (summary.runs != (), summary.error is not None) == (mine, mine)


def test_long_lists_come_in_pages_that_fit_into_a_message(board: JobBoard) -> None:
    long = Run(name="r" * 64, model_type="m" * 64, config="c" * 1024)
    for number in range(PAGE_JOBS + 10):
        put(board, number, runs=[long] * (16 if number % 3 else 0))
    found: list[str] = []
    page = JobListed(jobs=(), more=True)
    while page.more:
        page = list_jobs(board, SUBMITTER, JobList(before=found[-1] if found else None))
        assert len(page.jobs) <= PAGE_JOBS
        assert len(json.dumps(page.model_dump(mode="json"))) < MAX_MESSAGE
        found += names(page.jobs)
    assert found == [f"j_{number:08}" for number in reversed(range(PAGE_JOBS + 10))]


def test_a_page_after_a_job_that_is_gone_is_refused(board: JobBoard) -> None:
    put(board, 1)
    with pytest.raises(NotFoundError, match="from the start"):
        list_jobs(board, SUBMITTER, JobList(before="j_99999999"))


def test_an_odd_folder_hides_no_other_job(board: JobBoard) -> None:
    put(board, 1)
    (put(board, 2).path / "spec.json").write_text("{")
    (put(board, 3).control / "state.json").write_text("{")
    assert names(list_jobs(board, SUBMITTER, JobList(all=True)).jobs) == ["j_00000001"]


def test_a_room_s_owner_may_act_on_its_jobs_and_on_no_others(board: JobBoard) -> None:
    put(board, 1)
    put(board, 2, ELSEWHERE)
    assert board.find("j_00000001", OWNER).job == "j_00000001"
    assert board.find("j_00000001", STRANGER, owns_room=True).job == "j_00000001"
    for owner, owns_room, job in ((STRANGER, False, "j_00000001"), (STRANGER, True, "j_00000002")):
        with pytest.raises(NotFoundError):
            board.find(job, owner, owns_room=owns_room)
