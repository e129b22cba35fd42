"""What every HTTP request meets: a bounded body in bounded time, and JSON read by our own rules."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signaling_server.errors import error_response
from signaling_server.limit_settings import Limits
from sleap_rtc.errors import ProtocolError
from sleap_rtc.protocol.codec import parse_json

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
# otherwise the server reads on, and throws away, for as long as the client sends
_HANG_UP = {"Connection": "close"}


class StrictRequest(Request):
    """A request whose JSON has no NaN, duplicate keys, surrogates or bottomless nesting."""

    async def json(self) -> Any:
        """Parse the body.

        Raises:
            HTTPException: 400 if it is not JSON by our rules.
        """
        try:
            return parse_json((await self.body()).decode())
        except (ProtocolError, UnicodeDecodeError) as error:
            sentence = error.sentence if isinstance(error, ProtocolError) else "The body is not UTF-8."
            raise HTTPException(400, sentence) from error


class StrictRoute(APIRoute):
    """A route that reads its body as a `StrictRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, given our kind of request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


class BodyGuard:
    """Middleware: refuses bodies that are too large, too slow or compressed, and adds the safety headers.

    Args:
        app: what comes next.
        limits: the bounds.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; WebSockets pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                named = {name.lower() for name, _ in headers}
                # a page says more exactly what it may load
                message["headers"] = headers + [header for header in _HEADERS if header[0] not in named]
            await send(message)

        headers = dict(scope["headers"])
        if headers.get(b"content-encoding", b"identity") != b"identity":
            response = error_response(ProtocolError("Compressed bodies are not accepted."))
            response.status_code = 415
            response.headers.update(_HANG_UP)
            await response(scope, receive, send_safely)
            return
        await self._app(scope, self._bounded(receive), send_safely)

    def _bounded(self, receive: Receive) -> Receive:
        received = 0
        complete = False
        deadline = time.monotonic() + self._limits.body_within

        async def bounded() -> Message:
            nonlocal received, complete
            if complete:  # past the body this waits for the client to leave, for as long as it takes
                return await receive()
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, "The body took too long to arrive.", _HANG_UP) from error
            received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received > self._limits.body:
                raise HTTPException(413, f"A body has at most {self._limits.body} bytes.", _HANG_UP)
            return message

        return bounded
