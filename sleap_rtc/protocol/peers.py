"""Workers among themselves: one fetches a model of the room from another that holds it.

The worker that dials is to the other one what a client is, and proves no key by that. So it proves it over the link,
before anything else: by signing what names this very connection.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.hello import Hex32, Hex64
from sleap_rtc.protocol.ids import worker_id_from_key

ABILITY = "peers"
"""What a worker says in its hello that lets other workers of the room fetch its models."""
# begins unlike what a worker signs elsewhere: to register, and as the one that was dialled
_LABEL = b"sleap-rtc peer/1"


class PeerProve(Message):
    """Worker → worker, the one that dialled, before anything else: my key, and its signature over `peer_text`."""

    TYPE = "peer.prove"
    public_key: Hex32
    signature: Hex64


def peer_text(binding: bytes) -> bytes:
    """The bytes that the worker that dialled signs.

    Args:
        binding: what names this connection; the room, both users, the dialled worker and both certificates are in it.
    """
    return _LABEL + binding


def check_peer(message: PeerProve, binding: bytes, worker_id: str) -> None:
    """Check that the other side of a connection has the key of the worker that the service says it is.

    Args:
        message: what it showed.
        binding: what names this connection.
        worker_id: whom the service named.

    Raises:
        AuthenticationError: if it has another key, or none.
    """
    key = bytes.fromhex(message.public_key)
    try:
        if worker_id_from_key(key) == worker_id:
            Ed25519PublicKey.from_public_bytes(key).verify(bytes.fromhex(message.signature), peer_text(binding))
            return
    except (InvalidSignature, ValueError):
        pass  # said below, in the same words
    raise AuthenticationError("The worker that dialled did not prove its key, so it gets no model from here.")
