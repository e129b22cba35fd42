"""Who may speak to the page's server on this machine: whoever has the secret part of its address, and no other site.

Other users of the machine reach every port of it, and so does each page that a browser shows, which may even lend the
server a name of its own (DNS rebinding). What comes without the secret is answered with a bare 404.
"""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from signaling_server.dashboard.assets import HEADERS
from signaling_server.errors import error_response
from sleap_rtc.errors import ForbiddenError

SAFE_METHODS = frozenset({"GET", "HEAD"})
PAGE = "/dashboard/"
# what the page asks for needs nothing that is escaped: whatever else stands there is a trick, or a mistake
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/?")
_TOKEN_BYTES = 32
_HTTP_PORT = 80


@dataclass
class Address:
    """Where the page's server is, and what its address keeps to itself.

    Attributes:
        port: where it listens.
        token: the first part of every path.
        door: what leads to the page once; empty when it has done so.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)
    door: str = field(default="", repr=False)

    @property
    def url(self) -> str:
        """The page's address."""
        return f"http://127.0.0.1:{self.port}/{self.token}{PAGE}"

    def new_door(self) -> str:
        """An address that leads to the page, once.

        Programs that are started are seen by every user of the machine, with the addresses that they are given.
        """
        self.door = secrets.token_urlsafe(_TOKEN_BYTES)
        return f"http://127.0.0.1:{self.port}/{self.door}"

    def opened_by(self, word: str) -> bool:
        """Whether `word` opens the door, which is closed then."""
        opened = bool(self.door) and hmac.compare_digest(word.encode(), self.door.encode())
        if opened:
            self.door = ""
        return opened

    def is_token(self, word: str) -> bool:
        """Whether `word` is the secret part of the address."""
        return hmac.compare_digest(word.encode(), self.token.encode())

    @property
    def hosts(self) -> frozenset[str]:
        """What this machine is called, with the port, in the Host header (RFC 9110 §7.2)."""
        names = ("127.0.0.1", "localhost", "[::1]")
        ports = {f":{self.port}"} | ({""} if self.port == _HTTP_PORT else set())
        return frozenset(name + port for name in names for port in ports)


class Guard:
    """Middleware, the outermost: lets only requests in that know the address, and come from no other site's page.

    Inside, paths begin behind the secret part.

    Args:
        app: what comes next.
        address: where the server is.
    """

    def __init__(self, app: ASGIApp, address: Address) -> None:
        self._app = app
        self._address = address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        headers = Headers(scope=scope)
        if headers.get("host", "").lower() not in self._address.hosts:
            await _nothing()(scope, receive, send)
            return
        raw: bytes = scope["raw_path"]
        word, slash, rest = raw.removeprefix(b"/").decode("latin-1").partition("/")
        asks = scope["type"] == "http" and scope["method"] == "GET"
        if asks and not slash and self._address.opened_by(word):
            await _enter(self._address)(scope, receive, send)
            return
        path = f"/{rest}"
        if not self._address.is_token(word) or not slash or not _is_plain(path):
            await _nothing()(scope, receive, send)
            return
        if not _is_of_own_page(scope, headers, path):
            refusal = ForbiddenError("This request came from another site's page, so nothing was done.")
            await error_response(refusal)(scope, receive, send)
            return
        inside = dict(scope) | {"path": path, "raw_path": path.encode()}
        await self._app(inside, receive, send)


def _is_plain(path: str) -> bool:
    return _PLAIN_PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))


def _is_of_own_page(scope: Scope, headers: Headers, path: str) -> bool:
    own = f"http://{headers['host'].lower()}"
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if scope["type"] == "websocket":
        # not every browser says where a WebSocket begins, but each names the page's origin
        return origin == own and site in (None, "same-origin")
    if scope["method"] not in SAFE_METHODS:
        return origin == own and site == "same-origin"
    # the page itself is opened from anywhere: by hand, or from a terminal
    return origin in (None, own) and (site in (None, "same-origin", "none") or path == PAGE)


def _nothing() -> Response:
    # of a handshake that is refused, too: Starlette then speaks of it as such
    return Response(status_code=HTTPStatus.NOT_FOUND)


def _enter(address: Address) -> Response:
    return RedirectResponse(address.url, HTTPStatus.SEE_OTHER, headers=dict(HEADERS) | {"Cache-Control": "no-store"})
