"""Session descriptions and ICE candidates: what we send, and what we let near an engine.

A description is refused unless it carries exactly one fingerprint, because the proof signs that one: libwebrtc
checks only the last line of several, so an honest line beside a forged one must never reach it.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from pydantic import BaseModel, ConfigDict, Field

from sleap_rtc.errors import ProtocolError

MAX_SDP = 16 * 1024
"""Largest description accepted, in bytes."""
MAX_CANDIDATES = 32
"""Most candidates of one peer, those inside its description included."""
MAX_NAMED = 8
"""Most candidates of one peer that hide their address behind ``<uuid>.local``."""


class Candidate(BaseModel):
    """One network address a peer may be reached at, as ICE writes it (``candidate:…``)."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    candidate: str = Field(max_length=512)
    mid: str | None = Field(default=None, max_length=64)
    mline: int | None = Field(default=None, ge=0, le=255)


class IceServer(BaseModel):
    """A STUN or TURN server, as the signaling service hands it out."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    urls: list[str] = Field(min_length=1, max_length=8)
    username: str | None = Field(default=None, max_length=509)
    credential: str | None = Field(default=None, max_length=512, repr=False)


# Engines split lines at more characters than \n, and read attributes more loosely than RFC 8866 writes them.
# Plain ASCII and well-formed lines only, so that no engine can see a line that we did not.
_LINE = re.compile(r"[a-z]=[\x20-\x7e]*")
_FINGERPRINT = re.compile(r"a=fingerprint:sha-256 ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){31})")
_CANDIDATE = re.compile(
    r"candidate:[A-Za-z0-9+/]{1,32} (?P<component>\d{1,3}) (?P<transport>[A-Za-z]{3,8}) (?P<priority>\d{1,10})"
    r" (?P<host>[0-9A-Za-z.:_-]{1,255}) (?P<port>\d{1,5}) typ (?P<type>host|srflx|prflx|relay)"
    r"(?P<more>(?: [\x21-\x7e]+ [\x21-\x7e]+)*)",
    re.ASCII,
)
_SETUP = re.compile(r"a=setup:(?:actpass|active|passive)")
# What may stand behind the names that engines read at the end of a candidate; names that they skip may say anything.
_NUMBERS = {"rport": 65535, "generation": 2**32 - 1, "network-id": 65535, "network-cost": 65535}
_WORDS = {
    "tcptype": re.compile(r"active|passive|so"),
    "ufrag": re.compile(r"[A-Za-z0-9+/]{1,256}"),
    "pwd": re.compile(r"[A-Za-z0-9+/]{1,256}"),
}
_UUID_LOCAL = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\.local", re.IGNORECASE)


class CandidateFilter:
    """Decides which candidates of one peer are used, counting them over its whole life.

    Args:
        allow_loopback: keep 127.0.0.0/8 and ::1, for two peers on one machine.
    """

    def __init__(self, *, allow_loopback: bool = True) -> None:
        self._allow_loopback = allow_loopback
        self._left = MAX_CANDIDATES
        self._named_left = MAX_NAMED

    def accepts(self, text: str) -> bool:
        """Whether to use the candidate; those beyond the limits of count are not.

        Args:
            text: a candidate, from ``candidate:`` on.

        Raises:
            ProtocolError: if it is no candidate at all.
        """
        match = _CANDIDATE.fullmatch(text)
        if match is None:
            raise ProtocolError("The other side sent an ICE candidate that cannot be read.")
        if self._left == 0:
            return False
        self._left -= 1
        words = match["more"].split()
        more = dict(zip(words[::2], words[1::2], strict=True))
        if 2 * len(more) != len(words) or not all(_may_say(*pair) for pair in more.items()):
            return False  # engines do not agree on which of two they take, nor on what to make of nonsense
        if int(match["component"]) != 1 or int(match["priority"]) >= 2**32 or not _port_allowed(match, more):
            return False
        if _UUID_LOCAL.fullmatch(match["host"]):
            self._named_left -= 1
            return self._named_left >= 0
        return _address_allowed(match["host"], allow_loopback=self._allow_loopback)

    def announces(self, text: str) -> bool:
        """Whether to send a candidate of our own; one that no peer could read (an IPv6 zone) is kept to ourselves."""
        return _CANDIDATE.fullmatch(text) is not None and self.accepts(text)


def _may_say(name: str, value: str) -> bool:
    if name == "raddr":
        return _is_address(value)
    if name in _NUMBERS:
        return value.isdecimal() and int(value) <= _NUMBERS[name]
    return name not in _WORDS or _WORDS[name].fullmatch(value) is not None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def _port_allowed(candidate: re.Match[str], more: dict[str, str]) -> bool:
    port, transport = int(candidate["port"]), candidate["transport"].lower()
    if transport == "tcp" and more.get("tcptype") == "active":
        return port == 9  # RFC 6544: the side that dials writes the discard port; nobody connects to it
    return transport in {"udp", "tcp"} and 1024 <= port <= 65535


def _address_allowed(host: str, *, allow_loopback: bool) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False  # a host name: looking it up would let a stranger choose what we ask the resolver
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return allow_loopback
    return not (
        address.is_link_local or address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255"
    )


def check_candidate(
    candidate: Candidate, *, allow_loopback: bool = True, known: CandidateFilter | None = None
) -> Candidate | None:
    """Judge a candidate the other side trickled.

    Args:
        candidate: what arrived; an empty text marks the end of candidates and is dropped.
        allow_loopback: see `CandidateFilter`.
        known: the filter that counted this peer's earlier candidates; without one it is judged alone.

    Returns:
        The candidate, or None if it is to be dropped.

    Raises:
        ProtocolError: if it cannot be read.
    """
    if not candidate.candidate:
        return None
    known = known or CandidateFilter(allow_loopback=allow_loopback)
    return candidate if known.accepts(candidate.candidate) else None


def is_named(candidate: str) -> bool:
    """Whether a checked candidate hides its address behind ``<uuid>.local``, for multicast DNS to resolve."""
    match = _CANDIDATE.fullmatch(candidate)
    return match is not None and match["host"].lower().endswith(".local")


def place_of(candidate: str) -> tuple[str, int, str]:
    """Address, port and type of a checked candidate.

    Raises:
        ProtocolError: if it is none.
    """
    match = _CANDIDATE.fullmatch(candidate)
    if match is None:
        raise ProtocolError("The other side sent an ICE candidate that cannot be read.")
    return match["host"], int(match["port"]), match["type"]


def fingerprint_of(sdp: str) -> bytes:
    """Read the certificate's SHA-256 that a description announces, as 32 bytes.

    Raises:
        ProtocolError: unless there is exactly one fingerprint line, and that one is a well-formed sha-256.
    """
    found = [line for line in _lines(sdp) if "fingerprint" in line.lower()]
    if len(found) != 1:
        raise ProtocolError(f"A session description must have exactly one fingerprint; this one has {len(found)}.")
    match = _FINGERPRINT.fullmatch(found[0])
    if match is None:
        raise ProtocolError("A session description must have a sha-256 fingerprint; this one has another.")
    return bytes.fromhex(match[1].replace(":", ""))


def with_one_fingerprint(sdp: str) -> str:
    """Rewrite our own description so that its only fingerprint line is sha-256.

    Raises:
        ProtocolError: if it has no sha-256 fingerprint, or two that differ.
    """
    lines = _lines(sdp)
    ours = [line for line in lines if _FINGERPRINT.fullmatch(line)]
    if len({line.lower() for line in ours}) != 1:
        raise ProtocolError("The engine described itself without one sha-256 fingerprint.")
    first = lines.index(ours[0])
    return _join(line for at, line in enumerate(lines) if at == first or "fingerprint" not in line.lower())


def own_description(sdp: str, *, allow_loopback: bool = True) -> str:
    """Cut the description an engine made down to what we send: one fingerprint, candidates a peer accepts.

    A machine with many interfaces has more candidates than a peer takes; the first ones are kept, and those that no
    peer could read are left out.
    """
    chosen = CandidateFilter(allow_loopback=allow_loopback)
    lines = _lines(with_one_fingerprint(sdp))
    return _join(line for line in lines if not line.startswith("a=candidate:") or chosen.announces(line[2:]))


def check_description(sdp: str, *, allow_loopback: bool = True, candidates: CandidateFilter | None = None) -> str:
    """Judge a description from the other side, and leave out the candidates that may not be used.

    Args:
        sdp: the text that arrived.
        allow_loopback: see `CandidateFilter`.
        candidates: a filter that goes on counting candidates trickled later.

    Returns:
        The text to give to the engine, and to take the fingerprint from.

    Raises:
        ProtocolError: if the description is refused.
    """
    if len(sdp.encode(errors="replace")) > MAX_SDP:
        raise ProtocolError(f"A session description may have {MAX_SDP} bytes; the other side sent a larger one.")
    lines = _lines(sdp)
    fingerprint_of(sdp)
    media = [line for line in lines if line.startswith("m=")]
    if len(media) != 1 or not media[0].startswith("m=application "):
        raise ProtocolError("A session description must offer one data connection and nothing else.")
    if not all(_SETUP.fullmatch(line) for line in lines if line.lower().startswith("a=setup")):
        raise ProtocolError("A session description may name the roles actpass, active and passive; this has another.")
    offered = sum(line.lower().startswith("a=candidate") for line in lines)
    if offered > MAX_CANDIDATES:
        raise ProtocolError(f"A session description may list {MAX_CANDIDATES} candidates; this one has {offered}.")
    known = candidates or CandidateFilter(allow_loopback=allow_loopback)
    return _join(line for line in lines if not line.lower().startswith("a=candidate") or known.accepts(line[2:]))


def candidates_in(sdp: str) -> list[str]:
    """List the candidates of a checked description, each from ``candidate:`` on."""
    return [line[2:] for line in _lines(sdp) if line.startswith("a=candidate:")]


def without_named(sdp: str) -> str:
    """Leave candidates behind ``<uuid>.local`` out of a checked description, so that they can be added later."""
    lines = _lines(sdp)
    if not any(is_named(line[2:]) for line in lines):
        return _join(lines)
    return _join(line for line in lines if line != "a=end-of-candidates" and not is_named(line[2:]))


def _lines(sdp: str) -> list[str]:
    lines = sdp.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if not all(_LINE.fullmatch(line) for line in lines):
        raise ProtocolError("A session description has a line that cannot be read.")
    return lines


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)
