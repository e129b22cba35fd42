"""What must hold after every fault: journals whole, one end a job, and nothing of it left running."""

import os
from itertools import pairwise

import psutil

from sleap_rtc.jobs.environment import JOB_VARIABLE
from sleap_rtc.jobs.events import read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.jobs import JobState, StateChanged, check_transition


def states_of(folder: JobFolder) -> list[StateChanged]:
    """The states in a job's journal, in order."""
    return [event.body for event in read_events(folder.events) if isinstance(event.body, StateChanged)]


def assert_whole(*folders: JobFolder) -> None:
    """Each job has a journal without gaps, exactly one end, which everything tells alike, and no process.

    They have never been resumed.
    """
    for folder in folders:
        events, states = read_events(folder.events), states_of(folder)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert folder.events.read_bytes().endswith(b"\n")
        assert states[0].state is JobState.RECEIVED
        for before, after in pairwise(states):
            check_transition(before.state, after.state)
        assert [body.state.ended for body in states] == [False] * (len(states) - 1) + [True]
        assert {body.attempt for body in states} == {1}
        end, record = folder.state(), folder.exit()
        assert record is not None
        assert end.state is record.state is states[-1].state
        assert processes_of(folder) == []


def processes_of(folder: JobFolder) -> list[int]:
    """The processes that carry the mark of a job's supervisor."""
    record = folder.supervisor()
    if record is None or record.pid == os.getpid():
        return []
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(JOB_VARIABLE) == record.mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
    return found
