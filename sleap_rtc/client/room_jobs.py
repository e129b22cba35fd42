"""The jobs of a room's workers: all of them listed, or the one that is meant found."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sleap_rtc.client.client import Client
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.errors import AuthenticationError, NotFoundError, SleapRTCError, UnreachableError, UsageError
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.jobs import JobSummary
from sleap_rtc.protocol.signaling import WorkerPresence

AT_ONCE = 4
"""Workers asked at the same time."""
ANSWER_WITHIN = 60.0
"""Seconds for the whole answer of one worker; the others are not kept waiting by it."""

Ask = Callable[[RemoteWorker], Awaitable[Sequence[JobSummary]]]


@dataclass(frozen=True)
class WorkerJobs:
    """What one worker said of its jobs.

    Attributes:
        worker: which worker.
        jobs: its jobs, the newest first.
        error: why it could not be asked; None if it answered.
    """

    worker: WorkerPresence
    jobs: Sequence[JobSummary] = ()
    error: SleapRTCError | None = None

    @property
    def problem(self) -> str | None:
        """Why it could not be asked, as a sentence; None if it answered."""
        return self.error.sentence if self.error else None


async def list_jobs(
    client: Client,
    workers: Sequence[WorkerPresence],
    *,
    all: bool = False,  # noqa: A002 - what the user types
) -> list[WorkerJobs]:
    """The jobs of each worker. One that cannot be reached is no reason not to show the others.

    Args:
        client: a member of the room.
        workers: those to ask.
        all: the jobs that are over as well.
    """

    async def ask(worker: RemoteWorker) -> Sequence[JobSummary]:
        return await worker.jobs(all=all)

    return await _ask_all(client, workers, ask)


async def find_worker(
    client: Client, workers: Sequence[WorkerPresence], text: str
) -> tuple[WorkerPresence, JobSummary]:
    """The worker that has a job.

    Args:
        client: a member of the room.
        workers: those to ask.
        text: the job's id, or enough of its beginning.

    Raises:
        NotFoundError: if none of them has such a job that this user may act on.
        UsageError: if several jobs begin like that.
        AuthenticationError: if it may be on a worker that is not the one that is known under its name.
    """

    async def ask(worker: RemoteWorker) -> Sequence[JobSummary]:
        return await _matching(worker, text)

    answers = await _ask_all(client, workers, ask)
    found = [(answer.worker, summary) for answer in answers for summary in answer.jobs]
    if not found:
        for answer in answers:
            if isinstance(answer.error, AuthenticationError):
                raise answer.error
        silent = ", ".join(answer.worker.name for answer in answers if answer.problem)
        raise NotFoundError(_unknown(text) + (f" These workers could not be asked: {silent}." if silent else ""))
    if len(found) > 1:
        raise UsageError(ambiguous(text, [summary.job for _, summary in found]))
    return found[0]


async def find_job(worker: RemoteWorker, text: str) -> RemoteJob:
    """The job of a worker that is meant; see `find_worker`."""
    found = await _matching(worker, text)
    if not found:
        raise NotFoundError(_unknown(text))
    if len(found) > 1:
        raise UsageError(ambiguous(text, [summary.job for summary in found]))
    return await worker.job(found[0].job)


def check_job_text(text: str) -> str:
    """Return `text` if it can be a job's id, or the beginning of one.

    Raises:
        UsageError: if it cannot.
    """
    if not is_id("job", text):
        raise UsageError(
            "That is no job id: it begins with j_, and at least 8 more of its characters are needed. "
            "'sleap-rtc jobs list --all' shows the ids."
        )
    return text


def ambiguous(text: str, jobs: Sequence[str]) -> str:
    """The sentence for a beginning that several jobs have."""
    return f"Several jobs begin with {text}: {', '.join(sorted(jobs))}. Type more of the id."


def _unknown(text: str) -> str:
    return (
        f"No job {text} of yours was found. 'sleap-rtc jobs list --all' shows the jobs of a room; "
        "name another room with --room, or a worker with --session-string."
    )


async def _matching(worker: RemoteWorker, text: str) -> list[JobSummary]:
    """The jobs that may be meant and may be acted on; a whole id costs one question."""
    try:
        return [(await worker.job(text)).summary]
    except NotFoundError:
        listed = await worker.jobs(all=True)
    return [summary for summary in listed if summary.mine and summary.job.startswith(text)]


async def _ask_all(client: Client, workers: Sequence[WorkerPresence], ask: Ask) -> list[WorkerJobs]:
    few = asyncio.Semaphore(AT_ONCE)

    async def answer(presence: WorkerPresence) -> WorkerJobs:
        try:
            async with (
                few,
                asyncio.timeout(ANSWER_WITHIN),
                client.dial(presence.worker_id, name=presence.name) as worker,
            ):
                return WorkerJobs(presence, await ask(worker))
        except TimeoutError:
            silence = UnreachableError(f"{presence.name} did not say within {ANSWER_WITHIN:g} s.")
            return WorkerJobs(presence, error=silence)
        except SleapRTCError as error:
            return WorkerJobs(presence, error=error)

    return list(await asyncio.gather(*(answer(presence) for presence in workers)))
