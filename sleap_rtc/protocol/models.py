"""Models that a room shares: how they are called, what a bundle is, and what its ``model.json`` says.

A *bundle* is what one job trained: a folder for each of its runs (``centroid/best.ckpt`` …) and ``model.json`` beside
them. Its *digest* names it everywhere: SHA-256 over the lines that ``sha256sum`` prints for its files, ordered by path.
``model.json`` says neither name nor version, so that a bundle is the same before and after somebody gives it one: the
service keeps which digest is ``fly@3``, and whoever pulls it writes both into the copy that is theirs.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sleap_rtc.errors import ProtocolError, UsageError
from sleap_rtc.protocol.codec import parse_json
from sleap_rtc.protocol.files import Sha256
from sleap_rtc.protocol.ids import JobId, is_id
from sleap_rtc.protocol.labels import Label, UtcMs
from sleap_rtc.protocol.text import printable

RECORD = "model.json"
"""The file of a bundle that describes it."""
MAX_RECORD = 1024 * 1024
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ALIAS = r"[A-Za-z][A-Za-z0-9._-]{0,31}"
_REF = re.compile(rf"(?P<name>{_NAME})(@(?P<at>[^@]*))?")

ModelName = Annotated[str, StringConstraints(pattern=rf"^{_NAME}$")]
Alias = Annotated[str, StringConstraints(pattern=rf"^{_ALIAS}$")]
ModelVersion = Annotated[int, Field(ge=1, lt=2**31)]
ModelFormat = Literal["sleap-nn", "onnx", "tensorrt"]


@dataclass(frozen=True)
class ModelRef:
    """Which model a user means; of `version`, `alias` and `job` at most one is set.

    Attributes:
        name: what the room calls it; empty where a job says which.
        version: which version.
        alias: the alias that says which version; the latest one without either.
        job: the job that trained it, whole or its beginning.
    """

    name: str = ""
    version: int | None = None
    alias: str | None = None
    job: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``fly``, ``fly@3``, ``fly@production`` or ``j_…``.

        Raises:
            UsageError: if it is none of these.
        """
        if is_id("job", text):
            return cls(job=text)
        found = _REF.fullmatch(text)
        at = found["at"] if found else None
        if found and at is None:
            return cls(name=found["name"])
        if found and at and re.fullmatch(r"[1-9][0-9]{0,8}", at):
            return cls(name=found["name"], version=int(at))
        if found and at and re.fullmatch(_ALIAS, at):
            return cls(name=found["name"], alias=at)
        raise UsageError(
            f"'{printable(text, limit=120)}' names no model. Write NAME, NAME@3, NAME@ALIAS or the id of the job that "
            "trained it; 'sleap-rtc models list' shows them."
        )

    def __str__(self) -> str:
        at = self.version if self.version is not None else self.alias
        return self.job or (f"{self.name}@{at}" if at is not None else self.name)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RoomModel(_Record):
    """A model of the room, as the submitter found it: an alias that moves afterwards changes nothing.

    Attributes:
        digest: the bundle's, by which workers know it; see `sleap_rtc.protocol.models`.
        name: what the room calls it; empty if it has no name.
        version: which version of that name.
        format: of the files that are meant; another one than what was trained has a bundle of its own.
    """

    digest: Sha256
    name: ModelName | Literal[""] = ""
    version: ModelVersion | None = None
    format: ModelFormat = "sleap-nn"


class BundleFile(_Record):
    """A file of a bundle."""

    path: str = Field(max_length=1024)
    size: int = Field(ge=0, lt=2**63)
    sha256: Sha256


class ModelPart(_Record):
    """What one run trained.

    Attributes:
        folder: its folder in the bundle.
        model_type: sleap-nn's head name.
        nodes: the skeleton's, in order.
        edges: pairs of indexes into `nodes`.
        input_scale: what images are scaled by before the network.
        channels: of the image that goes in.
        crop: side of the square around an animal, in pixels; None where whole frames go in.
        config: the file of the bundle that it was trained with.
        metrics: what sleap-nn measured on the validation labels; empty where it did not.
    """

    folder: str = Field(max_length=64)
    model_type: str = Field(max_length=64)
    nodes: Annotated[tuple[Label, ...], Field(max_length=512)] = ()
    edges: Annotated[tuple[tuple[int, int], ...], Field(max_length=2048)] = ()
    input_scale: float | None = None
    channels: int | None = None
    crop: int | None = None
    config: str = Field(default="", max_length=1024)
    metrics: Annotated[dict[Label, float | None], Field(max_length=64)] = {}


class Parent(_Record):
    """The model that a training began with, as it was called then."""

    digest: Sha256
    name: ModelName | Literal[""] = ""
    version: ModelVersion | None = None


class ModelRecord(_Record):
    """``model.json``. `name` and `version` are null in a bundle, and set in a copy that was pulled.

    Attributes:
        format: of its files.
        source: in another format than what was trained, the digest of the bundle that it was made from; what else is
            said here is said of that one.
        sleap_nn: the version that trained it.
        job: the job that trained it; None for one that came from a folder.
        manifest: digest of the package that it was trained on.
        labels: digests of the labels files among it, by their path there.
        options: what the submitter asked for beside the package, as `JobOptions`.
        parent: the model that its training began with.
        made_by: who submitted the job, or pushed the folder.
        made: when it was ready.
    """

    schema_version: Literal[1] = 1
    name: ModelName | None = None
    version: ModelVersion | None = None
    format: ModelFormat = "sleap-nn"
    source: Sha256 | None = None
    parts: Annotated[tuple[ModelPart, ...], Field(min_length=1, max_length=16)]
    files: Annotated[tuple[BundleFile, ...], Field(min_length=1, max_length=1024)]
    sleap_nn: Label = ""
    job: JobId | None = None
    manifest: Sha256 | None = None
    labels: Annotated[dict[str, Sha256], Field(max_length=256)] = {}
    options: dict[str, object] | None = None
    parent: Parent | None = None
    made_by: Label = ""
    made: UtcMs

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read the ``model.json`` of a bundle.

        Raises:
            ProtocolError: if it is none.
        """
        try:
            return cls.model_validate(parse_json(data.decode("utf-8"), limit=MAX_RECORD))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ProtocolError("The model's model.json cannot be read: the bundle is damaged.") from error

    def to_bytes(self) -> bytes:
        """Write it, always the same way."""
        return self.model_dump_json(indent=1).encode() + b"\n"


def bundle_digest(files: Iterable[tuple[str, str]]) -> str:
    """The digest of a bundle.

    Args:
        files: path and SHA-256 in hex of every file, ``model.json`` included.
    """
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()
