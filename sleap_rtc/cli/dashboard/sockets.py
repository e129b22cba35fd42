"""The page's WebSockets to the service, passed on message by message with this machine's login."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.frames import CloseCode

from signaling_server.errors import error_response
from sleap_rtc.cli.dashboard.requests import Upstream
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ProtocolError, SleapRTCError
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.signaling import CLOSE_RESTART, SUBPROTOCOL
from sleap_rtc.signaling.policy import classify
from sleap_rtc.signaling.socket import open_connection

NOT_TEXT = 1003
_PRIVATE_CODES = range(3000, 5000)
# what RFC 6455 §7.4.1 lets an endpoint say itself
_SAYABLE = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})


async def pass_messages(websocket: WebSocket, upstream: Upstream, timeouts: Timeouts) -> None:
    """Connect a page with the service, until one of them hangs up; the other one is told why.

    Args:
        websocket: the page's, not yet accepted; who opens it was checked by the `Guard`.
        upstream: the service.
        timeouts: waiting times.
    """
    try:
        room = _room(websocket)
        async with _connected(upstream, timeouts, room) as service:
            await websocket.accept(subprotocol=SUBPROTOCOL)
            await _converse(websocket, service)
    except (OSError, WebSocketException, SleapRTCError) as error:
        refusal = error if isinstance(error, SleapRTCError) else classify(error, upstream.address.url).error
        await _refuse(websocket, refusal)


def _room(websocket: WebSocket) -> str:
    if SUBPROTOCOL not in websocket.scope["subprotocols"]:
        raise ProtocolError(f"The dashboard speaks {SUBPROTOCOL}. Reload the page.")
    asked = websocket.query_params.multi_items()
    if len(asked) != 1 or asked[0][0] != "room" or not is_id("room", asked[0][1]):
        raise ProtocolError("A WebSocket of the dashboard enters one room, named by its id: ?room=r_…")
    return asked[0][1]


@asynccontextmanager
async def _connected(upstream: Upstream, timeouts: Timeouts, room: str) -> AsyncIterator[ClientConnection]:
    upstream.address.check_private()
    token = await upstream.account.token()
    try:
        connection = await open_connection(upstream.address, token, timeouts, room)
    except InvalidStatus as error:
        refused = error.response.status_code == HTTPStatus.UNAUTHORIZED
        another = await upstream.account.renewed(token, connected=False) if refused else None
        if another is None:
            raise
        connection = await open_connection(upstream.address, another, timeouts, room)
    try:
        yield connection
    finally:
        await connection.close()


async def _converse(page: WebSocket, service: ClientConnection) -> None:
    async with asyncio.TaskGroup() as tasks:
        ways = {tasks.create_task(_up(page, service)), tasks.create_task(_down(page, service))}
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()


async def _up(page: WebSocket, service: ClientConnection) -> None:
    while True:
        event = await page.receive()
        if event["type"] == "websocket.disconnect":
            await service.close(_sayable(event.get("code"), CloseCode.NORMAL_CLOSURE))
            return
        text = event.get("text")
        if text is None:
            await _hang_up(page, NOT_TEXT, "messages are JSON text")
            return
        with suppress(ConnectionClosed):  # the other way hears why
            await service.send(text)


async def _down(page: WebSocket, service: ClientConnection) -> None:
    try:
        while isinstance(text := await service.recv(), str):
            await page.send_text(text)
        await _hang_up(page, NOT_TEXT, "the service sent bytes where text is spoken")
    except WebSocketDisconnect:  # the other way hears of it
        return
    except ConnectionClosed as error:
        # of a service that vanished without a word the page hears what it hears of one that restarts: come again
        code, reason = (error.rcvd.code, error.rcvd.reason) if error.rcvd else (CLOSE_RESTART, "")
        await _hang_up(page, _sayable(code, CLOSE_RESTART), reason)


async def _hang_up(page: WebSocket, code: int, reason: str) -> None:
    if page.application_state is WebSocketState.CONNECTED:
        with suppress(WebSocketDisconnect):
            await page.close(code, reason)


def _sayable(code: int | None, otherwise: int) -> int:
    return code if code is not None and (code in _SAYABLE or code in _PRIVATE_CODES) else otherwise


async def _refuse(page: WebSocket, error: SleapRTCError) -> None:
    if page.application_state is WebSocketState.CONNECTING:
        await page.send_denial_response(error_response(error))
