"""A worker that dials another one proves its key, bound to the very connection."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sleap_rtc.config.identity import Identity
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.peers import PeerProve, check_peer, peer_text

KEY, OTHER = (Identity(Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)) for seed in (1, 2))
HERE, ELSEWHERE = b"a" * 32, b"b" * 32


def proof(key: Identity = KEY, text: bytes = peer_text(HERE), shown: Identity | None = None) -> PeerProve:
    return PeerProve(public_key=(shown or key).public_key.hex(), signature=key.sign(text).hex())


def test_the_key_of_the_worker_that_the_service_named_is_accepted() -> None:
    check_peer(proof(), HERE, KEY.worker_id)


@pytest.mark.parametrize(
    "message",
    [
        proof(OTHER),  # a worker of the room that says it is another one
        proof(OTHER, shown=KEY),  # it shows that one's key
        proof(text=peer_text(ELSEWHERE)),  # what the honest one signed on another connection
        proof(text=HERE),
        proof(text=b"sleap-rtc worker/1" + HERE),  # what a worker signs where it is dialled
        PeerProve(public_key="ff" * 32, signature="00" * 64),
    ],
)
def test_anything_else_is_refused(message: PeerProve) -> None:
    with pytest.raises(AuthenticationError, match="did not prove its key"):
        check_peer(message, HERE, KEY.worker_id)
