"""What peers and the signaling service say to each other over the WebSocket.

The service says `Welcome` first. A worker then proves its key with `Register`; a client may offer at once.
Who a peer is comes from its credential: the `Principal` is made by the service, never believed from a message.
"""

import struct
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from sleap_rtc.protocol.codec import Failure, Message, Registry
from sleap_rtc.protocol.files import Sha256
from sleap_rtc.protocol.ids import LinkId, PresenceId, RoomId, UserId, WorkerId
from sleap_rtc.protocol.labels import Count, Label, Reason, UtcMs
from sleap_rtc.protocol.reports import ModelRegistered, RegisterModel, Reported, ReportJobs, ReportModels
from sleap_rtc.protocol.sdp import MAX_SDP, Candidate, IceServer

SUBPROTOCOL = "sleap-rtc.v1"
"""What the WebSocket handshake must name; another version is refused with a sentence."""

CLOSE_RESTART = 1012
"""The service restarts: come back in a moment."""
CLOSE_UNPROVEN = 4401
"""The credential or the key proof was wrong, or did not come in time."""
CLOSE_REVOKED = 4403
"""The credential was revoked or expired while connected."""
CLOSE_REPLACED = 4409
"""A newer connection proved the same worker key and took over."""

MAX_UNPROVEN = 4 * 1024
"""Largest message of a worker that has not proven its key, in bytes."""
MAX_HOLDERS = 16
"""Most workers that are named as holders of one model."""
MAX_VISITORS = 64
"""Most people a worker asks about in one `Lease`, so that the reasons for all of them fit into one answer."""

_REGISTRATION = b"sleap-rtc register/1"


def _fits_an_engine(text: str) -> str:
    if len(text.encode(errors="replace")) > MAX_SDP:
        raise ValueError("too large")
    return text


PublicKeyHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SignatureHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
NonceHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sdp = Annotated[str, StringConstraints(max_length=MAX_SDP), AfterValidator(_fits_an_engine)]
CredentialId = Annotated[str, StringConstraints(pattern=r"^[a-z]{1,4}_[A-Za-z0-9-]{1,64}$")]
"""What the service calls a login or a token by; it opens nothing."""
Role = Literal["client", "worker"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Principal(_Part):
    """Who a peer is, as the service derived it from the credential.

    Attributes:
        user: who acts; jobs belong to this id.
        name: what to call them in a list or a log.
        role: which verbs they may send.
        room: the only room they exist in.
        session: on a welcome the connection's presence id, on an offer the link id the stamp is bound to.
        owner: whether the room is theirs; nobody owns the room behind a session string.
        credential: by which login or token they are here, so that a link can end with it.
        worker: on an offer of a worker, the id of the key that it has proven to the service; None for others.
    """

    user: UserId
    name: Label
    role: Role
    room: RoomId
    session: PresenceId | LinkId
    owner: bool = False
    credential: CredentialId | None = None
    worker: WorkerId | None = None


class Visitor(_Part):
    """Somebody behind a link of a worker, as the service stamped them.

    Attributes:
        user: who it is.
        credential: by which login or token they dialled.
    """

    user: UserId
    credential: CredentialId

    def stands_for(self, principal: Principal) -> bool:
        """Whether this is who dialled as `principal`."""
        return (self.user, self.credential) == (principal.user, principal.credential)


class Departed(Visitor):
    """A visitor who may not be there any more.

    Attributes:
        reason: why, as a sentence for them.
    """

    reason: Reason


class GpuInfo(_Part):
    """One GPU of a worker."""

    name: Label
    memory_mb: Count
    uuid: Label | None = None


class WorkerInfo(_Part):
    """What a worker says about itself: for people and for choosing, never for permission."""

    name: Label
    hostname: Label | None = None
    version: Label
    gpus: list[GpuInfo] = Field(default_factory=list, max_length=32)
    slots: Count = 1
    busy: Count = 0
    queued: Count = 0
    sleap_nn: Label | None = None
    engine: Label | None = None


class WorkerPresence(_Part):
    """A worker that is connected and has proven its key.

    Attributes:
        worker_id: derived from the key by the service.
        public_key: the raw Ed25519 key in hex, for pinning.
        name: the name it registered with.
        info: its own description.
        since: when it registered, in UTC milliseconds.
    """

    worker_id: WorkerId
    public_key: PublicKeyHex
    name: Label
    info: WorkerInfo
    since: UtcMs


class Welcome(Message):
    """Service → peer, first: who you are, the nonce to sign, and the STUN and TURN servers to use.

    A worker is also told in how many seconds its token or its room ends.
    """

    TYPE = "welcome"
    principal: Principal
    nonce: NonceHex
    ice_servers: list[IceServer] = Field(default_factory=list, max_length=16)
    room_name: Label = ""
    ends_in: Annotated[int, Field(gt=-(2**53), lt=2**53)] | None = None


class IceServers(Message):
    """Service → peer: use these STUN and TURN servers from now on; the credentials of the ones before end soon."""

    TYPE = "ice_servers"
    ice_servers: list[IceServer] = Field(max_length=16)


class Register(Message):
    """Worker → service: here is my key, and its signature over `registration_text`."""

    TYPE = "register"
    public_key: PublicKeyHex
    signature: SignatureHex
    name: Label
    info: WorkerInfo


class Registered(Message):
    """Service → worker: you are present and can be dialled."""

    TYPE = "registered"
    presence: PresenceId
    worker_id: WorkerId


class Update(Message):
    """Worker → service: my description changed."""

    TYPE = "update"
    info: WorkerInfo


class Workers(Message):
    """Client → service, a request: who is in my room? Pages are asked for with the last id seen."""

    TYPE = "workers"
    after: WorkerId | None = None


class WorkerList(Message):
    """Service → client, the answer: workers ordered by id; `more` when another page follows."""

    TYPE = "worker_list"
    workers: list[WorkerPresence]
    more: bool = False


class Holders(Message):
    """Worker → service, a request: which other workers of my room that are here hold the files of this digest?"""

    TYPE = "holders"
    digest: Sha256


class HolderList(Message):
    """Service → worker, the answer: some of them; whoever wants more asks again when these are of no use.

    `named` says whether the room has a name for it: such a model is kept.
    """

    TYPE = "holder_list"
    workers: list[WorkerPresence] = Field(max_length=MAX_HOLDERS)
    named: bool = False


class Offer(Message):
    """Client or worker → service → worker: dial this worker. The service overwrites `from`, whatever it said.

    A worker dials another one of its room for a model that it lacks; see `PeerProve`.

    A link id is good for one offer; it binds the answer and the candidates to these two connections.
    """

    TYPE = "offer"
    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)
    link: LinkId
    worker_id: WorkerId
    sdp: Sdp
    sender: Principal | None = Field(default=None, alias="from")


