"""Folders of a worker's machine that its clients may look into."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.codec import Message, parse_json
from sleap_rtc.protocol.labels import UtcMs
from sleap_rtc.protocol.streams import StreamRequest

MAX_ENTRIES = 1000
"""Most entries of a folder that are listed."""
MAX_LISTING = 4 * 1024 * 1024
"""Most bytes of a listing."""
MAX_MOUNTS = 256
"""Most mounts that a worker tells of."""
ABILITY = "mounts"
"""What a worker that answers these messages says that it can do."""


class EntryKind(StrEnum):
    """What an entry of a folder is; links, devices and the like are not listed."""

    FILE = "file"
    FOLDER = "folder"


class MountInfo(BaseModel):
    """A mount, without where it is on the worker's machine. In a `rw` one jobs may write."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    label: str = Field(max_length=64)
    rw: bool = False


class FolderEntry(BaseModel):
    """An entry of a folder: its name, its size in bytes (0 for a folder), and when it was last changed."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(max_length=2048)
    kind: EntryKind
    size: int = Field(default=0, ge=0, lt=2**63)
    modified: UtcMs = 0


class FolderListing(BaseModel):
    """What a folder holds, by name; `more` if that is not all of it: there is more, or it took too long."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    entries: Annotated[tuple[FolderEntry, ...], Field(max_length=MAX_ENTRIES)] = ()
    more: bool = False

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a listing that a worker sent.

        Raises:
            ProtocolError: if it is none.
        """
        try:
            return cls.model_validate(parse_json(data.decode("utf-8"), limit=MAX_LISTING))
        except (ValidationError, UnicodeDecodeError) as error:
            raise ProtocolError("The worker sent a listing of a folder that cannot be read.") from error


class MountList(Message):
    """Client → worker: which mounts are there?"""

    TYPE = "mount.list"


class MountListed(Message):
    """Worker → client: the mounts, by label."""

    TYPE = "mount.listed"
    mounts: Annotated[tuple[MountInfo, ...], Field(max_length=MAX_MOUNTS)] = ()


class FolderGet(StreamRequest):
    """Client → worker: what does the folder hold? `place` is `label:/path`; answered with a `FolderListing` as JSON."""

    TYPE = "folder.get"
    place: str = Field(max_length=4096)
