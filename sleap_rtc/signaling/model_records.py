"""What the service answers about a room's models. Times are UTC milliseconds."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.protocol.files import Sha256
from sleap_rtc.protocol.ids import JobId, UserId, WorkerId
from sleap_rtc.protocol.labels import Label, UtcMs
from sleap_rtc.protocol.models import Alias, ModelFormat, ModelName, ModelRef, ModelVersion
from sleap_rtc.protocol.reports import ModelFacts, Size
from sleap_rtc.signaling.summaries import PLACE

MOST_NAMES = 100_000


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class NamedVersion(_Record):
    """What the room calls a model.

    Attributes:
        aliases: those that point to this version.
        created_at: when it got the name.
        created_by: who gave it, as the service called them then.
    """

    name: ModelName
    version: ModelVersion
    aliases: Annotated[tuple[Alias, ...], Field(max_length=MOST_NAMES)] = ()
    created_at: UtcMs
    created_by: Label

    @property
    def ref(self) -> str:
        """As people write it: ``fly@3``."""
        return str(ModelRef(name=self.name, version=self.version))


class HeldFormat(_Record):
    """A format of a model that a worker has; `digest` is of the files of that format."""

    format: ModelFormat
    digest: Sha256
    size: Size


class Holder(_Record):
    """A worker that has the model, in which formats, and whether it is connected now."""

    worker_id: WorkerId
    worker_name: Label
    online: bool
    formats: Annotated[tuple[HeldFormat, ...], Field(max_length=16)] = ()


class RoomModelRecord(ModelFacts):
    """A model of a room: the facts of its bundle, its names, and who has it.

    Attributes:
        digest: of the bundle, by which workers know it.
        job_id: the job that trained it; None if it came otherwise.
        user_id: who trained or pushed it.
        created_at: when it was ready.
        updated_at: when a worker last told of it.
        names: the versions that it is, the newest first; none if nobody gave it a name.
        formats: those that some worker has.
        holders: who has it; nobody if all workers that had it were forgotten.
    """

    digest: Sha256
    title: Label
    size: Size
    job_id: JobId | None
    user_id: UserId | None
    created_at: UtcMs
    updated_at: UtcMs
    names: Annotated[tuple[NamedVersion, ...], Field(max_length=MOST_NAMES)] = ()
    formats: Annotated[tuple[ModelFormat, ...], Field(max_length=16)] = ()
    holders: Annotated[tuple[Holder, ...], Field(max_length=MOST_NAMES)] = ()

    def version_of(self, name: str) -> NamedVersion | None:
        """Which version of `name` it is; None if it is none."""
        return next((each for each in self.names if each.name == name), None)

    def online_holders(self) -> Iterator[Holder]:
        """Those that can be asked for its files now."""
        return (each for each in self.holders if each.online)


class ModelLine(_Record):
    """All that the room has under one name: its versions, the newest first, and where its aliases point."""

    versions: Annotated[tuple[RoomModelRecord, ...], Field(max_length=MOST_NAMES)]
    aliases: Annotated[dict[Alias, ModelVersion], Field(max_length=MOST_NAMES)] = {}


class RoomModelPage(_Record):
    """Some of a room's models, and where the next page goes on; None at the end."""

    models: tuple[RoomModelRecord, ...]
    next: str | None = Field(max_length=PLACE)


class RegisteredModel(_Record):
    """Which version of the name a model is now."""

    name: ModelName
    version: ModelVersion
    digest: Sha256


class MovedAlias(_Record):
    """Where an alias points now, and where it pointed before; None if it is new."""

    name: ModelName
    alias: Alias
    version: ModelVersion
    was: ModelVersion | None
