"""Addresses of TURN servers taken apart (RFC 7065)."""

import re
from dataclasses import dataclass

from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.transport.paths import Carrier

_URL = re.compile(
    r"(?P<scheme>turns?):(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<host>[^?:\[\]@/]+))(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE,
)
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
    if match is None:
        return None
    secure = match["scheme"].lower() == "turns"
    transport = (match["transport"] or ("tcp" if secure else "udp")).lower()
    if secure and transport == "udp":
        return None
    carrier: Carrier = "tls" if secure else "tcp" if transport == "tcp" else "udp"
    port = int(match["port"] or _PORTS[carrier])
    host = match["ipv6"] or match["host"]
    return TurnServer(url, host, port, carrier, server.username, server.credential)
