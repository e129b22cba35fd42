"""How the page's files are answered, whoever serves them: the service, or ``sleap-rtc dashboard``."""

from http import HTTPStatus
from typing import Literal

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel

from signaling_server.dashboard.assets import HEADERS, asset
from sleap_rtc.errors import NotFoundError


class PageOut(BaseModel):
    """Where the page is.

    Attributes:
        kind: ``service`` where the service itself serves it, ``loopback`` where ``sleap-rtc dashboard`` does.
        server: the address of the service, for commands that are shown.
        version: of whoever serves the page.
        relay_only: whether its links may use TURN servers alone, which whoever starts ``sleap-rtc dashboard`` can say.
    """

    kind: Literal["service", "loopback"]
    server: str
    version: str
    relay_only: bool = False


def page_answer(about: PageOut) -> Response:
    """What the page is told about where it is."""
    return Response(about.model_dump_json(), media_type="application/json", headers=dict(HEADERS))


def file_answer(request: Request, path: str) -> Response:
    """One file of the page, or that the browser has it already (RFC 9110 §13.1.2).

    Args:
        request: the browser's.
        path: where the file lies below ``static/``.

    Raises:
        NotFoundError: if there is no such file.
    """
    found = asset(path)
    if found is None:
        raise NotFoundError("The dashboard has no such file.")
    if request.headers.get("if-none-match") == found.etag:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=found.headers)
    return Response(found.content, media_type=found.media_type, headers=found.headers)
