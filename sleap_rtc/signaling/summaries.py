"""What the service remembers of a room's jobs, as their workers told it. Times are UTC milliseconds."""

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.protocol.ids import JobId, UserId, WorkerId
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.labels import Label, UtcMs
from sleap_rtc.protocol.reports import JobFacts, Word

PLACE = 320
"""The longest name of a place in a list."""


class RememberedJob(JobFacts):
    """A job as its worker last told of it.

    Attributes:
        worker_online: whether the worker is connected now; it knows better then.
        mine: whether the asking user submitted it or owns the room; of other jobs, runs and errors are left out.
        created_at: when it was submitted.
        updated_at: when the worker told.
    """

    job_id: JobId
    worker_id: WorkerId
    worker_name: Label
    worker_online: bool
    user_id: UserId
    user_name: Label
    mine: bool
    kind: Word
    state: JobState
    created_at: UtcMs
    updated_at: UtcMs


class JobPage(BaseModel):
    """Some jobs, and where the next page goes on; None at the end."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    jobs: tuple[RememberedJob, ...]
    next: str | None = Field(max_length=PLACE)
