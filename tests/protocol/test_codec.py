"""The envelope, and JSON from strangers."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.errors import PackageError, ProtocolError, SleapRTCError, from_wire
from sleap_rtc.protocol.codec import MAX_MESSAGE, ErrorInfo, Failure, parse_json
from sleap_rtc.protocol.jobs import JobCommand, JobLog
from sleap_rtc.protocol.link import LINK, Ping
from sleap_rtc.protocol.text import printable


def test_a_message_survives_the_way() -> None:
    message = JobCommand(id=5, job="j_12345678", command="stop")
    assert LINK.encode(message) == '{"type":"job.command","id":5,"job":"j_12345678","command":"stop"}'
    assert LINK.decode(LINK.encode(message)) == message


def test_unknown_types_and_fields_are_ignored() -> None:
    assert LINK.decode('{"type":"from.the.future"}') is None
    assert LINK.decode('{"type":"ping","mood":"good"}') == Ping()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "[]",
        "null",
        '{"type":3}',
        '{"type":"job.command","job":"../x","command":"stop"}',
        '{"type":"job.command","job":"j_12345678","command":"rm"}',
        '{"type":"ping","id":-1}',
        '{"type":"ping","id":"x"}',
        '{"type":"ping","type":"ping"}',
        '{"type":"ping","x":NaN}',
        '{"type":"ping","x":1e999}',
        '{"type":"ping","x":"\\ud800"}',
        '{"type":"ping","x":' + "[" * 100_000,
        '{"type":"ping","x":' + "9" * 5000 + "}",
        '{"type":"ping","x":"' + "a" * MAX_MESSAGE,
    ],
)
def test_nonsense_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        LINK.decode(text)


@given(st.text())
def test_no_text_breaks_the_decoder(text: str) -> None:
    with suppress(ProtocolError):
        LINK.decode(text)


def test_no_message_takes_long_to_refuse() -> None:
    # what once took half a minute: the timeout of the test run is the judge
    for text in ('\\"' * 32_000, '"' * 64_000, '"\\' * 32_000):
        with pytest.raises(ProtocolError):
            parse_json(text)


def test_brackets_inside_strings_do_not_count_as_depth() -> None:
    assert parse_json('{"a":"' + "[" * 100 + '\\"' + "{" * 100 + '"}')


def test_what_does_not_fit_into_a_message_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="larger than"):
        LINK.encode(JobLog(watch=1, offset=0, text="x" * MAX_MESSAGE))


def test_an_error_keeps_its_class_and_loses_its_escape_codes() -> None:
    wire = LINK.encode(Failure(re=1, error=ErrorInfo.of(PackageError("Bad \x1b[31mred\x1b]0;title\x07 news."))))
    received = LINK.decode(wire)
    assert received is not None
    assert received.error is not None
    error = received.error.as_exception()
    assert isinstance(error, PackageError)
    assert str(error) == "Bad red news."


def test_an_error_nobody_knows_is_still_an_error() -> None:
    assert type(from_wire("from.the.future", "Sorry.")) is SleapRTCError


@given(st.text())
def test_printable_text_holds_nothing_that_steers_a_terminal(text: str) -> None:
    cleaned = printable(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0 for c in cleaned)
    assert printable(cleaned) == cleaned
