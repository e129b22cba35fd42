"""The mutual proof of a link, bound to the very connection it runs over.

Both sides show that they know the room's secret (32 zero bytes where a room has none) and see the same DTLS
fingerprints; the worker also signs with the key its id is made of. HKDF: RFC 5869, HMAC: RFC 2104, channel binding in
the sense of RFC 5056, Ed25519: RFC 8032. Cores only: text in, text out.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sleap_rtc.errors import AuthenticationError, ProtocolError, SleapRTCError
from sleap_rtc.protocol.codec import ErrorInfo, Failure, Message
from sleap_rtc.protocol.hello import (
    HELLO,
    SUITE,
    VERSION,
    ClientHello,
    ClientProof,
    WorkerHello,
    WorkerProof,
)
from sleap_rtc.protocol.ids import worker_id_from_key

NO_SECRET = bytes(32)
_TRANSCRIPT_LABEL = b"sleap-rtc/p2p-auth/1"
_SIGNATURE_LABEL = b"sleap-rtc worker/1"


@dataclass(frozen=True)
class LinkContext:
    """What both ends must agree on without having said it over the link.

    Attributes:
        room: the room's id.
        user: the client's user id, as the service stamped it on the offer.
        session: the link's id, good for this one connection.
        fp_client: SHA-256 of the client's certificate, 32 bytes, from the very SDP text the engine got.
        fp_worker: the same of the worker's.
        secret: the room's secret, 32 bytes; zeros where there is none.
        epoch: the secret's epoch, 0 where there is none.
    """

    room: str
    user: str
    session: str
    fp_client: bytes
    fp_worker: bytes
    secret: bytes = NO_SECRET
    epoch: int = 0


@dataclass(frozen=True)
class Proven:
    """The other side is who it says."""

    abilities: frozenset[str]
    worker_pub: bytes


@dataclass(frozen=True)
class Failed:
    """There will be no link; say so and close."""

    error: SleapRTCError


class ProofState(Enum):
    """Where an exchange stands."""

    WAITING = auto()
    PROVEN = auto()
    FAILED = auto()


def frames(parts: Iterable[bytes]) -> bytes:
    """Join `parts` so that no two lists give the same bytes: each behind its u32 length."""
    return b"".join(struct.pack("!I", len(part)) + part for part in parts)


def transcript(context: LinkContext, hello: WorkerHello, hello_text: str, client_text: str) -> bytes:
    """The bytes both proofs cover.

    Args:
        context: what this end knows of the connection.
        hello: the worker's hello.
        hello_text: its exact text on the wire.
        client_text: the client's hello, exactly as it travelled.
    """
    nonce = ClientHello.model_validate_json(client_text).nonce
    return frames(
        (
            _TRANSCRIPT_LABEL,
            hello.suite.encode(),
            context.room.encode(),
            struct.pack("!I", context.epoch),
            hello.worker_id.encode(),
            bytes.fromhex(hello.worker_pub),
            context.user.encode(),
            context.session.encode(),
            context.fp_client,
            context.fp_worker,
            bytes.fromhex(hello.nonce),
            bytes.fromhex(nonce),
            hashlib.sha256(frames((hello_text.encode(), client_text.encode()))).digest(),
        )
    )


def _mac(context: LinkContext, role: bytes, text: bytes) -> bytes:
    salt = hashlib.sha256(b"sleap-rtc room" + context.room.encode()).digest()
    pseudorandom_key = hmac.digest(salt, context.secret, "sha256")
    key = HKDFExpand(algorithm=SHA256(), length=32, info=role + b" proof").derive(pseudorandom_key)
    return hmac.digest(key, text, "sha256")


@dataclass
class _Exchange:
    """What both roles share: one attempt, no exception on peer input, one generic refusal."""

    context: LinkContext
    state: ProofState = field(default=ProofState.WAITING, init=False)
    _outbox: list[str] = field(default_factory=list, init=False)
    _events: list[Proven | Failed] = field(default_factory=list, init=False)

    def receive_message(self, text: str) -> None:
        """Take the peer's next message. Never raises: bad input ends in `Failed`."""
        if self.state is not ProofState.WAITING:
            self._fail(ProtocolError("The peer spoke out of turn while the link was opening."))
            return
        try:
            message = HELLO.decode(text)
            if isinstance(message, Failure) and message.error:
                raise message.error.as_exception()
            self._take(message, text)
        except SleapRTCError as error:
            self._fail(error)
        except ValueError:
            self._fail(ProtocolError("The peer's hello cannot be read."))

    def messages_to_send(self) -> list[str]:
        """Texts to send now, in order."""
        texts, self._outbox = self._outbox, []
        return texts

    def events_received(self) -> list[Proven | Failed]:
        """What was found out since the last call."""
        events, self._events = self._events, []
        return events

    def _take(self, message: Message | None, text: str) -> None:
        raise NotImplementedError

    def _fail(self, error: SleapRTCError) -> None:
        if self.state is ProofState.FAILED:
            return
        self.state = ProofState.FAILED
        self._outbox.append(HELLO.encode(Failure(error=ErrorInfo.of(error))))
        self._events.append(Failed(error))

    def _succeed(self, abilities: Iterable[str], worker_pub: bytes) -> None:
        self.state = ProofState.PROVEN
        self._events.append(Proven(frozenset(abilities), worker_pub))


