"""What processes of one service tell each other. They are read as strictly as what strangers say."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from signaling_server.signaling.members import Holder
from sleap_rtc.protocol.ids import LinkId, PresenceId, WorkerId


class _Envelope(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Delivery(_Envelope):
    """A message for one connection of that process."""

    kind: Literal["delivery"] = "delivery"
    to: PresenceId
    sender: PresenceId | None
    text: str = Field(max_length=64 * 1024)


class Undelivered(_Envelope):
    """The answer to a delivery about a link whose connection is not there."""

    kind: Literal["undelivered"] = "undelivered"
    to: PresenceId
    missing: PresenceId
    link: LinkId
    worker: WorkerId | None = None


class Replaced(_Envelope):
    """A newer connection of the same worker is there."""

    kind: Literal["replaced"] = "replaced"
    presence: PresenceId


class Ended(_Envelope):
    """Everybody who is there by one of these rights has to go, each for its reason."""

    kind: Literal["ended"] = "ended"
    by: str
    reasons: list[tuple[Holder, str]]
    code: int


class EndedAll(_Envelope):
    """The same for all to whom everything given applies."""

    kind: Literal["ended_all"] = "ended_all"
    by: str
    reason: str
    code: int
    token_id: str | None = None
    room: str | None = None
    user: str | None = None


class Owners(_Envelope):
    """Rooms whose owner changed."""

    kind: Literal["owners"] = "owners"
    by: str
    owners: dict[str, str]


class Beat(_Envelope):
    """A process to itself: it still hears."""

    kind: Literal["beat"] = "beat"


Envelope = Annotated[
    Delivery | Undelivered | Replaced | Ended | EndedAll | Owners | Beat,
    Field(discriminator="kind"),
]
_ANY: TypeAdapter[Envelope] = TypeAdapter(Envelope)


def seal(envelope: Envelope) -> str:
    """An envelope as text."""
    return envelope.model_dump_json()


def open_envelope(text: bytes) -> Envelope:
    """An envelope from its text.

    Raises:
        ValidationError: if it is none.
    """
    return _ANY.validate_json(text)
