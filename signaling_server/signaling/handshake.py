"""What a handshake must look like, and where in it a credential may stand: never in the address, which gets logged."""

from collections.abc import Callable
from typing import NamedTuple

from fastapi import WebSocket

from signaling_server.auth.browser import Site
from signaling_server.deps import get_service, public_url
from signaling_server.security import UNKNOWN_CREDENTIAL, bearer, token_kind
from sleap_rtc.errors import AuthenticationError, ProtocolError
from sleap_rtc.protocol.signaling import SUBPROTOCOL
from sleap_rtc.protocol.tokens import TokenKind, redact

TICKET = "ticket."
"""What stands before a ticket among the subprotocols."""


class Place(NamedTuple):
    """Somewhere in a handshake, and what may stand there: a credential is good in its own place alone."""

    read: Callable[[WebSocket], str | None]
    kinds: frozenset[TokenKind]


def _ticket(websocket: WebSocket) -> str | None:
    found = [name for name in websocket.scope["subprotocols"] if name.startswith(TICKET)]
    if len(found) > 1:
        raise AuthenticationError(UNKNOWN_CREDENTIAL)
    return found[0].removeprefix(TICKET) if found else None


def _header(websocket: WebSocket) -> str | None:
    header = websocket.headers.get("authorization")
    return None if header is None else bearer(header)


def _cookie(websocket: WebSocket) -> str | None:
    if not websocket.cookies:
        return None
    site = Site.at(public_url(get_service(websocket), websocket))
    # a browser brings its cookie wherever a page sends it: only ours may
    own = websocket.headers.get("origin") == site.origin
    return websocket.cookies.get(site.login_cookie) if own else None


PLACES = (
    Place(_ticket, frozenset({"ticket"})),
    Place(_header, frozenset({"worker", "session", "access"})),
    Place(_cookie, frozenset({"cookie"})),
)
"""Where a credential is looked for, in this order."""


def check_handshake(websocket: WebSocket) -> None:
    """Check the version that a peer speaks, and that no page of another site opened this.

    Raises:
        ProtocolError: if it speaks another version.
        AuthenticationError: if another site's page is behind it.
    """
    if SUBPROTOCOL not in websocket.scope["subprotocols"]:
        raise ProtocolError(
            f"This service speaks {SUBPROTOCOL} and you do not. Upgrade the older of the two: pip install -U sleap-rtc"
        )
    origin = websocket.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != websocket.headers.get("host"):
        raise AuthenticationError("A page of another site may not connect here.")


def shown_credential(websocket: WebSocket) -> str:
    """The credential that a peer shows.

    Raises:
        AuthenticationError: if there is none, or it stands where it must not; one sentence for all.
    """
    for name, value in websocket.query_params.multi_items():
        if redact(name) != name or redact(value) != value:
            raise AuthenticationError(UNKNOWN_CREDENTIAL)
    for place in PLACES:
        text = place.read(websocket)
        if text is not None:
            if token_kind(text) not in place.kinds:
                raise AuthenticationError(UNKNOWN_CREDENTIAL)
            return text
    raise AuthenticationError(UNKNOWN_CREDENTIAL)
