"""Byte streams: how they are asked for, and the credit that bounds memory by a window and not by a file.

Every stream is opened by its receiver, who says how many bytes may come at first and tells the sender a new absolute
limit as it consumes. Nothing here does I/O.
"""

from typing import Annotated

from pydantic import Field

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.frames import MAX_FRAME, USUAL_FRAME, Frame, FrameFlag

FIRST_WINDOW = 256 * 1024
"""Bytes a sender may send at first on a stream whose length is not known."""
FULL_WINDOW = 4 * 1024 * 1024
"""Bytes in flight on such a stream once the receiver has consumed something."""
LINK_WINDOW = 16 * 1024 * 1024
"""Most bytes that one side of a link asks for before the earlier ones have arrived."""
MAX_LANES = 16

StreamId = Annotated[int, Field(ge=1, lt=2**32)]
LaneId = Annotated[int, Field(ge=0, lt=2**31)]


class StreamRequest(Message):
    """Receiver → sender: what is answered with bytes, or with a ``stream.reset``.

    The receiver opens the stream, chooses the lane it comes over, and says how many bytes may be sent at once and in
    frames of how many bytes.
    """

    stream: StreamId
    lane: LaneId
    window: int = Field(ge=0, le=LINK_WINDOW)
    frame: int = Field(default=USUAL_FRAME, ge=USUAL_FRAME, le=MAX_FRAME)


class SendCredit:
    """The sender's side of one stream.

    Args:
        limit: bytes that may be sent before the receiver has said more.
    """

    def __init__(self, limit: int = FIRST_WINDOW) -> None:
        self.sent = 0
        self.limit = limit

    @property
    def available(self) -> int:
        """How many bytes may be sent now."""
        return self.limit - self.sent

    def spend(self, size: int) -> int:
        """Account for `size` bytes and return the offset they start at."""
        if size > self.available:
            raise ValueError("more than the credit allows")
        offset = self.sent
        self.sent += size
        return offset

    def receive_limit(self, limit: int) -> None:
        """Take the receiver's new limit; an older one that comes late changes nothing."""
        self.limit = max(self.limit, limit)


class ReceiveCredit:
    """The receiver's side of one stream.

    Args:
        limit: bytes that the sender may send before it is told more.
    """

    def __init__(self, limit: int = FIRST_WINDOW) -> None:
        self.received = 0
        self.consumed = 0
        self.limit = limit
        self.ended = False

    def receive_frame(self, frame: Frame) -> None:
        """Account for a frame.

        Raises:
            ProtocolError: if it does not continue the stream, or exceeds the credit.
        """
        if self.ended or frame.offset != self.received:
            raise ProtocolError("A frame arrived that does not continue its stream.")
        if self.received + len(frame.payload) > self.limit:
            raise ProtocolError("The peer sent more than its credit allows.")
        self.received += len(frame.payload)
        self.ended = bool(frame.flags & FrameFlag.LAST)

    def consume(self, size: int) -> int | None:
        """Account for `size` bytes handed on; return a new limit when it is time to tell the sender one."""
        self.consumed += size
        target = self.consumed + FULL_WINDOW
        if self.ended or target - self.limit < FULL_WINDOW // 4:
            return None
        self.limit = target
        return target
