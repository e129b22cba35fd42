"""Byte streams of a link: many at once over its lanes, each bounded by credit."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from sleap_rtc.errors import ConnectionLost, LaneLost, ProtocolError, SleapRTCError, TransferError
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.frames import HEADER_SIZE, Frame, FrameFlag
from sleap_rtc.protocol.link import StreamCredit, StreamReset
from sleap_rtc.protocol.streams import ReceiveCredit, SendCredit, StreamRequest

logger = logging.getLogger(__name__)

READ_SIZE = 1024 * 1024
FEW_FRAMES = 64
"""Frames of a stream that may be as small as they like."""
LEAST_PAYLOAD = 1024
"""Bytes that the others must carry on average: a frame takes memory beside its bytes, which no credit counts."""


class SendStream:
    """The sending end of a byte stream."""

    def __init__(self, streams: "Streams", request: StreamRequest, frame: int) -> None:
        self._streams = streams
        self._credit = SendCredit(request.window)
        self._payload = frame - HEADER_SIZE
        self._more = asyncio.Event()
        self._error: SleapRTCError | None = None
        self._finished = False
        self.number = request.stream
        self.lane = request.lane

    async def write(self, data: bytes | memoryview, *, last: bool = False) -> None:
        """Send `data`, of any length, waiting for the receiver's credit.

        Args:
            data: the bytes.
            last: whether the stream ends with them.

        Raises:
            ConnectionLost: if the link ended.
            LaneLost: if the lane did.
            SleapRTCError: whatever the receiver gave as its reason to stop.
        """
        view = memoryview(data)
        while view:
            size = min(await self._wait_for_credit(), len(view), READ_SIZE)
            await self._streams.send_frames(self.lane, self._frames(view[:size], last=last and size == len(view)))
            view = view[size:]

    def _frames(self, view: memoryview, *, last: bool) -> list[bytes]:
        frames = []
        for start in range(0, len(view), self._payload):
            payload = view[start : start + self._payload]
            self._finished = last and start + len(payload) == len(view)
            flags = FrameFlag.LAST if self._finished else FrameFlag.NONE
            frames.append(Frame(self.number, self._credit.spend(len(payload)), payload, flags).pack())
        return frames

    async def send(self, produce: Callable[["SendStream"], Awaitable[None]]) -> None:
        """Let `produce` write the whole stream; an error that is not the link's own ends this stream alone.

        Raises:
            ConnectionLost: if the link ended.
        """
        try:
            await produce(self)
            await self._finish()
        except ConnectionLost:
            raise
        except SleapRTCError as error:
            await self._give_up(error)
        except Exception:
            # a bug of ours must cost the peer an answer, not everybody else the link
            logger.exception("What a stream asked for could not be sent.")
            await self._give_up(SleapRTCError("The peer failed inside; its log says more."))

    async def _give_up(self, error: SleapRTCError) -> None:
        if self._streams.forget_sender(self.number):
            await self._streams.send_control(StreamReset(stream=self.number, reason=ErrorInfo.of(error)))

    async def _finish(self) -> None:
        if self._error:
            raise self._error
        if not self._finished:
            last = Frame(self.number, self._credit.sent, b"", FrameFlag.LAST)
            await self._streams.send_frames(self.lane, [last.pack()])
        self._streams.forget_sender(self.number)

    async def _wait_for_credit(self) -> int:
        while not self._error and not self._credit.available:
            self._more.clear()
            await self._more.wait()
        if self._error:
            raise self._error
        return self._credit.available

    def take_limit(self, limit: int) -> None:
        """Note the receiver's new limit."""
        self._credit.receive_limit(limit)
        self._more.set()

    def fail(self, error: SleapRTCError) -> None:
        """End the stream from outside."""
        self._error = error
        self._more.set()


