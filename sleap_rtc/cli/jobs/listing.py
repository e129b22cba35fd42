"""The jobs of a room, from its workers, and from the service where a worker could not be asked."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sleap_rtc.cli.jobs.reaching import Request, RoomPlace, SessionPlace, enter, enter_room, find_place
from sleap_rtc.cli.jobs.words import state_text
from sleap_rtc.cli.times import format_time
from sleap_rtc.client.choice import Wish, fitting
from sleap_rtc.client.room_jobs import WorkerJobs, list_jobs
from sleap_rtc.errors import AuthenticationError, SleapRTCError
from sleap_rtc.protocol.jobs import JobState, JobSummary
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.api import RememberedJob, ServiceAPI


@dataclass(frozen=True)
class Listed:
    """One job in the list.

    Attributes:
        state: how it stands, in words.
        submitted: when, in UTC milliseconds.
        record: the same for scripts; `as_of` is when a worker that is away last told of it, None for one that answered.
    """

    job: str
    name: str
    state: str
    owner: str
    mine: bool
    submitted: int
    worker: str
    record: dict[str, Any]


@dataclass(frozen=True)
class Listing:
    """What was found.

    Attributes:
        jobs: the oldest first.
        problems: which workers did not answer, each with the reason.
        asked: how many were asked.
        refused: why one that is not who it should be was not asked.
    """

    jobs: Sequence[Listed]
    problems: Sequence[tuple[str, str]]
    asked: int
    refused: SleapRTCError | None = None


async def find_jobs(request: Request, *, every: bool) -> Listing:
    """Ask the workers that are meant for their jobs, and the service for those of workers that cannot be asked.

    Args:
        request: where to look, as it was typed.
        every: those that are over as well.

    Raises:
        UnreachableError: if the service is out of reach, or no worker is online and the service knows of no job.
        SleapRTCError: as `enter` does.
    """
    place = find_place(request)
    if isinstance(place, SessionPlace):
        async with enter(request, place) as (client, workers):
            return _listing(await list_jobs(client, workers, all=every), ())
    async with enter_room(request, place) as (client, room, online):
        remembered = await _remembered(request, place, room.room_id, every=every)
        away = [each for each in remembered if each.worker_id not in {worker.worker_id for worker in online}]
        if place.worker is not None:
            away = [each for each in away if place.worker in (each.worker_id, each.worker_name)]
        asked = [] if away and not _is_online(place, online) else fitting(online, Wish(place.worker), room=room.name)
        answers = await list_jobs(client, asked, all=every)
        silent = {answer.worker.worker_id for answer in answers if answer.problem}
        return _listing(answers, [*away, *(each for each in remembered if each.worker_id in silent)])


async def _remembered(request: Request, place: RoomPlace, room_id: str, *, every: bool) -> list[RememberedJob]:
    api = ServiceAPI(place.server, Account(place.server, timeouts=request.timeouts), timeouts=request.timeouts)
    return await api.jobs(room_id, states=() if every else [state for state in JobState if not state.ended])


def _is_online(place: RoomPlace, online: Sequence[WorkerPresence]) -> bool:
    return any(place.worker in (None, each.worker_id, each.name) for each in online)


def _listing(answers: Sequence[WorkerJobs], away: Sequence[RememberedJob]) -> Listing:
    jobs = [_told(answer, summary) for answer in answers for summary in answer.jobs]
    jobs += map(_recalled, away)
    return Listing(
        jobs=sorted(jobs, key=lambda each: (each.submitted, each.job)),
        problems=[(answer.worker.name, answer.problem) for answer in answers if answer.problem],
        asked=len(answers),
        refused=next((answer.error for answer in answers if isinstance(answer.error, AuthenticationError)), None),
    )


def _told(answer: WorkerJobs, summary: JobSummary) -> Listed:
    fields = json.loads(summary.model_dump_json())
    worker = answer.worker
    return Listed(
        job=summary.job,
        name=summary.name,
        state=state_text(summary),
        owner=summary.owner,
        mine=summary.mine,
        submitted=summary.submitted,
        worker=worker.name,
        record=fields | {"worker": worker.name, "worker_id": worker.worker_id, "as_of": None},
    )


def _recalled(job: RememberedJob) -> Listed:
    state = str(job.state) if job.state.ended else f"{job.state}, as of {format_time(job.updated_at)}"
    record = {
        "job": job.job_id,
        "name": None,
        "state": str(job.state),
        "submitted": job.created_at,
        "owner": job.user_name,
        "mine": job.mine,
        "changed": job.changed,
        "attempt": job.attempt,
        "runs": [run.model_dump() for run in job.runs],
        "position": None,
        "starts_in": None,
        "error": None if job.error is None else {"code": job.error},
        "worker": job.worker_name,
        "worker_id": job.worker_id,
        "as_of": job.updated_at,
    }
    return Listed(
        job=job.job_id,
        # what the package is called is between the submitter and the worker
        name=", ".join(run.name for run in job.runs),
        state=state,
        owner=job.user_name,
        mine=job.mine,
        submitted=job.created_at,
        worker=f"{job.worker_name} (away)",
        record=record,
    )
