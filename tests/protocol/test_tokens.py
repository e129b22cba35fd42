import zlib
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.ids import is_token_id
from sleap_rtc.protocol.tokens import (
    DEVICE_CODE_PREFIX,
    PREFIXES,
    RANDOM_BYTES,
    TokenKind,
    check_token,
    make_token,
    redact,
)

RANDOM = bytes(range(RANDOM_BYTES))


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("t_" + "0a" * 16, True),
        ("t_" + "0A" * 16, False),
        ("t_" + "0a" * 16 + "\n", False),
        ("t_" + "0a" * 15, False),
        ("slp_" + "0a" * 16, False),
        ("../" + "0a" * 16, False),
    ],
)
def test_what_a_token_is_called_by(text: str, good: bool) -> None:
    assert is_token_id(text) is good


@pytest.mark.parametrize("kind", get_args(TokenKind))
def test_a_token_tells_its_kind(kind: TokenKind) -> None:
    token = make_token(kind, RANDOM)
    assert token.startswith(PREFIXES[kind])
    assert len(token) == len(PREFIXES[kind]) + 36
    assert check_token(token) == kind


def test_the_checksum_is_crc32_in_base62() -> None:
    token = make_token("worker", RANDOM)
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = 0
    for character in token[-6:]:
        value = value * 62 + digits.index(character)
    assert value == zlib.crc32(token[:-6].encode())


@given(st.binary(min_size=RANDOM_BYTES, max_size=64), st.integers(0, 39), st.characters(codec="ascii"))
def test_one_changed_character_is_noticed(randomness: bytes, place: int, character: str) -> None:
    token = make_token("session", randomness)
    place = min(place, len(token) - 1)
    changed = token[:place] + character + token[place + 1 :]
    if changed == token:
        return
    with pytest.raises(AuthenticationError):
        check_token(changed)


@pytest.mark.parametrize("text", ["", "slp_", "slp", "ghp_" + "a" * 36, "slp_" + "a" * 35, "slp_" + "a" * 37, "é" * 40])
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(AuthenticationError):
        check_token(text)


def test_randomness_must_suffice() -> None:
    with pytest.raises(ValueError, match="random bytes"):
        make_token("worker", bytes(RANDOM_BYTES - 1))


@pytest.mark.parametrize("kind", get_args(TokenKind))
def test_logs_keep_only_the_kind(kind: TokenKind) -> None:
    token = make_token(kind, RANDOM)
    assert redact(f"got {token}, {token}\n") == f"got {PREFIXES[kind]}…, {PREFIXES[kind]}…\n"


def test_logs_keep_no_other_secret() -> None:
    assert redact("slrs_abcdefgh") == "slrs_…"
    assert redact(f"{DEVICE_CODE_PREFIX}{'0a' * 32} x") == "slpd_… x"
    assert redact("sleap-session:eyJyIjo-_iJ9== x") == "sleap-session:… x"
    assert redact('"Authorization: Bearer abc.def"') == '"Authorization: Bearer …"'
    assert redact("a slow bearer of news") == "a slow bearer … news"
    assert redact("nothing secret_here") == "nothing secret_here"
