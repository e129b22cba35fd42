"""Models over a link: how their files are asked for, and how one comes to a worker."""

from pydantic import Field

from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.files import ManifestRef, Sha256, TransferId
from sleap_rtc.protocol.labels import UtcMs

ABILITY = "models"
"""What a worker that hands models out, and takes them, says that it can do."""
MAX_FILES = 1025
"""Files of a bundle, ``model.json`` included."""
PREFIX = "m_"


def transfer_of(digest: str) -> str:
    """By which transfer id a worker hands out the bundle of this digest."""
    return f"{PREFIX}{digest}"


def digest_of(transfer: str) -> str | None:
    """The digest that a transfer id asks for; None if it is no model's."""
    digest = transfer.removeprefix(PREFIX)
    return digest if transfer.startswith(PREFIX) and digest else None


class ModelPush(Message):
    """Client → worker: keep this model for the room. The worker fetches what it lacks, then answers `model.pushed`.

    Attributes:
        transfer: by which id the client hands the files out.
        manifest: what they are: ``<run>/best.ckpt`` …, and ``model.json`` beside the run folders where there is one.
        made: when the model was ready; sent again, the same model is the same bundle.
    """

    TYPE = "model.push"
    transfer: TransferId
    manifest: ManifestRef
    made: UtcMs


class ModelPushed(Message):
    """Worker → client: the model is here, on disk, under this digest."""

    TYPE = "model.pushed"
    digest: Sha256
    size: int = Field(ge=0, lt=2**63)
