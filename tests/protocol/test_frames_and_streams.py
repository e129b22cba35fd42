"""Frames and credit."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.frames import MAX_FRAME, MAX_PAYLOAD, Frame, FrameFlag
from sleap_rtc.protocol.streams import FIRST_WINDOW, FULL_WINDOW, ReceiveCredit, SendCredit


def test_a_frame_looks_as_documented() -> None:
    packed = Frame(7, 65536, b"abc", FrameFlag.LAST).pack()
    assert packed.hex() == "01010000" + "00000007" + "0000000000010000" + "616263"


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=100), st.sampled_from(FrameFlag))
def test_a_frame_survives_the_way(stream: int, offset: int, payload: bytes, flags: FrameFlag) -> None:
    frame = Frame.unpack(Frame(stream, offset, payload, flags).pack())
    assert (frame.stream, frame.offset, bytes(frame.payload), frame.flags) == (stream, offset, payload, flags)


@given(st.binary(max_size=64))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    with suppress(ProtocolError):
        Frame.unpack(data)


def test_the_largest_frame_is_a_message_every_engine_takes() -> None:
    assert len(Frame(1, 0, bytes(MAX_PAYLOAD)).pack()) == MAX_FRAME
    with pytest.raises(ProtocolError):
        Frame(1, 0, bytes(MAX_PAYLOAD + 1)).pack()
    with pytest.raises(ProtocolError):
        Frame.unpack(bytes(MAX_FRAME + 1))


def test_a_sender_stops_at_its_limit_and_goes_on_with_a_new_one() -> None:
    credit = SendCredit()
    assert credit.spend(FIRST_WINDOW) == 0
    assert credit.available == 0
    credit.receive_limit(FIRST_WINDOW - 1)  # late news takes nothing away
    assert credit.available == 0
    credit.receive_limit(FIRST_WINDOW + 10)
    assert credit.spend(10) == FIRST_WINDOW
    with pytest.raises(ValueError, match="credit"):
        credit.spend(1)


def test_a_receiver_grants_more_as_it_consumes() -> None:
    credit = ReceiveCredit()
    credit.receive_frame(Frame(1, 0, bytes(MAX_PAYLOAD)))
    assert credit.consume(MAX_PAYLOAD) == MAX_PAYLOAD + FULL_WINDOW
    assert credit.consume(0) is None


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(1, 1, b"x")],  # a gap
        [Frame(1, 0, b"x"), Frame(1, 0, b"x")],  # the same again
        [Frame(1, 0, b"x", FrameFlag.LAST), Frame(1, 1, b"x")],  # after the end
        [Frame(1, n * MAX_PAYLOAD, bytes(MAX_PAYLOAD)) for n in range(2)],  # more than its credit
    ],
)
def test_a_sender_that_breaks_the_rules_is_caught(frames: list[Frame]) -> None:
    credit = ReceiveCredit()
    for frame in frames[:-1]:
        credit.receive_frame(frame)
    with pytest.raises(ProtocolError):
        credit.receive_frame(frames[-1])
