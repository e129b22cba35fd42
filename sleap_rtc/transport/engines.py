"""Which engines there are, and a new peer on one of them. An engine is imported when it is first used."""

from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from typing import Literal

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import DependencyError
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.transport.base import BasePeer
from sleap_rtc.transport.channel import Peer
from sleap_rtc.transport.turn_urls import readable

DEFAULT = Timeouts()
Engine = Literal["auto", "libwebrtc", "aiortc"]

ENGINES: dict[str, tuple[str, str]] = {
    "libwebrtc": ("sleap_rtc.transport.libwebrtc_peer", "LibwebrtcPeer"),
    "aiortc": ("sleap_rtc.transport.aiortc_peer", "AiortcPeer"),
}
"""Module and class of every engine, the preferred one first."""


def _load(engine: str) -> type[BasePeer]:
    module, name = ENGINES[engine]
    found: type[BasePeer] = getattr(import_module(module), name)
    return found


def _tried(engines: Iterable[str]) -> Iterator[tuple[str, Exception | None]]:
    """Import engines one after the other, each with what was wrong with it, if anything."""
    for engine in engines:
        try:
            _load(engine)
        except (ImportError, OSError) as error:  # OSError: a shared library of the wheel does not load
            yield engine, error
        else:
            yield engine, None


def available_engines() -> list[str]:
    """List the engines that import on this machine, the preferred one first."""
    return [engine for engine, error in _tried(ENGINES) if error is None]


def preload(engine: Engine = "auto") -> str:
    """Import an engine now, which takes up to a second: call it in a thread before the first peer is made.

    Args:
        engine: ``auto`` takes libwebrtc where its wheel imports, else aiortc.

    Returns:
        The name of the engine that `new_peer` will use.

    Raises:
        DependencyError: if it does not import here.
    """
    for name, error in _tried(ENGINES if engine == "auto" else [engine]):
        if error is None:
            return name
        if engine != "auto":
            raise DependencyError(
                f"The transport '{engine}' does not run here ({error}). Choose another with transport = \"auto\"."
            ) from error
    raise DependencyError(
        "No WebRTC engine runs here: neither wrtc nor aiortc can be imported. Install sleap-rtc again."
    )


def new_peer(
    engine: Engine = "auto",
    *,
    ice_servers: Sequence[IceServer] = (),
    timeouts: Timeouts = DEFAULT,
    allow_loopback: bool = True,
    relay_only: bool = False,
) -> Peer:
    """Make a peer that is not connected yet; call it where a loop runs.

    Args:
        engine: ``auto`` takes libwebrtc where its wheel imports, else aiortc.
        ice_servers: STUN and TURN servers, from the signaling service; none by default.
        timeouts: how long gathering, connecting and closing may take.
        allow_loopback: use and announce addresses of this machine alone.
        relay_only: use no path but one through a TURN server.

    Raises:
        UnreachableError: if only relays may be used, and there is none.
        DependencyError: if the engine does not import here.
    """
    kind = _load(preload(engine))
    return kind(
        ice_servers=readable(ice_servers), timeouts=timeouts, allow_loopback=allow_loopback, relay_only=relay_only
    )
