"""What the service remembers of a room's jobs and models, as their workers told it. Times are UTC milliseconds."""

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.protocol.files import Sha256
from sleap_rtc.protocol.ids import JobId, UserId, WorkerId
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.labels import Label, Name, UtcMs
from sleap_rtc.protocol.reports import JobFacts, ModelFacts, Size, Version, Word

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


class RememberedModel(ModelFacts):
    """A model as the worker that holds it last told of it.

    Attributes:
        digest: SHA-256 over its files, as a `ModelReport` has it.
        size: bytes of its files.
        job_id: the job that trained it; None if it came otherwise.
        created_at: when it was ready.
        updated_at: when the worker told.
    """

    name: Name
    version: Version
    digest: Sha256
    size: Size
    job_id: JobId | None
    worker_id: WorkerId
    worker_name: Label
    worker_online: bool
    created_at: UtcMs
    updated_at: UtcMs


class JobPage(BaseModel):
    """Some jobs, and where the next page goes on; None at the end."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    jobs: tuple[RememberedJob, ...]
    next: str | None = Field(max_length=PLACE)


class ModelPage(BaseModel):
    """Some models; see `JobPage`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    models: tuple[RememberedModel, ...]
    next: str | None = Field(max_length=PLACE)
