"""Byte streams of a link: many at once over its lanes, each bounded by credit."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from sleap_rtc.errors import ConnectionLost, ProtocolError, SleapRTCError, TransferError
from sleap_rtc.protocol.codec import ErrorInfo, Message
from sleap_rtc.protocol.frames import MAX_PAYLOAD, Frame, FrameFlag
from sleap_rtc.protocol.link import StreamCredit, StreamReset
from sleap_rtc.protocol.streams import ReceiveCredit, SendCredit

READ_SIZE = 1024 * 1024


class SendStream:
    """The sending end of a byte stream."""

    def __init__(self, streams: "Streams", number: int) -> None:
        self._streams = streams
        self._credit = SendCredit()
        self._more = asyncio.Event()
        self._error: SleapRTCError | None = None
        self.number = number

    async def write(self, data: bytes | memoryview) -> None:
        """Send `data`, of any length, waiting for the receiver's credit.

        Raises:
            ConnectionLost: if the link ended.
            SleapRTCError: whatever the receiver gave as its reason to stop.
        """
        view = memoryview(data)
        while view:
            size = min(await self._wait_for_credit(), MAX_PAYLOAD, len(view))
            await self._streams.send_frame(Frame(self.number, self._credit.spend(size), view[:size]))
            view = view[size:]

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
            if self._streams.forget_sender(self.number):
                await self._streams.send_control(StreamReset(stream=self.number, reason=ErrorInfo.of(error)))

    async def _finish(self) -> None:
        if self._error:
            raise self._error
        await self._streams.send_frame(Frame(self.number, self._credit.sent, b"", FrameFlag.LAST))
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

    def __init__(self, streams: "Streams", number: int) -> None:
        self._streams = streams
        self._credit = ReceiveCredit()
        self._buffer: deque[bytes | memoryview] = deque()
        self._more = asyncio.Event()
        self._error: SleapRTCError | None = None
        self.number = number

    async def read(self) -> bytes:
        """Return the next bytes, up to about 1 MiB at once; empty at the end.

        Raises:
            ConnectionLost: if the link ended first.
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

    async def close(self) -> None:
        """Be done with it; a sender still at work is told to stop."""
        if self._streams.forget_receiver(self.number) and not self._credit.ended and not self._error:
            reason = ErrorInfo.of(TransferError("The receiver wants no more of this."))
            await self._streams.send_control(StreamReset(stream=self.number, reason=reason))

    def take_frame(self, frame: Frame) -> None:
        """Keep a frame that arrived; ProtocolError if it breaks the credit."""
        self._credit.receive_frame(frame)
        if frame.payload:
            self._buffer.append(frame.payload)
        self._more.set()

    def fail(self, error: SleapRTCError) -> None:
        """End the stream from outside."""
        self._error = error
        self._more.set()

    async def __aenter__(self) -> "ReceiveStream":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Streams:
    """All byte streams of one link.

    Args:
        first: the first stream id this end gives out; ids go up by two, so that both ends never collide.
        send_control: sends a control message.
        send_frame: sends a packed frame over a lane, waiting for one to be open.
    """

    MAX_AT_ONCE = 256

    def __init__(
        self,
        first: int,
        send_control: Callable[[Message], Awaitable[None]],
        send_packed: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._next = first
        self._first = first
        self.send_control = send_control
        self._send_packed = send_packed
        self._receiving: dict[int, ReceiveStream] = {}
        self._sending: dict[int, SendStream] = {}
        self._ended: SleapRTCError | None = None

    def open(self) -> ReceiveStream:
        """Open a stream to receive on; its `number` goes to the sender in a request."""
        if self._ended:
            raise self._ended
        stream = ReceiveStream(self, self._next)
        self._receiving[stream.number] = stream
        self._next += 2
        return stream

    def send_on(self, number: int) -> SendStream:
        """Return the sending end of a stream that the other side opened.

        Raises:
            ProtocolError: if the number is not the other side's to give, or in use.
        """
        if self._ended:
            raise self._ended
        if number % 2 == self._first % 2 or number in self._sending or len(self._sending) >= self.MAX_AT_ONCE:
            raise ProtocolError("A stream was asked for under a number that cannot be used.")
        stream = self._sending[number] = SendStream(self, number)
        return stream

    async def send_frame(self, frame: Frame) -> None:
        """Send a frame over a lane."""
        await self._send_packed(frame.pack())

    def take_frame(self, data: bytes) -> None:
        """Hand a lane's message to its stream.

        Raises:
            ProtocolError: if it is no frame, or belongs to no stream that ever was.
        """
        frame = Frame.unpack(data)
        stream = self._receiving.get(frame.stream)
        if stream:
            stream.take_frame(frame)
        elif frame.stream % 2 != self._first % 2 or frame.stream >= self._next:
            raise ProtocolError("A frame arrived for a stream that nobody opened.")
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
