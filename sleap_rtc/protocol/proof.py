"""The mutual proof of a link, bound to the very connection it runs over.

Both sides show that they know the same secret of the room (32 zero bytes where a room has none) and see the same DTLS
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

from sleap_rtc.errors import AuthenticationError, ProtocolError, SleapRTCError
from sleap_rtc.protocol.codec import ErrorInfo, Failure, Message
from sleap_rtc.protocol.hello import (
    HELLO,
    MAX_SECRETS,
    SUITE,
    VERSION,
    ClientHello,
    ClientProof,
    WorkerHello,
    WorkerProof,
)
from sleap_rtc.protocol.ids import worker_id_from_key
from sleap_rtc.protocol.room_secrets import NO_SECRET, RoomSecret, newest_common, with_epoch

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
        secrets: the room's secrets as this end knows them, the newest first; none where the room has none.
    """

    room: str
    user: str
    session: str
    fp_client: bytes
    fp_worker: bytes
    secrets: tuple[RoomSecret, ...] = ()


@dataclass(frozen=True)
class Proven:
    """The other side is who it says.

    Attributes:
        abilities: what it can do, by name.
        worker_pub: the worker's key.
        binding: SHA-256 of what both proofs cover: it names this very connection, at both of its ends.
    """

    abilities: frozenset[str]
    worker_pub: bytes
    binding: bytes


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
    client_hello = ClientHello.model_validate_json(client_text)
    return frames(
        (
            _TRANSCRIPT_LABEL,
            hello.suite.encode(),
            context.room.encode(),
            struct.pack("!I", client_hello.epoch),
            hello.worker_id.encode(),
            bytes.fromhex(hello.worker_pub),
            context.user.encode(),
            context.session.encode(),
            context.fp_client,
            context.fp_worker,
            bytes.fromhex(hello.nonce),
            bytes.fromhex(client_hello.nonce),
            hashlib.sha256(frames((hello_text.encode(), client_text.encode()))).digest(),
        )
    )


def _mac(context: LinkContext, secret: RoomSecret, role: str, text: bytes) -> bytes:
    return hmac.digest(secret.proof_key(context.room, role), text, "sha256")


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
        # why this side cannot prove the other is for its own user: a stranger learns no more than that it is so
        said = _refusal() if isinstance(error, AuthenticationError) else error
        self._outbox.append(HELLO.encode(Failure(error=ErrorInfo.of(said))))
        self._events.append(Failed(error))

    def _succeed(self, abilities: Iterable[str], worker_pub: bytes, covered: bytes) -> None:
        self.state = ProofState.PROVEN
        self._events.append(Proven(frozenset(abilities), worker_pub, hashlib.sha256(covered).digest()))


def _refusal() -> AuthenticationError:
    return AuthenticationError(
        "The link was refused because the other side could not prove who it is. "
        "Check that both use the same room and secret, then try again."
    )


def _no_common_secret(context: LinkContext, hello: WorkerHello) -> AuthenticationError:
    at_worker, ask = "On the worker's machine, run:", "Ask for it in the room, then run:"
    newest = max((name.epoch for name in hello.secrets), default=0)
    ours = max((secret.epoch for secret in context.secrets), default=0)
    if not newest:
        why = f"the worker has no secret of this room and this machine has one. {at_worker}"
    elif not ours:
        why = f"the worker has a secret of this room and this machine has none. {ask}"
    elif newest > ours:
        why = f"the worker has a newer secret of this room. {ask}"
    elif newest < ours:
        why = f"the worker has an older secret of this room. {at_worker}"
    else:
        why = f"the worker has another secret of this room. {ask}"
    sentence = f"The link was refused: {why} sleap-rtc room set-secret {context.room}"
    return AuthenticationError(sentence)


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
            secrets=tuple(secret.name_in(self.context.room) for secret in self.context.secrets[:MAX_SECRETS]),
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
        secret = with_epoch(self.context.secrets, hello.epoch)
        if secret is None:
            raise AuthenticationError("The client does not know the room's secret, or only one that has ended.")
        covered = transcript(self.context, self._hello, self._hello_text, message.hello)
        if not hmac.compare_digest(bytes.fromhex(message.mac), _mac(self.context, secret, "client", covered)):
            raise _refusal()
        proof = WorkerProof(
            mac=_mac(self.context, secret, "worker", covered).hex(),
            signature=self.sign(_SIGNATURE_LABEL + covered).hex(),
        )
        self._outbox.append(HELLO.encode(proof))
        self._succeed(hello.abilities, self.public_key, covered)


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
    _secret: RoomSecret = field(default=NO_SECRET, init=False)
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
        secret = newest_common(self.context.secrets, hello.secrets, self.context.room)
        if secret is None:
            raise _no_common_secret(self.context, hello)
        client_text = HELLO.encode(
            ClientHello(v=VERSION, epoch=secret.epoch, nonce=self.nonce.hex(), abilities=self.abilities)
        )
        self._hello, self._secret = hello, secret
        self._covered = transcript(self.context, hello, text, client_text)
        mac = _mac(self.context, secret, "client", self._covered)
        self._outbox.append(HELLO.encode(ClientProof(hello=client_text, mac=mac.hex())))

    def _take_proof(self, proof: Message | None, hello: WorkerHello) -> None:
        if not isinstance(proof, WorkerProof):
            raise ProtocolError("The worker sent something else where its proof belongs.")
        if not hmac.compare_digest(bytes.fromhex(proof.mac), _mac(self.context, self._secret, "worker", self._covered)):
            raise _refusal()
        key = bytes.fromhex(hello.worker_pub)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(
                bytes.fromhex(proof.signature), _SIGNATURE_LABEL + self._covered
            )
        except InvalidSignature as error:
            raise _refusal() from error
        self._succeed(hello.abilities, key, self._covered)
