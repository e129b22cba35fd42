"""What the service writes about itself: lines for people or JSON for machines, without a secret in either.

One line a request that was refused or that changed something, and two a connection: who, from where, what, how it
ended. The request's id stands in each line that was written on its behalf, and in the answer's ``X-Request-ID``.
"""

import json
import logging
import secrets
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from signaling_server.security import RedactingFilter
from signaling_server.settings import Settings
from sleap_rtc.protocol.text import printable
from sleap_rtc.protocol.tokens import redact

logger = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
_request: ContextVar[str] = ContextVar("request", default="")
# uvicorn says so of every handshake we refuse, although it was answered as we wish: strangers would fill the log
_NOISE = "ASGI callable returned without completing handshake."
_OURS = ("signaling_server", "sleap_rtc")
_LONGEST_PATH = 200
_REFUSED = 400
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def set_up(settings: Settings, stream: TextIO | None = None) -> logging.Handler:
    """Send all log lines to `stream`, as the settings say; stderr without one.

    What libraries tell below a warning is never written: they log statements, headers and cookies.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JSON() if settings.log_format == "json" else _Text())
    # on the handler, not on a logger: records of child loggers pass no parent's filter
    handler.addFilter(RedactingFilter())
    handler.addFilter(lambda record: record.msg != _NOISE)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(settings.log_level.upper())
    return handler


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        facts = _facts(record)
        return f"{line} {' '.join(f'{name}={value}' for name, value in facts.items())}" if facts else line


class _JSON(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:  # the filter has made it, and cut out what is secret
            line["traceback"] = record.exc_text
        return json.dumps(line | _facts(record), ensure_ascii=True)


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = getattr(record, "facts", {})
    request = _request.get()
    return facts | ({"request": request} if request else {})


class RequestLog:
    """Middleware: gives each request its id, and writes the line about it.

    Args:
        app: what comes next. Whoever is recognised there goes into ``scope["state"]["actor"]``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        token = _request.set(request_id)
        began = time.monotonic()

        async def noting(message: Message) -> None:
            kind = message["type"]
            if kind in ("http.response.start", "websocket.http.response.start"):
                message["headers"] = [*message.get("headers", []), (REQUEST_ID.lower().encode(), request_id.encode())]
                _note(scope, message["status"], began)
            elif kind == "websocket.accept":
                _note(scope, 101, began)
            elif kind == "websocket.close":
                _note(scope, message.get("code", 1000), began)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            _request.reset(token)


def _note(scope: Scope, status: int, began: float) -> None:
    method = scope.get("method", "WS")
    if status < _REFUSED and method in _SAFE:
        return
    # never the query: what logs in a browser by way of another site stands there
    client = scope.get("client")
    facts = {
        "method": method,
        "path": _word(scope["path"]),
        "status": status,
        "address": _word(client[0]) if client else "unknown",
        "actor": scope.get("state", {}).get("actor", "-"),
        "ms": round((time.monotonic() - began) * 1000),
    }
    logger.info("request", extra={"facts": facts})


def _word(text: str) -> str:
    # one word in a line, whatever a stranger put there
    return redact("".join(printable(text, limit=_LONGEST_PATH).split()))
