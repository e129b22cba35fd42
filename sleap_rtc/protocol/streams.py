"""Credit for byte streams: who may send how much, so that memory is bounded by a window and not by a file.

Every stream is opened by its receiver, who starts it with `FIRST_WINDOW` bytes of credit and tells the sender a new
absolute limit as it consumes. Nothing here does I/O.
"""

from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.frames import Frame, FrameFlag

FIRST_WINDOW = 256 * 1024
"""Bytes a sender may send before the receiver has said anything."""
FULL_WINDOW = 4 * 1024 * 1024
"""Bytes in flight once the receiver has consumed something; four such streams are a link's 16 MiB."""


class SendCredit:
    """The sender's side of one stream."""

    def __init__(self) -> None:
        self.sent = 0
        self.limit = FIRST_WINDOW

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
    """The receiver's side of one stream."""

    def __init__(self) -> None:
        self.received = 0
        self.consumed = 0
        self.limit = FIRST_WINDOW
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
