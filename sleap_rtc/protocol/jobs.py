"""Jobs: states and their one transition table, the numbered events, the spec, and the messages about them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sleap_rtc.errors import ConflictError
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.files import ManifestRef, Sha256
from sleap_rtc.protocol.ids import JobId, RoomId, UserId
from sleap_rtc.protocol.labels import Label, Title
from sleap_rtc.protocol.options import JobOptions
from sleap_rtc.protocol.training import TrainOptions

AGAIN = "again"
"""What a worker says that submits its jobs once more."""
RunName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
WandbKey = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,256}$")]
Metrics = dict[Annotated[str, StringConstraints(max_length=128)], float | None]
"""Numeric metrics under sleap-nn's own names; None stands for a value that is not finite."""


class JobState(StrEnum):
    """Where a job stands."""

    RECEIVED = "received"
    STAGED = "staged"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    FINISHING = "finishing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether the job is over, unless it is resumed."""
        return self in _OVER


_S = JobState
_ENDS = frozenset({_S.FAILED, _S.CANCELLED, _S.LOST})
_OVER = _ENDS | {_S.DONE}
_NEXT_ATTEMPT = frozenset({_S.QUEUED})
TRANSITIONS: Mapping[JobState, frozenset[JobState]] = {
    _S.RECEIVED: frozenset({_S.STAGED}) | _ENDS,
    _S.STAGED: frozenset({_S.QUEUED}) | _ENDS,
    _S.QUEUED: frozenset({_S.STARTING}) | _ENDS,
    _S.STARTING: frozenset({_S.RUNNING, _S.FINISHING}) | _ENDS,
    _S.RUNNING: frozenset({_S.FINISHING}) | _ENDS,
    _S.FINISHING: frozenset({_S.DONE}) | _ENDS,
    _S.DONE: _NEXT_ATTEMPT,
    _S.FAILED: _NEXT_ATTEMPT,
    _S.CANCELLED: frozenset(),
    _S.LOST: _NEXT_ATTEMPT,
}


def check_transition(before: JobState, after: JobState) -> JobState:
    """Return `after` if a job may go there from `before`.

    Raises:
        ConflictError: if the table has no such row.
    """
    if after not in TRANSITIONS[before]:
        raise ConflictError(f"A job that is {before} cannot become {after}.")
    return after


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


class Owner(_Record):
    """Who submitted a job, as the service stamped it."""

    user: UserId
    name: str = Field(max_length=128)
    room: RoomId


class Verb(StrEnum):
    """What a run has sleap-nn do."""

    TRAIN = "train"
    TRACK = "track"
    EXPORT = "export"


class Run(_Record):
    """One thing that sleap-nn does for a job, and the file, relative to the job folder, that says what.

    Attributes:
        model_type: sleap-nn's head name of what is trained; empty for other verbs.
        devices: on how many GPUs.
    """

    name: RunName
    verb: Verb = Verb.TRAIN
    model_type: str = Field(default="", max_length=64)
    config: str = Field(max_length=1024)
    max_epochs: int | None = None
    devices: int = Field(default=1, ge=1)


class JobSpec(_Record):
    """``spec.json``: what was asked for. `runs` is empty until the package is staged."""

    job: JobId
    owner: Owner
    name: str = Field(max_length=256)
    manifest: Sha256
    options: JobOptions = TrainOptions()
    submitted: int
    runs: tuple[Run, ...] = ()

    @property
    def devices(self) -> int:
        """How many GPUs the job takes: as many as the run that uses most; until it is staged, what was asked for."""
        return max([self.options.devices or 1, *(run.devices for run in self.runs)])


class Event(_Record):
    """A numbered fact about a job: ``seq`` counts from 1 without gaps, ``t`` is UTC milliseconds."""

    seq: int = Field(ge=1)
    t: int
    run: RunName | None = None
    body: "EventBody" = Field(discriminator="type")


class StateChanged(_Record):
    """The job is now in `state`; `error` says why where that is bad news. A job that is resumed has a next attempt."""

    type: Literal["state"] = "state"
    state: JobState
    error: ErrorInfo | None = None
    attempt: int = Field(default=1, ge=1)


class Queued(_Record):
    """The job waits: `position` is its place in the queue, from 1, `starts_in` the seconds until it starts, at most.

    Told when the place changes, and once more when the time is first known there. It is a guess from the epochs of
    the jobs that run and wait before it, and null where they tell nothing; one that stops early makes it shorter.
    """

    type: Literal["queued"] = "queued"
    position: int = Field(ge=1)
    starts_in: float | None = None


class RunStarted(_Record):
    """sleap-nn was started for a run; `index` counts from 1."""

    type: Literal["run_started"] = "run_started"
    index: int
    runs: int
    verb: Verb = Verb.TRAIN
    model_type: str
    max_epochs: int | None = None


class EpochStarted(_Record):
    """An epoch (from 0, as sleap-nn counts) began."""

    type: Literal["epoch_started"] = "epoch_started"
    epoch: int


class Step(_Record):
    """A batch ended. Coalesced: the first of an epoch, then at most one a second."""

    type: Literal["step"] = "step"
    epoch: int
    batch: int
    metrics: Metrics = {}


class EpochEnded(_Record):
    """An epoch ended, with all of sleap-nn's numeric logs; ``train/loss`` lags by one epoch there."""

    type: Literal["epoch_ended"] = "epoch_ended"
    epoch: int
    metrics: Metrics = {}


