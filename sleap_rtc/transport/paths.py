"""Which way a connection goes, and why there is none: what is known of it on this side."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Literal

from sleap_rtc.errors import UnreachableError
from sleap_rtc.protocol.sdp import IceServer, place_of

Way = Literal["host", "reflexive", "relay"]
"""How an end is reached: at an address of its machine, at one that a router gives it, or through a relay."""
Carrier = Literal["udp", "tcp", "tls"]
"""What carries packets to a relay."""

_WAYS: dict[str, Way] = {"host": "host", "srflx": "reflexive", "prflx": "reflexive", "relay": "relay"}
RELAY_ONLY = 'Links may go through relays alone here (ice_policy = "relay", or --relay-only)'


_PRIVATE = [
    ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128")
]
"""Networks whose addresses no router gives to others (RFC 1918, RFC 4193), and those of links and of one machine."""


class Told:
    """What the other side said of its addresses."""

    def __init__(self) -> None:
        # the filter of candidates bounds them
        self._types: dict[tuple[str, int], str] = {}

    def note(self, candidate: str) -> None:
        """Keep what a checked candidate says."""
        host, port, kind = place_of(candidate)
        self._types[_spelled(host), port] = kind

    def type_of(self, kind: str, host: str | None, port: int | None) -> str:
        """What an address of the other side is.

        An engine calls it ``prflx`` (RFC 8445, section 7.3.1.3) when packets came from there before the other side
        told of it, which may be so of any: then it is what the other side said. If it said nothing, a private address
        is that of a machine, and so is one of which nothing is known, for no more is then said than that the way is
        direct.

        Args:
            kind: what the engine calls it.
            host: its address; libwebrtc keeps those to itself that it was not told of.
            port: its port.
        """
        if kind != "prflx":
            return kind
        if host is None:
            told = {said for (_, at), said in self._types.items() if at == port}
            return told.pop() if len(told) == 1 else "host"
        said = None if port is None else self._types.get((_spelled(host), port))
        return said or ("host" if _is_private(host) else kind)


def _is_private(host: str) -> bool:
    address = ip_address(host)
    return any(address in network for network in _PRIVATE)


def _spelled(host: str) -> str:
    try:
        return str(ip_address(host))  # IPv6 has several ways to write one
    except ValueError:  # <uuid>.local
        return host


@dataclass(frozen=True)
class NetworkPath:
    """The way that a connection's packets take.

    Attributes:
        local: how this end is reached.
        remote: how the other one is.
        carrier: how this end reaches its relay; None where it uses none.
    """

    local: Way
    remote: Way
    carrier: Carrier | None = None

    @classmethod
    def of(cls, local: str, remote: str, carrier: Carrier | None) -> "NetworkPath":
        """The path between candidates of these types, as ICE writes them."""
        ours = _WAYS.get(local, "host")
        return cls(ours, _WAYS.get(remote, "host"), carrier if ours == "relay" else None)

    @property
    def way(self) -> Way:
        """The path as a whole: through a relay if either end is behind one, else through a router, else direct."""
        ends = (self.local, self.remote)
        return next((way for way in ("relay", "reflexive") if way in ends), "host")

    def __str__(self) -> str:
        """The end of a sentence that begins with "The link is"."""
        if self.local == "relay":
            return f"relayed over {(self.carrier or 'udp').upper()}"
        if self.remote == "relay":
            return "relayed on the other side"
        return "direct, through routers" if self.way == "reflexive" else "direct"


def relay_urls(servers: Iterable[IceServer]) -> Iterator[tuple[IceServer, str]]:
    """Every address of a TURN server, with the server whose credentials it takes."""
    for server in servers:
        yield from ((server, url) for url in server.urls if url.lower().startswith(("turn:", "turns:")))


def check_relays(servers: Sequence[IceServer], *, relay_only: bool) -> None:
    """See that a connection can be made at all.

    Raises:
        UnreachableError: if only relays may be used, and there is none.
    """
    if relay_only and not any(relay_urls(servers)):
        raise UnreachableError(
            f"{RELAY_ONLY}, but the service names none to this user. Ask its "
            "operator for a TURN server, or allow direct links."
        )


def no_way(seconds: float | None, *, answered: bool, given: bool, relayed: bool) -> str:
    """Why no connection came about, as sentences for whoever waits for it.

    Args:
        seconds: how long it was waited for; None where it failed before.
        answered: whether the other side answered the offer.
        given: whether the service names relays.
        relayed: whether one of them lent this side an address.
    """
    within = "" if seconds is None else f" within {seconds:g} s"
    if not answered:
        return f"The other side did not answer{within}. It may be offline, or busy: try again in a moment."
    tried = f"No network path to the other side was found{within}"
    if not given:
        return (
            f"{tried}: nothing direct passes between the two networks, and the service names you no relay. Ask its "
            "operator for a TURN server, or use a network that lets UDP through."
        )
    if not relayed:
        return (
            f"{tried}: nothing direct passes between the two networks, and no relay of the service answers this "
            "machine. See what is wrong with: sleap-rtc doctor"
        )
    return (
        f"{tried}, not even through the service's relay, which answers this machine: the other one may not reach it. "
        "See there what is wrong with: sleap-rtc doctor"
    )