class ReceiveStream:
    """The receiving end of a byte stream, which opened it."""

    def __init__(
        self, streams: "Streams", number: int, lane: int, window: int, on_bytes: Callable[[int], None]
    ) -> None:
        self._streams = streams
        self._credit = ReceiveCredit(window)
        self._on_bytes = on_bytes
        self._buffer: deque[bytes | memoryview] = deque()
        self._more = asyncio.Event()
        self._end = asyncio.Event()
        self._error: SleapRTCError | None = None
        self._frames = 0
        self.number = number
        self.lane = lane
        self.window = window

    async def read(self) -> bytes:
        """Return the next bytes, up to about 1 MiB at once; empty at the end.

        Raises:
            ConnectionLost: if the link ended first.
            LaneLost: if the lane did.
            SleapRTCError: whatever the sender gave as its reason to stop.
        """
        while not self._buffer and not self._credit.ended and not self._error:
            self._more.clear()
            await self._more.wait()
        if self._error:
            raise self._error
        parts, size = [], 0
        while self._buffer and size < READ_SIZE:
            size += len(self._buffer[0])
            parts.append(self._buffer.popleft())
        limit = self._credit.consume(size)
        if limit is not None:
            await self._streams.send_control(StreamCredit(stream=self.number, limit=limit))
        return b"".join(parts)

    async def read_all(self, at_most: int) -> bytes:
        """Return the whole stream.

        Raises:
            ProtocolError: if it is longer than `at_most` bytes.
        """
        found = bytearray()
        while part := await self.read():
            found += part
            if len(found) > at_most:
                raise ProtocolError(f"A stream is longer than the {at_most} bytes that were announced.")
        return bytes(found)

    async def parts(self) -> list[bytes | memoryview]:
        """Wait for the end of a stream that fits into its window, and return its bytes as they came.

        Raises:
            ConnectionLost: if the link ended first.
            LaneLost: if the lane did.
            SleapRTCError: whatever the sender gave as its reason to stop.
        """
        await self._end.wait()
        if self._error:
            raise self._error
        found = list(self._buffer)
        self._buffer.clear()
        return found

    async def close(self) -> None:
        """Be done with it; a sender still at work is told to stop."""
        if self._streams.forget_receiver(self.number) and not self._credit.ended and not self._error:
            reason = ErrorInfo.of(TransferError("The receiver wants no more of this."))
            await self._streams.send_control(StreamReset(stream=self.number, reason=reason))

    def take_frame(self, frame: Frame) -> None:
        """Keep a frame that arrived; ProtocolError if it breaks the credit, or is one of too many small ones."""
        self._credit.receive_frame(frame)
        self._frames += 1
        if self._frames > FEW_FRAMES + self._credit.received // LEAST_PAYLOAD:
            raise ProtocolError("A stream came in so small frames that they would fill the memory.")
        self._on_bytes(len(frame.payload))
        if frame.payload:
            self._buffer.append(frame.payload)
        self._more.set()
        if self._credit.ended:
            self._end.set()

    def fail(self, error: SleapRTCError) -> None:
        """End the stream from outside."""
        if self._credit.ended:
            return
        self._error = error
        self._more.set()
        self._end.set()

    async def __aenter__(self) -> "ReceiveStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Streams:
    """All byte streams of one link.

    Args:
        first: the first stream id this end gives out; ids go up by two, so that both ends never collide.
        send_control: sends a control message.
        send_packed: sends packed frames over the lane of that number.
    """

    MAX_AT_ONCE = 512

    def __init__(
        self,
        first: int,
        send_control: Callable[[Message], Awaitable[None]],
        send_packed: Callable[[int, Iterable[bytes]], Awaitable[None]],
    ) -> None:
        self._next = first
        self._first = first
        self.send_control = send_control
        self._send_packed = send_packed
        self._receiving: dict[int, ReceiveStream] = {}
        self._sending: dict[int, SendStream] = {}
        self._ended: SleapRTCError | None = None

    def open(self, lane: int, window: int, on_bytes: Callable[[int], None]) -> ReceiveStream:
        """Open a stream to receive on; its `number` goes to the sender in a request.

        Args:
            lane: the number of the lane it comes over.
            window: bytes that may come before anything was read.
            on_bytes: told the bytes of each frame that came.
        """
        if self._ended:
            raise self._ended
        stream = ReceiveStream(self, self._next, lane, window, on_bytes)
        self._receiving[stream.number] = stream
        self._next += 2
        return stream

    def send_on(self, request: StreamRequest, frame: int) -> SendStream:
        """Return the sending end of a stream that the other side opened.

        Args:
            request: what it asked.
            frame: bytes of the largest frame to send it in.

        Raises:
            ProtocolError: if the number is not the other side's to give, or in use.
        """
        if self._ended:
            raise self._ended
        number = request.stream
        if number % 2 == self._first % 2 or number in self._sending or len(self._sending) >= self.MAX_AT_ONCE:
            raise ProtocolError("A stream was asked for under a number that cannot be used.")
        stream = self._sending[number] = SendStream(self, request, frame)
        return stream

    async def send_frames(self, lane: int, frames: Iterable[bytes]) -> None:
        """Send packed frames over a lane."""
        await self._send_packed(lane, frames)

    def take_frame(self, lane: int, data: bytes) -> None:
        """Hand a lane's message to its stream.

        Raises:
            ProtocolError: if it is no frame, comes over another lane, or belongs to no stream that ever was.
        """
        frame = Frame.unpack(data)
        stream = self._receiving.get(frame.stream)
        if stream and stream.lane == lane:
            stream.take_frame(frame)
        elif stream or frame.stream % 2 != self._first % 2 or frame.stream >= self._next:
            raise ProtocolError("A frame arrived for a stream that nobody opened there.")
        # else: it was closed here while the frame was on its way

    def take_credit(self, message: StreamCredit) -> None:
        """Hand a new limit to its stream; one for a finished stream changes nothing."""
        if stream := self._sending.get(message.stream):
            stream.take_limit(message.limit)

    def take_reset(self, message: StreamReset) -> None:
        """End the stream that the other side gave up."""
        error = message.reason.as_exception()
        if sending := self._sending.pop(message.stream, None):
            sending.fail(error)
        elif receiving := self._receiving.pop(message.stream, None):
            receiving.fail(error)

    def lane_of(self, number: int) -> int | None:
        """The lane that a stream we receive comes over."""
        stream = self._receiving.get(number)
        return stream.lane if stream else None

    def is_sending(self, lane: int) -> bool:
        """Whether we are sending over the lane of that number."""
        return any(stream.lane == lane for stream in self._sending.values())

    def lane_lost(self, lane: int) -> None:
        """What was under way on a lane will not arrive."""
        error = LaneLost("The lane that this came over ended.")
        for streams in (self._receiving, self._sending):
            for number in [number for number, stream in streams.items() if stream.lane == lane]:
                streams.pop(number).fail(error)

    def forget_sender(self, number: int) -> bool:
        """Drop a sending end; tell whether it was still there."""
        return self._sending.pop(number, None) is not None

    def forget_receiver(self, number: int) -> bool:
        """Drop a receiving end; tell whether it was still there."""
        return self._receiving.pop(number, None) is not None

    def end(self, error: SleapRTCError) -> None:
        """The link is gone: every stream fails with `error`."""
        self._ended = error
        for receiving in self._receiving.values():
            receiving.fail(error)
        for sending in self._sending.values():
            sending.fail(error)
        self._receiving.clear()
        self._sending.clear()
