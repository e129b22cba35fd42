"""What a worker tells the signaling service of its jobs and models, for the members of its room to read.

It is as little as a list needs: whose a job is, how it stands, and what its runs are called. Nothing that came in the
package and nothing that it is about: no path, no config, no log, no text of an error.
"""

from collections.abc import Sequence
from typing import Annotated, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import Sha256
from sleap_rtc.protocol.ids import JobId, UserId
from sleap_rtc.protocol.jobs import JobState, RunName
from sleap_rtc.protocol.labels import Count, Label, UtcMs
from sleap_rtc.protocol.models import ModelFormat, ModelName, ModelVersion

_M = TypeVar("_M", bound=Message)

REPORT_BYTES = 48 * 1024
"""How much the jobs or models of one report may take as JSON; the rest of the 64 KiB is the envelope's."""
JOBS_AT_ONCE = 64
MODELS_AT_ONCE = 128
MAX_RUNS = 16

Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,16}$")]
ErrorCode = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
Loss = Annotated[float, Field(allow_inf_nan=False)]
Size = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RunReport(_Part):
    """How far one of a job's models has come.

    Attributes:
        epoch: how many epochs have ended; None before the first one.
        epochs: how many there are at most.
        loss: the best validation loss so far.
    """

    name: RunName
    model_type: Label
    epoch: Count | None = None
    epochs: Count | None = None
    loss: Loss | None = None


class JobFacts(_Part):
    """What there is to say about a job beside whose it is and its state.

    Attributes:
        attempt: how often it was begun.
        changed: when it came into its state.
        started: when its training first began; None before.
        ended: when it was over; None before.
        runs: its models, in the order in which they are trained.
        error: the code of what ended it, where that was bad news.
    """

    attempt: Annotated[int, Field(ge=1, le=2**31)] = 1
    changed: UtcMs = 0
    started: UtcMs | None = None
    ended: UtcMs | None = None
    runs: Annotated[tuple[RunReport, ...], Field(max_length=MAX_RUNS)] = ()
    error: ErrorCode | None = None


class JobReport(_Part):
    """A job, as its worker tells of it.

    Attributes:
        user: who submitted it.
        user_name: what the service called them then.
        submitted: when.
    """

    job: JobId
    user: UserId
    user_name: Label
    kind: Word
    state: JobState
    submitted: UtcMs
    facts: JobFacts = JobFacts()


class ModelFacts(_Part):
    """What there is to say about a model beside its files.

    Attributes:
        types: sleap-nn's head name of each of its parts.
        loss: the best validation loss of its last part.
        sleap_nn: the version that trained it.
        parent: the model that its training began with.
        made_by: who trained or pushed it, as the service called them then.
    """

    types: Annotated[tuple[Label, ...], Field(max_length=MAX_RUNS)] = ()
    loss: Loss | None = None
    sleap_nn: Label = ""
    parent: Sha256 | None = None
    made_by: Label = ""


class ModelReport(_Part):
    """A model that a worker holds, in one format.

    Attributes:
        digest: of the bundle; see `sleap_rtc.protocol.models.bundle_digest`.
        format: of its files; what was exported from a model is another format of that model.
        source: for an exported format, the digest of the bundle that it was made from; None otherwise.
        title: what its runs are called, joined by `` + ``.
        size: bytes of its files.
        job: the job that trained it; None if it came otherwise.
        user: who trained or pushed it.
        made: when it was ready.
    """

    digest: Sha256
    format: ModelFormat = "sleap-nn"
    source: Sha256 | None = None
    title: Label = ""
    size: Size
    job: JobId | None = None
    user: UserId | None = None
    made: UtcMs
    facts: ModelFacts = ModelFacts()


class ReportJobs(Message):
    """Worker → service, a request: these are jobs of this room, as they stand now. Others stay as they were told.

    An id that another worker told of first stays that worker's.
    """

    TYPE = "report_jobs"
    jobs: Annotated[tuple[JobReport, ...], Field(max_length=JOBS_AT_ONCE)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        return _checked(self, self.jobs)


class ReportModels(Message):
    """Worker → service, a request: I hold these models of this room.

    `complete` ends a list, which may have come in several messages: what was not in it is held no longer.
    After a refusal the list begins again.
    """

    TYPE = "report_models"
    models: Annotated[tuple[ModelReport, ...], Field(max_length=MODELS_AT_ONCE)]
    complete: bool

    @model_validator(mode="after")
    def _fits(self) -> Self:
        return _checked(self, self.models)


class Reported(Message):
    """Service → worker, the answer to both: what of it is stored.

    `refused` names the jobs that are not: another worker told of them first, or the room has no space for more.
    `wanted` is false where nobody could read it, behind a session string: such a room needs no reports.
    `unwanted` names models of this report that the room has deleted: the worker removes them.
    Said unasked, it names one that was deleted just now: the worker tells of its models again.
    """

    TYPE = "reported"
    stored: Count
    refused: Annotated[tuple[JobId, ...], Field(max_length=JOBS_AT_ONCE)] = ()
    wanted: bool = True
    unwanted: Annotated[tuple[Sha256, ...], Field(max_length=MODELS_AT_ONCE)] = ()


class RegisterModel(Message):
    """Worker → service, a request: give this model, which I hold and have told of, a name of the room.

    The same digest under the same name gets the same version again.
    """

    TYPE = "register_model"
    name: ModelName
    digest: Sha256


class ModelRegistered(Message):
    """Service → worker, the answer: which version of the name it is."""

    TYPE = "model_registered"
    name: ModelName
    version: ModelVersion


def size_of(part: BaseModel) -> int:
    """Bytes that a job or a model takes in a report."""
    return len(part.model_dump_json().encode()) + 1


def _checked(message: _M, parts: Sequence[BaseModel]) -> _M:
    if sum(map(size_of, parts)) > REPORT_BYTES:
        raise ValueError("too large")
    return message