class Frames(_Record):
    """So many frames were looked at. Coalesced: the first report, then at most one a second, and the last.

    Attributes:
        stage: finding animals comes first, then, where that was asked for, following each from frame to frame.
        done: frames so far.
        total: frames there are; None where sleap-nn does not know.
        rate: frames a second, of late.
        eta: seconds to go.
    """

    type: Literal["frames"] = "frames"
    stage: Literal["predict", "track"] = "predict"
    done: int = Field(ge=0, lt=2**53)
    total: int | None = Field(default=None, ge=0, lt=2**53)
    rate: float | None = None
    eta: float | None = None


class RunEnded(_Record):
    """A run ended. `folder` is its name under ``models/``; `metrics` the last validated ones."""

    type: Literal["run_ended"] = "run_ended"
    outcome: Literal["done", "stopped", "failed", "cancelled"]
    folder: str | None = None
    metrics: Metrics = {}
    error: ErrorInfo | None = None


class Notice(_Record):
    """Something the submitter should know: a key that was dropped, a value that was set."""

    type: Literal["notice"] = "notice"
    text: str = Field(max_length=2000)


EventBody = StateChanged | Queued | RunStarted | EpochStarted | Step | EpochEnded | Frames | RunEnded | Notice
Event.model_rebuild()


class JobSummary(_Record):
    """What a job looks like from outside: to its submitter, and to the members of its room.

    Attributes:
        submitted: when, in UTC milliseconds.
        owner: the submitter's name.
        mine: whether whoever asked may watch, fetch, stop, cancel and resume it.
        changed: when it came into its state, in UTC milliseconds.
        attempt: how often it was begun: one more with every resume.
        position: its place in the queue, from 1; None unless it waits.
        starts_in: seconds until it starts, at most, as far as the jobs before it tell; None where they do not.
    """

    job: JobId
    name: Title
    state: JobState
    submitted: int
    owner: Label
    mine: bool = True
    changed: int = 0
    attempt: int = 1
    runs: tuple[Run, ...] = ()
    position: int | None = None
    starts_in: float | None = None
    last_seq: int = 0
    error: ErrorInfo | None = None


WatchNumber = Annotated[int, Field(ge=1, lt=2**32)]


class JobSubmit(Message):
    """Client → worker: take this job. The worker fetches what it lacks, then answers `job.accepted`."""

    TYPE = "job.submit"
    model_config = ConfigDict(hide_input_in_errors=True)
    job: JobId
    name: str = Field(max_length=256)
    manifest: ManifestRef
    options: JobOptions = TrainOptions()
    wandb_key: WandbKey | None = Field(default=None, repr=False)


class JobAccepted(Message):
    """Worker → client: the job is on disk here, and this is how it stands.

    The answer to `job.resume` also says what was submitted, so that the same package typed again finds the job.
    """

    TYPE = "job.accepted"
    job: JobSummary
    manifest: Sha256 | None = None
    options: JobOptions | None = None


class JobShow(Message):
    """Client → worker: how does this job stand?"""

    TYPE = "job.show"
    job: JobId


class JobList(Message):
    """Client → worker: which jobs of this room are there, newest first? `before` is the last of an earlier answer."""

    TYPE = "job.list"
    all: bool = False
    before: JobId | None = None


class JobListed(Message):
    """Worker → client: some of the room's jobs; `more` if older ones follow. Unless `all` was asked, those not over."""

    TYPE = "job.listed"
    jobs: Annotated[tuple[JobSummary, ...], Field(max_length=64)]
    more: bool = False


class JobResume(Message):
    """Client → worker: go on with a job that was lost, failed or was stopped, from its last checkpoint.

    Answered with `job.accepted`: the same job waits again, as its next attempt.
    """

    TYPE = "job.resume"
    job: JobId


class JobAgain(Message):
    """Client → worker: take the files and options of a job that you still have, and run them as a new job of mine.

    Answered with `job.accepted`; asked again with the same id, the new job is as it is.
    """

    TYPE = "job.again"
    job: JobId
    new: JobId


class JobWatch(Message):
    """Client → worker: send events from `since` (exclusive) on, and the log from byte `log_offset` on unless null.

    `watch` is a number of the client's choice; everything sent because of this request carries it. Without `follow`
    the watch ends where the job stands now.
    """

    TYPE = "job.watch"
    job: JobId
    watch: WatchNumber
    since: int = Field(default=0, ge=0, lt=2**53)
    log_offset: int | None = Field(default=None, ge=0, lt=2**53)
    follow: bool = True


class JobEvents(Message):
    """Worker → client: the next events of a watched job, in order and without gaps."""

    TYPE = "job.events"
    watch: WatchNumber
    events: tuple[Event, ...]


class JobLog(Message):
    """Worker → client: the next part of a watched job's log; `offset` is the byte to go on from after this part."""

    TYPE = "job.log"
    watch: WatchNumber
    offset: int
    text: str


class JobWatchEnded(Message):
    """Worker → client: nothing more comes for this watch; with `reason` where that is not the job's own end."""

    TYPE = "job.watch.ended"
    watch: WatchNumber
    reason: ErrorInfo | None = None


class JobCommand(Message):
    """Client → worker: ``stop`` keeps the best model so far, ``cancel`` discards."""

    TYPE = "job.command"
    job: JobId
    command: Literal["stop", "cancel"]
