"""The hellos and proofs that open a link, before which nothing else is read."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from sleap_rtc.protocol.codec import Failure, Message, Registry
from sleap_rtc.protocol.ids import WorkerId

VERSION = 1
"""The protocol version spoken here."""
SUITE = "hkdf-sha256+hmac-sha256+ed25519"

Hex8 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Abilities = Annotated[tuple[Annotated[str, StringConstraints(max_length=64)], ...], Field(max_length=64)]

MAX_SECRETS = 4
"""Most secrets that a worker knows at once; it needs two while an old one lives on."""


class SecretName(BaseModel):
    """Which secret of the room is meant. It is no secret itself.

    Attributes:
        epoch: when the secret was made, in seconds since 1970.
        id: the first 8 bytes of an HMAC of it, in hex.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    epoch: int = Field(ge=1, lt=2**32)
    id: Hex8


class WorkerHello(Message):
    """Worker → client: who I am, what I speak, which secrets of the room I know (the newest first), and my nonce."""

    TYPE = "hello"
    v: int
    suite: str = Field(max_length=64)
    worker_id: WorkerId
    worker_pub: Hex32
    secrets: tuple[SecretName, ...] = Field(default=(), max_length=MAX_SECRETS)
    nonce: Hex32
    abilities: Abilities = ()


class ClientHello(Message):
    """Client → worker: what I speak, the epoch of the secret I use (0: none), and my nonce.

    Text inside `proof.client`: its exact bytes are signed.
    """

    TYPE = "hello.client"
    v: int
    epoch: int = Field(ge=0, lt=2**32)
    nonce: Hex32
    abilities: Abilities = ()


class ClientProof(Message):
    """Client → worker: my hello, and the MAC that I know the room's secret and see the same connection."""

    TYPE = "proof.client"
    hello: str = Field(max_length=8192)
    mac: Hex32


class WorkerProof(Message):
    """Worker → client: my MAC over the same transcript, and my key's signature of it."""

    TYPE = "proof.worker"
    mac: Hex32
    signature: Hex64


HELLO = Registry("hello", WorkerHello, ClientHello, ClientProof, WorkerProof, Failure)
"""What may be said on a link's control channel before both sides are proven."""
