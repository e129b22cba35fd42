"""The error tree as HTTP: one JSON form for every refusal, whoever raised it."""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from sleap_rtc.errors import (
    AuthenticationError,
    BusyError,
    ConfigError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PackageError,
    ProtocolError,
    SleapRTCError,
    StorageError,
    UnreachableError,
    UsageError,
)
from sleap_rtc.protocol.text import printable

logger = logging.getLogger(__name__)

_STATUS: dict[type[SleapRTCError], int] = {
    AuthenticationError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    UsageError: 422,
    ConfigError: 422,
    PackageError: 422,
    BusyError: 429,
    ProtocolError: 400,
    StorageError: 503,
    UnreachableError: 503,
    SleapRTCError: 500,
}
_CODES = {400: "protocol", 401: "authentication", 403: "forbidden", 404: "not_found", 429: "busy"}
# kinds of pydantic's problems whose words are about what is allowed, and never hold what was given
_TELLING = ("missing", "string_", "greater_than", "less_than", "too_long", "too_short", "extra_forbidden")


def status_of(error: SleapRTCError) -> int:
    """The HTTP status that says what `error` does."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def error_response(error: SleapRTCError) -> JSONResponse:
    """The HTTP answer for an error of ours."""
    return _response(status_of(error), error.code, error.sentence)


def install(app: FastAPI) -> None:
    """Make `app` answer every error in this form."""
    app.add_exception_handler(SleapRTCError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def _response(status: int, code: str, sentence: str) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
    return JSONResponse({"error": {"code": code, "sentence": sentence}}, status_code=status, headers=headers)


async def _ours(_request: Request, error: Exception) -> Response:
    assert isinstance(error, SleapRTCError)  # noqa: S101 - it is registered for nothing else
    return error_response(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for nothing else
    problem = error.errors()[0]
    # the place but never the value: it may be a secret in the wrong field
    where = ".".join(str(part) for part in problem["loc"])[:200]
    reason = ""
    if problem["type"].startswith(_TELLING):
        text = str(problem["msg"])
        reason = f": {text[:1].lower()}{text[1:]}"
    return _response(422, "usage", f"The request has a wrong value at '{where}'{reason}.")


async def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for nothing else
    response = _response(error.status_code, _CODES.get(error.status_code, "usage"), str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _unexpected(request: Request, error: Exception) -> Response:
    path = " ".join(printable(request.url.path, limit=200).split())  # a stranger wrote it
    logger.error("%s %s failed", request.method, path, exc_info=error)
    return _response(500, "internal", "The service failed at this request. Its operator finds the reason in its log.")
