"""Looking at a package before it is submitted: what a worker would train, without a job."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import MAX_ENTRIES, ManifestRef
from sleap_rtc.protocol.ids import JobId
from sleap_rtc.protocol.jobs import RunName
from sleap_rtc.protocol.options import JobOptions
from sleap_rtc.protocol.training import TrainOptions

ABILITY = "inspect"
"""What a worker that tells beforehand what it would train says that it can do."""
MAX_RUNS = 16
MAX_NOTICES = 64
MAX_NOTICE = 600

Count = Annotated[int, Field(ge=0, lt=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class RunSettings(BaseModel):
    """The settings of a training that people change most; null where a config says none and sleap-nn was not asked.

    Attributes:
        backbone: sleap-nn's name of it.
        batch_size: of the training data.
        learning_rate: the optimizer's.
        min_steps: of an epoch, at least: sleap-nn's `min_train_steps_per_epoch`.
        scale: what images are scaled by before the network.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    backbone: Annotated[str, Field(max_length=64)] | None = None
    max_epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: Number | None = None
    min_steps: Count | None = None
    scale: Number | None = None


class InspectedRun(RunSettings):
    """One training that a job would be.

    Attributes:
        model_type: sleap-nn's head name.
        config: where its config lies in the package, an archive's being unpacked; of a preset, which one it is.
        devices: on how many GPUs.
    """

    name: RunName
    model_type: str = Field(max_length=64)
    config: str = Field(max_length=1024)
    devices: int = Field(default=1, ge=1)


class InspectedLabels(BaseModel):
    """The labels that would be trained on, all files together; null for what could not be counted."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    frames: Count
    instances: Count | None = None
    videos: Count | None = None
    nodes: Count | None = None


class JobInspect(Message):
    """Client → worker: what would you train, if I submitted this? Nothing is queued, and nothing is kept but files.

    The worker fetches what it lacks, as for `job.submit` and under the same transfer id, and answers `job.inspected`.
    A `job.submit` of the same files afterwards costs no byte of them again.
    """

    TYPE = "job.inspect"
    job: JobId
    name: str = Field(max_length=256)
    manifest: ManifestRef
    options: JobOptions = TrainOptions()


class JobInspected(Message):
    """Worker → client: what a submit would train, with all that was asked for beside the package.

    `size` and `files` are those of the package as it was sent, in bytes and files; `labels` is null where nobody could
    look into them.
    """

    TYPE = "job.inspected"
    runs: Annotated[tuple[InspectedRun, ...], Field(max_length=MAX_RUNS)]
    labels: InspectedLabels | None = None
    notices: Annotated[tuple[Annotated[str, Field(max_length=MAX_NOTICE)], ...], Field(max_length=MAX_NOTICES)] = ()
    size: Count
    files: int = Field(ge=0, le=MAX_ENTRIES)