class Answer(Message):
    """Worker → service → client: the answer to the offer of this link."""

    TYPE = "answer"
    link: LinkId
    sdp: Sdp


class IceCandidate(Message):
    """Either side → service → the other: a candidate of this link; null means there are no more."""

    TYPE = "candidate"
    link: LinkId
    candidate: Candidate | None = None


class Reject(Message):
    """Worker → service → client: this link will not be, and why (in `error`)."""

    TYPE = "reject"
    link: LinkId


class Revoked(Message):
    """Service → worker: this visitor may not be here any more: end their links, and tell them the reason."""

    TYPE = "revoked"
    visitor: Departed


class Lease(Message):
    """Worker → service, a request: do these people behind my links still belong here? Asked every minute."""

    TYPE = "lease"
    visitors: list[Visitor] = Field(max_length=MAX_VISITORS)


class Leased(Message):
    """Service → worker, the answer: those who do not, each with the reason; all others may stay."""

    TYPE = "leased"
    departed: list[Departed] = Field(max_length=MAX_VISITORS)


class Gone(Message):
    """Service → peer: the other side of a link still being made is not there (its reason in `error`).

    Said for an offer nobody can take, and when a connection ends between offer and answer. A link that
    stands is never touched by this: links outlive the service.
    """

    TYPE = "gone"
    link: LinkId
    worker_id: WorkerId | None = None


SIGNALING = Registry(
    "signaling",
    Welcome,
    IceServers,
    Register,
    Registered,
    Update,
    Workers,
    WorkerList,
    Holders,
    HolderList,
    Offer,
    Answer,
    IceCandidate,
    Reject,
    Gone,
    Revoked,
    Lease,
    Leased,
    ReportJobs,
    ReportModels,
    Reported,
    RegisterModel,
    ModelRegistered,
    Failure,
)


def registration_text(nonce: bytes, room: str, worker_id: str) -> bytes:
    """The bytes a worker signs to register: bound to this connection's nonce, this room and this id."""
    frames = (nonce, room.encode(), worker_id.encode())
    return _REGISTRATION + b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)
