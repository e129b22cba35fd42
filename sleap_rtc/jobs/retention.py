"""How long a job that is over is kept: by the time of its end as it was written down, and by nothing else."""

import logging
from pathlib import Path

from . import intake
from .folder import JobFolder

logger = logging.getLogger(__name__)
DAY = 24 * 3600.0
DEFAULT_DAYS = 14


def expired(root: Path, keep: float, now: int) -> list[JobFolder]:
    """The jobs that ended more than `keep` seconds before `now`, in UTC milliseconds; one that is odd is kept."""
    return [folder for folder in intake.folders(root) if _is_expired(folder, keep, now)]


def remove(folder: JobFolder, keep: float, now: int) -> bool:
    """Remove a job if it still is to go, and tell whether it went; nothing of it may be in use."""
    if not _is_expired(folder, keep, now):
        return False
    try:
        folder.remove()
    except intake.ODD as error:
        logger.warning("Job %s is old and cannot be removed: %s", folder.job, error)
        return False
    logger.info("Job %s ended long ago and was removed.", folder.job)
    return True


def _is_expired(folder: JobFolder, keep: float, now: int) -> bool:
    try:
        record = folder.state()
        # an end in the future was written by a clock that was wrong: it counts as now
        return record.state.ended and folder.next_attempt() is None and now - min(record.t, now) > keep * 1000
    except intake.ODD as error:
        logger.debug("Job %s cannot be read: %s", folder.job, error)
        return False
