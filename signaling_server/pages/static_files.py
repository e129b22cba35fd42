"""The few files that pages load, from the package."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

router = APIRouter(include_in_schema=False)

_SCRIPT = "text/javascript; charset=utf-8"
_TYPES = {"style.css": "text/css; charset=utf-8", "enrol.js": _SCRIPT, "login.js": _SCRIPT}
_HEADERS = {"Cache-Control": "public, max-age=300"}


@router.get("/static/{name}")
async def static_file(name: str) -> Response:
    """One file of the pages."""
    if name not in _TYPES:
        raise HTTPException(404)
    return Response(_content(name), media_type=_TYPES[name], headers=_HEADERS)


@cache
def _content(name: str) -> bytes:
    return (files("signaling_server.pages") / "static" / name).read_bytes()
