"""One WebSocket from accept to close: a reader, a writer, and one place that ends both."""

import asyncio
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from signaling_server.counts import CLOSES, Counts
from signaling_server.limit_settings import Limits
from signaling_server.limits import TokenBucket
from signaling_server.signaling.members import Member
from signaling_server.signaling.outbox import SLOW_CONSUMER
from signaling_server.signaling.routing import Router
from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.codec import ErrorInfo, Failure
from sleap_rtc.protocol.signaling import CLOSE_REPLACED, CLOSE_RESTART, CLOSE_REVOKED, CLOSE_UNPROVEN, SIGNALING

logger = logging.getLogger(__name__)

NOT_TEXT = 1003
TOO_LARGE = 1009
WITHOUT_CODE = 1006
KNOWN_CODES = frozenset(
    {
        *(1000, 1001, WITHOUT_CODE, NOT_TEXT, TOO_LARGE, CLOSE_RESTART, SLOW_CONSUMER),
        *(CLOSE_UNPROVEN, CLOSE_REVOKED, CLOSE_REPLACED),
    }
)
"""Codes that are counted by themselves; peers may make up any other."""


class Connection:
    """Carries one member's messages, in and out.

    Args:
        websocket: an accepted socket.
        member: whose it is.
        router: what to do with a message.
        limits: the bounds.
        counts: where it counts how it ended.
    """

    def __init__(self, websocket: WebSocket, member: Member, router: Router, limits: Limits, counts: Counts) -> None:
        self._websocket = websocket
        self._member = member
        self._router = router
        self._limits = limits
        self._counts = counts
        self._left_with = WITHOUT_CODE

    async def run(self) -> None:
        """Serve until the peer leaves or is made to leave."""
        outbox = self._member.outbox
        loop = asyncio.get_running_loop()
        lateness = loop.call_later(self._limits.register_within, self._check_registered)
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read())
                writer = tasks.create_task(self._write())
                await outbox.ended.wait()
                reader.cancel()
                # what was queued before the end still goes out, but a peer that does not read holds nobody up
                await asyncio.wait([writer], timeout=self._limits.close_within)
                writer.cancel()
            await self._close()
        finally:
            lateness.cancel()
            close = self._member.outbox.close
            code = self._left_with if close is None else close.code
            self._counts.add(CLOSES, code=code if code in KNOWN_CODES else "other")

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        bucket = TokenBucket(self._limits.rate, self._limits.burst, loop.time())
        while True:
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                self._left_with = event.get("code", WITHOUT_CODE)
                self._member.outbox.abandon()
                return
            # not read while it waits: a peer in a hurry is slowed down by TCP, and loses nothing
            await asyncio.sleep(bucket.take(loop.time()))
            if event.get("text") is None:
                self._member.outbox.end(NOT_TEXT, "messages are JSON text")
                return
            await self._take(event["text"])

    async def _take(self, text: str) -> None:
        most = self._limits.unproven_message if self._unproven else self._limits.message
        if len(text.encode()) > most:
            self._member.outbox.end(TOO_LARGE, f"a message has at most {most} bytes")
            return
        try:
            message = SIGNALING.decode(text)
        except ProtocolError as error:
            self._member.send(Failure(error=ErrorInfo.of(error)))
            return
        if message is not None:
            await self._router.handle(self._member, message)

    async def _write(self) -> None:
        try:
            while (text := await self._member.outbox.next()) is not None:
                await self._websocket.send_text(text)
        except WebSocketDisconnect:
            self._member.outbox.abandon()

    async def _close(self) -> None:
        close = self._member.outbox.close
        if close is None or self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        try:
            async with asyncio.timeout(self._limits.close_within):
                await self._websocket.close(close.code, close.reason)
        except (TimeoutError, WebSocketDisconnect):
            logger.info("%s was gone before its socket was closed", self._member.presence)

    @property
    def _unproven(self) -> bool:
        return self._member.principal.role == "worker" and self._member.worker is None

    def _check_registered(self) -> None:
        if self._unproven:
            self._member.outbox.end(CLOSE_UNPROVEN, "the worker did not register in time")
