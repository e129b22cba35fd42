"""Binary frames of a lane: a 16-byte header in network order, then payload.

``u8 kind, u8 flags, u16 zero, u32 stream, u64 offset``. `USUAL_FRAME` bytes whole are a message that every engine and
browser takes; larger ones, up to `MAX_FRAME`, are sent to whoever asks for them (RFC 8831 §6.6 leaves them to
negotiation): each costs a program as much as a small one.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from sleap_rtc.errors import ProtocolError

USUAL_FRAME = 64 * 1024
MAX_FRAME = 256 * 1024
_HEADER = struct.Struct("!BBHIQ")
HEADER_SIZE = _HEADER.size
MAX_PAYLOAD = MAX_FRAME - HEADER_SIZE


class FrameKind(IntEnum):
    """What a frame carries."""

    DATA = 1


class FrameFlag(IntFlag):
    """What a receiver must know beside the bytes."""

    NONE = 0
    LAST = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """A piece of a byte stream.

    Attributes:
        stream: the stream's id, 1 to 2³²-1.
        offset: where in the stream the payload begins, in bytes.
        payload: at most `MAX_PAYLOAD` bytes.
        flags: `FrameFlag.LAST` on the stream's final frame.
        kind: what the frame carries.
    """

    stream: int
    offset: int
    payload: bytes | memoryview
    flags: FrameFlag = FrameFlag.NONE
    kind: FrameKind = FrameKind.DATA

    def pack(self) -> bytes:
        """The frame as bytes.

        Raises:
            ProtocolError: if the payload is too long for one frame.
        """
        if len(self.payload) > MAX_PAYLOAD:
            raise ProtocolError(f"A frame carries at most {MAX_PAYLOAD} bytes.")
        return b"".join((_HEADER.pack(self.kind, self.flags, 0, self.stream, self.offset), self.payload))

    @classmethod
    def unpack(cls, data: bytes) -> "Frame":
        """Read a frame a peer sent; its payload is a view into `data`.

        Raises:
            ProtocolError: if `data` is no frame we know.
        """
        if not _HEADER.size <= len(data) <= MAX_FRAME:
            raise ProtocolError("A frame of a wrong size arrived.")
        kind, flags, zero, stream, offset = _HEADER.unpack_from(data)
        if kind != FrameKind.DATA or flags & ~int(FrameFlag.LAST) or zero or not stream:
            raise ProtocolError("A frame of an unknown kind arrived.")
        return cls(stream, offset, memoryview(data)[_HEADER.size :], FrameFlag(flags), FrameKind(kind))
