"""Room secrets: their text, what is refused, and the names that tell them apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.base62 import base62, checksum
from sleap_rtc.protocol.room_secrets import MAX_EPOCH, RoomSecret
from sleap_rtc.protocol.tokens import redact

SECRET = RoomSecret.make(bytes(range(32)), 1_800_000_000)


@given(st.binary(min_size=32, max_size=32).filter(any), st.integers(1, MAX_EPOCH))
def test_a_secret_survives_being_written_and_read(key: bytes, epoch: int) -> None:
    secret = RoomSecret.make(key, epoch)
    assert len(secret.text) == 60
    assert RoomSecret.parse(f" {secret.text}\n") == secret


def whole(body: str) -> str:
    return body + checksum(body)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hunter2",
        "slrs_",
        "slrs_hunter2",
        SECRET.text[:-1],
        SECRET.text + "0",
        SECRET.text[:30] + ("0" if SECRET.text[30] != "0" else "1") + SECRET.text[31:],
        SECRET.text.replace("slrs_", "slp_"),
        SECRET.text[5:],
        SECRET.text.upper(),
        whole("slrs_" + "z" * 49),  # beyond 36 bytes
        whole("slrs_" + base62(0, 49)),
        whole("slrs_" + base62(5, 49)),  # epoch 0
        whole("slrs_" + base62(1_800_000_000 << 256, 49)),  # 32 zero bytes
        "slrs_" + "\u0661" * 55,
    ],
)
def test_what_sleap_rtc_did_not_make_is_refused_with_a_way_out_and_never_quoted(text: str) -> None:
    with pytest.raises(ConfigError, match="sleap-rtc room create-secret") as caught:
        RoomSecret.parse(text)
    assert len(text) < 6 or text not in caught.value.sentence


@pytest.mark.parametrize(("key", "epoch"), [(bytes(31), 1), (bytes(33), 1), (b"k" * 32, 0), (b"k" * 32, MAX_EPOCH + 1)])
def test_nothing_is_made_of_too_little_randomness_or_without_an_epoch(key: bytes, epoch: int) -> None:
    with pytest.raises(ValueError, match="32 random bytes"):
        RoomSecret.make(key, epoch)


def test_a_name_tells_the_secret_and_the_room_apart_and_holds_nothing_of_the_key() -> None:
    other_key = RoomSecret.make(bytes(range(1, 33)), SECRET.epoch)
    names = [SECRET.name_in("r_room0000"), SECRET.name_in("r_other000"), other_key.name_in("r_room0000")]
    assert len({name.id for name in names}) == 3
    assert SECRET.name_in("r_room0000") == names[0]
    assert SECRET.key.hex()[:16] not in {name.id for name in names}


def test_neither_repr_nor_a_log_shows_a_secret() -> None:
    assert repr(SECRET) == "RoomSecret(epoch=1800000000)"
    assert redact(f"given {SECRET.text}!") == "given slrs_…!"
