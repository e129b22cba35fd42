"""Where ``sleap-rtc jobs`` looks, and how it says what it found."""

import pytest

from sleap_rtc.cli.formats import enough_of
from sleap_rtc.cli.jobs.reaching import Request, RoomPlace, SessionPlace, find_place, known_job
from sleap_rtc.cli.jobs.words import queue_text, state_text
from sleap_rtc.client.pending import PendingJob, PendingJobs
from sleap_rtc.client.room_jobs import check_job_text
from sleap_rtc.config.settings import Settings
from sleap_rtc.errors import UsageError
from sleap_rtc.protocol.jobs import JobState, JobSummary

SETTINGS = Settings(server="https://files", own_server="https://own", default_room="lab")
IN_ROOM = PendingJob(job="j_abcdefgh1", content="a", server="https://then", room="r_room0000", worker_id="w_1")
BY_STRING = IN_ROOM.model_copy(update={"job": "j_abcdefgh2", "content": "b", "session": "sleap-session:x"})


def request(**typed: object) -> Request:
    nothing = {"session_string": None, "session_typed": False, "room": None, "worker": None, "settings": SETTINGS}
    return Request(**(nothing | typed))  # type: ignore[arg-type]


def test_what_is_typed_counts_before_the_journal_and_that_before_the_files() -> None:
    string = {"session_string": "s", "session_typed": True}
    assert find_place(request(**string), IN_ROOM) == SessionPlace("s", "https://own")
    assert find_place(request(room="r"), IN_ROOM) == RoomPlace("https://files", "r")
    assert find_place(request(worker="gpu"), IN_ROOM) == RoomPlace("https://files", "lab", "gpu")
    found = find_place(request(session_string="s"), IN_ROOM)
    assert isinstance(found, RoomPlace)
    assert (found.server, found.room, found.worker) == ("https://then", "r_room0000", "w_1")
    assert find_place(request(), BY_STRING) == SessionPlace("sleap-session:x", "https://then")
    # a job of another machine: the environment, then the files
    assert find_place(request(session_string="s")) == SessionPlace("s", "https://own")
    assert find_place(request()) == RoomPlace("https://files", "lab")


@pytest.mark.parametrize(
    "typed",
    [
        {"session_string": "s", "session_typed": True, "room": "lab"},
        {"session_string": "s", "session_typed": True, "worker": "gpu"},
        {"settings": Settings()},
    ],
)
def test_contradictions_and_nowhere_are_refused(typed: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        find_place(request(**typed))


def test_a_session_string_is_shown_nowhere() -> None:
    assert "x" not in repr(BY_STRING).replace("exp", "")
    assert "sleap-session" not in repr(SessionPlace("sleap-session:x", "https://own"))


def test_the_beginning_of_an_id_is_enough_while_one_job_has_it() -> None:
    for job in (IN_ROOM, BY_STRING):
        PendingJobs().write(job)
    assert known_job("j_abcdefgh1") == IN_ROOM
    assert known_job("j_zzzzzzzz") is None
    with pytest.raises(UsageError, match="j_abcdefgh1, j_abcdefgh2"):
        known_job("j_abcdefgh")


@pytest.mark.parametrize("text", ["", "j_", "j_short", "latest", "r_abcdefgh", "j_../../etc", "j_" + "a" * 100])
def test_what_is_no_job_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no job id"):
        check_job_text(text)


def test_a_waiting_job_says_its_place() -> None:
    summary = JobSummary(job="j_12345678", name="a", state=JobState.QUEUED, submitted=0, owner="ada", position=3)
    assert (state_text(summary), queue_text(summary)) == ("queued (3)", "2 before it")
    soon = summary.model_copy(update={"position": 1, "starts_in": 90.0})
    assert queue_text(soon) == "the next one, starts in about 1 m 30 s"
    running = summary.model_copy(update={"state": JobState.RUNNING, "position": None})
    assert (state_text(running), queue_text(running)) == ("running", "")


def test_a_listed_id_is_as_long_as_it_takes_to_type_it() -> None:
    assert enough_of(["j_abcdefghijkl", "j_zbcdefghijkl"]) == 10
    assert enough_of(["j_abcdefghijkl", "j_abcdefghijkm", "j_abcdefghijkl"]) == 14
