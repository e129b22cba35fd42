import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.errors import UsageError
from sleap_rtc.protocol.ids import new_id, worker_id_from_key
from sleap_rtc.protocol.session_string import SessionString
from sleap_rtc.protocol.tokens import make_token

KEY = bytes(range(32))
WHOLE = SessionString(
    room_id=new_id("room", bytes(20)),
    token=make_token("session", bytes(32)),
    worker_id=worker_id_from_key(KEY),
    server="https://rtc.example.org:8443",
    key=hashlib.sha256(KEY).hexdigest(),
)


def line(**changes: Any) -> str:
    fields = {"r": WHOLE.room_id, "t": WHOLE.token, "p": WHOLE.worker_id} | changes
    return "sleap-session:" + base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()


def test_written_and_read() -> None:
    text = WHOLE.encode()
    assert text.startswith("sleap-session:")
    assert len(text.removeprefix("sleap-session:")) % 4 == 0
    assert SessionString.decode(text) == WHOLE


def test_the_short_form_has_neither_server_nor_key() -> None:
    short = SessionString(WHOLE.room_id, WHOLE.token, WHOLE.worker_id)
    assert SessionString.decode(short.encode()) == short
    assert SessionString.decode(line()) == short


def test_either_alphabet_padded_or_not_quoted_or_wrapped() -> None:
    body = WHOLE.encode().removeprefix("sleap-session:")
    for form in (body, body.rstrip("="), body.translate(str.maketrans("-_", "+/"))):
        assert SessionString.decode("sleap-session:" + form) == WHOLE
    assert SessionString.decode(f'  "sleap-session:{body[:60]}\n{body[60:]}"\r\n') == WHOLE


def test_both_alphabets_for_bytes_that_need_them() -> None:
    # three bytes that encode to characters in which the alphabets differ
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        text = "sleap-session:" + alphabet(json.dumps({"r": "??>~~~"}).encode()).decode()
        with pytest.raises(UsageError, match=r"'t' is missing|names the room"):
            SessionString.decode(text)


def test_the_example_of_the_documents_is_read_and_its_ids_refused() -> None:
    text = "sleap-session:eyJyIjogInJvb21faWQiLCAidCI6ICJ0b2tlbiIsICJwIjogInBlZXJfaWQifQ=="
    with pytest.raises(UsageError, match=r"names the room 'room_id'.*Copy the whole line"):
        SessionString.decode(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "begins with"),
        ("sleap-session", "begins with"),
        ("http://x", "begins with"),
        ("sleap-session:", "damaged"),
        ("sleap-session:a", "damaged"),
        ("sleap-session:****", "damaged"),
        (WHOLE.encode()[:-30], "damaged"),
        ("sleap-session:" + "A" * 5000, "at most"),
        ("sleap-session:" + base64.b64encode(b"[1]").decode(), "does not hold"),
        ("sleap-session:" + base64.b64encode(b"\xff\xfe\xfd").decode(), "damaged"),
        ("sleap-session:" + base64.b64encode(b'{"r":NaN}').decode(), "damaged"),
        (line(r=5), "'r' is missing"),
        (line(t=None), "'t' is missing"),
        (line(r="r_../../.ssh"), "names the room"),
        (line(p="p_abcdefgh"), "names the worker"),
        (line(t="slps_" + "a" * 36), "damaged"),
        (line(t=make_token("worker", bytes(32))), "not one for clients"),
        (line(s="ftp://x"), "names the service"),
        (line(s="https://u:p@x"), "names the service"),
        (line(s="https://x:abc"), "names the service"),
        (line(s="https://[x"), "names the service"),
        (line(s="https://x/\x1b[2J"), "names the service"),
        (line(s=7), "'s' is missing"),
        (line(k="ab"), "64 hexadecimal"),
        (line(k="0" * 64), "do not belong together"),
    ],
)
def test_refused_with_a_sentence(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        SessionString.decode(text)
    assert "\x1b" not in caught.value.sentence


@given(st.text())
def test_anything_else_is_refused_and_never_breaks(text: str) -> None:
    for attempt in (text, "sleap-session:" + text):
        with pytest.raises(UsageError):
            SessionString.decode(attempt)


def test_its_token_is_not_in_its_repr() -> None:
    assert WHOLE.token not in repr(WHOLE)