def _refusal() -> AuthenticationError:
    return AuthenticationError(
        "The link was refused because the other side could not prove who it is. "
        "Check that both use the same room and secret, then try again."
    )


def _check_version(v: int, suite: str, other: str) -> None:
    if v == VERSION and suite == SUITE:
        return
    who = f"the {other}" if v < VERSION else "this side"
    raise ProtocolError(
        f"The {other} speaks version {v} of the protocol and this side version {VERSION}: upgrade sleap-rtc on {who}."
    )


@dataclass
class WorkerExchange(_Exchange):
    """The worker's side: hello out, client's proof in, own proof out.

    Args:
        context: what this end knows of the connection.
        public_key: the worker's raw Ed25519 key, 32 bytes.
        sign: signs bytes with that key.
        nonce: 32 fresh random bytes.
        abilities: names of what this worker can do.
    """

    public_key: bytes
    sign: Callable[[bytes], bytes]
    nonce: bytes
    abilities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._hello = WorkerHello(
            v=VERSION,
            suite=SUITE,
            worker_id=worker_id_from_key(self.public_key),
            worker_pub=self.public_key.hex(),
            epoch=self.context.epoch,
            nonce=self.nonce.hex(),
            abilities=self.abilities,
        )
        self._hello_text = HELLO.encode(self._hello)
        self._outbox.append(self._hello_text)

    def _take(self, message: Message | None, text: str) -> None:
        if not isinstance(message, ClientProof):
            raise ProtocolError("The client sent something else where its proof belongs.")
        hello = HELLO.decode(message.hello)
        if not isinstance(hello, ClientHello):
            raise ProtocolError("The client's proof carries no hello.")
        _check_version(hello.v, SUITE, "client")
        covered = transcript(self.context, self._hello, self._hello_text, message.hello)
        if not hmac.compare_digest(bytes.fromhex(message.mac), _mac(self.context, b"client", covered)):
            raise _refusal()
        proof = WorkerProof(
            mac=_mac(self.context, b"worker", covered).hex(),
            signature=self.sign(_SIGNATURE_LABEL + covered).hex(),
        )
        self._outbox.append(HELLO.encode(proof))
        self._succeed(hello.abilities, self.public_key)


@dataclass
class ClientExchange(_Exchange):
    """The client's side: hello in, own proof out, worker's proof in.

    Args:
        context: what this end knows of the connection.
        worker_id: whom the client dialled; the worker's key must hash to it.
        pinned_key: the key this worker had before, if it is known.
        nonce: 32 fresh random bytes.
        abilities: names of what this client can do.
    """

    worker_id: str
    nonce: bytes
    pinned_key: bytes | None = None
    abilities: tuple[str, ...] = ()
    _hello: WorkerHello | None = field(default=None, init=False)
    _covered: bytes = field(default=b"", init=False)

    def _take(self, message: Message | None, text: str) -> None:
        if self._hello is None:
            self._take_hello(message, text)
        else:
            self._take_proof(message, self._hello)

    def _take_hello(self, hello: Message | None, text: str) -> None:
        if not isinstance(hello, WorkerHello):
            raise ProtocolError("The worker sent something else where its hello belongs.")
        _check_version(hello.v, hello.suite, "worker")
        key = bytes.fromhex(hello.worker_pub)
        if hello.worker_id != self.worker_id or worker_id_from_key(key) != self.worker_id:
            raise _refusal()
        if self.pinned_key is not None and key != self.pinned_key:
            raise AuthenticationError(
                f"The worker {self.worker_id} has another key than before. Its id is made of its key, so somebody "
                "is standing in for it: ask who runs it."
            )
        if hello.epoch != self.context.epoch:
            raise _refusal()
        client_text = HELLO.encode(ClientHello(v=VERSION, nonce=self.nonce.hex(), abilities=self.abilities))
        self._hello = hello
        self._covered = transcript(self.context, hello, text, client_text)
        mac = _mac(self.context, b"client", self._covered)
        self._outbox.append(HELLO.encode(ClientProof(hello=client_text, mac=mac.hex())))

    def _take_proof(self, proof: Message | None, hello: WorkerHello) -> None:
        if not isinstance(proof, WorkerProof):
            raise ProtocolError("The worker sent something else where its proof belongs.")
        if not hmac.compare_digest(bytes.fromhex(proof.mac), _mac(self.context, b"worker", self._covered)):
            raise _refusal()
        key = bytes.fromhex(hello.worker_pub)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(
                bytes.fromhex(proof.signature), _SIGNATURE_LABEL + self._covered
            )
        except InvalidSignature as error:
            raise _refusal() from error
        self._succeed(hello.abilities, key)
