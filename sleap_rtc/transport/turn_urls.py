"""Addresses of STUN and TURN servers taken apart (RFC 7064, 7065)."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.transport.paths import Carrier

log = logging.getLogger(__name__)

_HOST = (
    r"(?:\[(?P<ipv6>[0-9a-f:.]{2,45})\]|(?P<host>[0-9a-z_-]{1,63}(?:\.[0-9a-z_-]{1,63})*))(?::(?P<port>[0-9]{1,5}))?"
)
_URL = re.compile(rf"(?P<scheme>turns?):{_HOST}(?:\?transport=(?P<transport>udp|tcp))?", re.IGNORECASE | re.ASCII)
_STUN = re.compile(rf"stuns?:{_HOST}", re.IGNORECASE | re.ASCII)
_MAX_HOST = 253
_PORTS: dict[Carrier, int] = {"udp": 3478, "tcp": 3478, "tls": 5349}


@dataclass(frozen=True)
class TurnServer:
    """One address of a TURN server, and what it wants to see.

    Attributes:
        url: as it was given.
        host: a name or an address.
        port: where it listens.
        carrier: what carries packets there.
        username: for its credentials.
        credential: what goes with it.
    """

    url: str
    host: str
    port: int
    carrier: Carrier
    username: str | None
    credential: str | None


def turn_server(server: IceServer, url: str) -> TurnServer | None:
    """One of a server's addresses; None if it cannot be read, or is TLS over UDP, which no engine speaks."""
    match = _URL.fullmatch(url)
    if match is None or not _is_place(match):
        return None
    secure = match["scheme"].lower() == "turns"
    transport = (match["transport"] or ("tcp" if secure else "udp")).lower()
    if secure and transport == "udp":
        return None
    carrier: Carrier = "tls" if secure else "tcp" if transport == "tcp" else "udp"
    port = int(match["port"] or _PORTS[carrier])
    host = match["ipv6"] or match["host"]
    return TurnServer(url, host, port, carrier, server.username, server.credential)


def readable(servers: Iterable[IceServer]) -> list[IceServer]:
    """The same servers without addresses that no engine can read: of one among them they would make no offer at all."""
    found = []
    for server in servers:
        urls = [url for url in server.urls if _is_readable(server, url)]
        if len(urls) < len(server.urls):
            log.warning("The service names STUN or TURN servers whose addresses cannot be read; they are left out.")
        if urls:
            found.append(server.model_copy(update={"urls": urls}))
    return found


def _is_readable(server: IceServer, url: str) -> bool:
    stun = _STUN.fullmatch(url)
    return turn_server(server, url) is not None if stun is None else _is_place(stun)


def _is_place(match: re.Match[str]) -> bool:
    port = match["port"]
    return len(match["host"] or "") <= _MAX_HOST and (port is None or 0 < int(port) < 2**16)
