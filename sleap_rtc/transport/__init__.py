"""WebRTC peers: one connection, one channel, whichever engine carries it. No engine is imported here."""

from sleap_rtc.protocol.sdp import Candidate, IceServer
from sleap_rtc.transport.channel import Channel, Peer
from sleap_rtc.transport.engines import ENGINES, Engine, available_engines, new_peer
from sleap_rtc.transport.memory import MemoryPeer, memory_pair

__all__ = [
    "ENGINES",
    "Candidate",
    "Channel",
    "Engine",
    "IceServer",
    "MemoryPeer",
    "Peer",
    "available_engines",
    "memory_pair",
    "new_peer",
]
