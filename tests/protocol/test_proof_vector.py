"""The test vector of the protocol page, computed again from the page's own words with nothing of ours."""

import hashlib
import hmac
import json
import re
import struct
import zlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
ROOM, EPOCH, KEY = b"r_exampleroom", 1_800_000_000, bytes(range(0x20, 0x40))
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def said(caption: str) -> str:
    found = re.search(rf"^{re.escape(caption)}:\n\n```text\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha256).digest()


def framed(*parts: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def base62(number: int, digits: int) -> str:
    return "".join(DIGITS[number // 62**place % 62] for place in reversed(range(digits)))


def test_the_vector_is_what_the_page_says() -> None:
    salt = hashlib.sha256(b"sleap-rtc room" + ROOM).digest()
    body = "slrs_" + base62(int.from_bytes(struct.pack(">I", EPOCH) + KEY, "big"), 49)
    assert said("The secret as people copy it") == body + base62(zlib.crc32(body.encode()), 6)

    # HKDF: one block of Expand is an HMAC of the info and a 1
    extracted = mac(salt, KEY)
    client_key, worker_key = (mac(extracted, role + b" proof\x01") for role in (b"client", b"worker"))
    assert said("Kc and Kw, in hex").split() == [client_key.hex(), worker_key.hex()]

    hello_text, proof = said("The worker's hello"), json.loads(said("The client's proof"))
    hello = json.loads(hello_text)
    assert hello["secrets"] == [{"epoch": EPOCH, "id": mac(salt, b"secret id" + KEY)[:8].hex()}]
    assert json.loads(proof["hello"])["epoch"] == EPOCH
    both = hashlib.sha256(framed(hello_text.encode(), proof["hello"].encode())).digest()
    covered = framed(
        b"sleap-rtc/p2p-auth/1", b"hkdf-sha256+hmac-sha256+ed25519", ROOM, struct.pack(">I", EPOCH),
        hello["worker_id"].encode(), bytes.fromhex(hello["worker_pub"]), b"u_exampleuser", b"l_examplelink",
        b"\xc1" * 32, b"\x0e" * 32, b"\x01" * 32, b"\x02" * 32, both,
    )  # fmt: skip
    assert "".join(said("The transcript, in hex").split()) == covered.hex()
    assert proof["mac"] == mac(client_key, covered).hex()
    signed = Ed25519PrivateKey.from_private_bytes(bytes(range(32))).sign(b"sleap-rtc worker/1" + covered)
    answer = json.loads(said("The worker's proof"))
    assert (answer["mac"], answer["signature"]) == (mac(worker_key, covered).hex(), signed.hex())
