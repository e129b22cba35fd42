"""Attempts of a job: whether another one may follow, and how it begins, whatever crashes meanwhile.

The next attempt is promised first, in one file. From then on it comes about: what belonged to the last attempt is set
aside, the journal says that the job waits again, then ``state.json`` does, and the promise is kept. Every step may be
done twice, so that a start of the worker goes on where a crash ended it.
"""

import threading
from collections.abc import Iterable
from typing import NamedTuple

from sleap_rtc.errors import ConflictError
from sleap_rtc.protocol.jobs import Event, JobState, RunEnded, RunStarted, StateChanged, check_transition

from .events import Journal, last_seq, read_events
from .folder import JobFolder, StateRecord

_one_at_a_time = threading.Lock()


class Past(NamedTuple):
    """What earlier attempts did: the runs that they began, and the latest end of each run that ended."""

    began: frozenset[str | None]
    ends: dict[str | None, RunEnded]


def past(events: Iterable[Event]) -> Past:
    """Read off a journal what earlier attempts did."""
    bodies = [(event.run, event.body) for event in events]
    return Past(
        began=frozenset(run for run, body in bodies if isinstance(body, RunStarted)),
        ends={run: body for run, body in bodies if isinstance(body, RunEnded)},
    )


def may_resume(folder: JobFolder) -> bool:
    """Whether the job's next attempt is to begin; False if it is under way, so that a request may be sent twice.

    Raises:
        ConflictError: why there is nothing to go on with.
    """
    record = _latest(folder)
    job, state = folder.job, record.state
    if state is JobState.RECEIVED:
        raise ConflictError(f"The files of the job {job} have not all arrived: send its package again.")
    if not state.ended:
        if record.attempt > 1:
            return False
        raise ConflictError(f"The job {job} is not over, it is {state}: watch it with 'sleap-rtc jobs watch {job}'.")
    if state is JobState.CANCELLED:
        raise ConflictError(
            f"The job {job} was cancelled and its models were discarded, so there is nothing to go on from. Train its "
            "package again."
        )
    if state is JobState.DONE and not _is_unfinished(folder):
        raise ConflictError(
            f"The job {job} is done, so there is nothing to resume. Bring its models home with "
            f"'sleap-rtc jobs fetch {job}'."
        )
    return True


def _latest(folder: JobFolder) -> StateRecord:
    """How the job stands; its end is in the journal first, and whoever watches that may be quick to ask."""
    last = read_events(folder.events, max(0, last_seq(folder.events) - 1))
    if last and isinstance(body := last[-1].body, StateChanged):
        return StateRecord(state=body.state, t=last[-1].t, error=body.error, attempt=body.attempt)
    return folder.state()


def _is_unfinished(folder: JobFolder) -> bool:
    """Whether a stop left a run of a good job without its proper end."""
    ends = past(read_events(folder.events)).ends
    return any(run.name not in ends or ends[run.name].outcome != "done" for run in folder.spec().runs)


def begin(folder: JobFolder) -> None:
    """Let a job that is over wait again, as its next attempt; on disk when this returns.

    Raises:
        StorageError: if the disk refuses; the attempt begins with the next request, or the worker's next start.
    """
    record = folder.state()
    check_transition(record.state, JobState.QUEUED)
    folder.promise_attempt(record.attempt + 1)
    finish(folder)


def finish(folder: JobFolder) -> None:
    """Begin an attempt that was promised, if there is one."""
    with _one_at_a_time:
        attempt = folder.next_attempt()
        if attempt is None:
            return
        folder.set_aside(attempt - 1)
        states = [event for event in read_events(folder.events) if isinstance(event.body, StateChanged)]
        queued = StateChanged(state=JobState.QUEUED, attempt=attempt)
        if states and states[-1].body == queued:
            event = states[-1]
        else:
            with Journal(folder.events) as journal:
                event = journal.append(queued, durable=True)
        folder.write_state(StateRecord(state=JobState.QUEUED, t=event.t, attempt=attempt))
        folder.keep_promise()
