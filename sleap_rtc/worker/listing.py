"""The jobs of a room as its members see them, a page at a time."""

import logging

from sleap_rtc.errors import NotFoundError
from sleap_rtc.jobs import intake
from sleap_rtc.jobs.access import Access
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.protocol.jobs import JobList, JobListed, JobSummary

logger = logging.getLogger(__name__)

PAGE_JOBS = 32
PAGE_BYTES = 48 * 1024
"""How much of a message the jobs of one page may fill; the rest of the 64 KiB is the envelope's."""


def list_jobs(board: JobBoard, access: Access, message: JobList) -> JobListed:
    """One page of the jobs of somebody's room, the newest first. Blocks.

    Of a job that is not theirs to act on, members see who it is from and how it stands, but nothing out of its package.

    Args:
        board: the worker's jobs.
        access: who asks.
        message: what they ask for.

    Raises:
        NotFoundError: if the job after which to go on is not there any more.
    """
    jobs = board.jobs_of(access.owner.room)
    if message.before is not None:
        known = [folder.job for folder, _ in jobs]
        if message.before not in known:
            raise NotFoundError("The job after which to list is not there any more: list the jobs from the start.")
        jobs = jobs[known.index(message.before) + 1 :]
    page: list[JobSummary] = []
    room = PAGE_BYTES
    for folder, spec in jobs:
        try:
            summary = board.summary(folder)
        except intake.ODD as error:
            logger.debug("%s cannot be listed: %s", folder.job, error)
            continue
        if summary.state.ended and not message.all:
            continue
        if not access.may_act_on(spec.owner):
            summary = summary.model_copy(update={"mine": False, "runs": (), "last_seq": 0, "error": None})
        room -= len(summary.model_dump_json().encode())
        if page and (room < 0 or len(page) == PAGE_JOBS):
            return JobListed(jobs=tuple(page), more=True)
        page.append(summary)
    return JobListed(jobs=tuple(page))
