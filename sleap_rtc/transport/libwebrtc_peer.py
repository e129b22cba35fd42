"""Peers on libwebrtc, through the native API of the package ``wrtc`` (imported as ``webrtc``)."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar
from weakref import WeakKeyDictionary

import webrtc
from webrtc.utils.loops import LoopState

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError
from sleap_rtc.protocol.sdp import Candidate, IceServer
from sleap_rtc.transport.backlog import Backlog
from sleap_rtc.transport.base import ENDED_THERE, FAILED, TOO_SMALL, BasePeer
from sleap_rtc.transport.buffered import LOW_WATER, BufferedChannel
from sleap_rtc.transport.paths import Carrier, NetworkPath
from sleap_rtc.transport.tls_tunnel import TlsTunnels

# A switch of the whole process, to be thrown before its first connection. What a peer must not announce is left out
# of what it sends instead.
webrtc.allow_loopback()

_CARRIERS: dict[str, Carrier] = {"udp": "udp", "tcp": "tcp", "tls": "tls"}
_backlogs: WeakKeyDictionary[asyncio.AbstractEventLoop, Backlog] = WeakKeyDictionary()


def _backlog() -> Backlog:
    """The running loop's queue of what its connections received."""
    loop = asyncio.get_running_loop()
    if loop not in _backlogs:
        state = LoopState.of(loop)
        _backlogs[loop] = Backlog(state.mailbox.__len__, state.post)
    return _backlogs[loop]


class LibwebrtcChannel(BufferedChannel):
    """The one data channel of a `LibwebrtcPeer`. Events come on the loop that registered for them."""

    max_message_size = 256 * 1024
    _native: webrtc.RTCDataChannel

    def attach(self, native: webrtc.RTCDataChannel) -> None:
        """Listen to the engine's channel."""
        self._native = native
        self._backlog = _backlog()
        native.buffered_amount_low_threshold = LOW_WATER
        native.on("open", lambda _: self.opened())
        native.on("message", self._on_message)
        native.on("bufferedamountlow", lambda _: self.drained())
        native.on("close", lambda _: self.lost(ENDED_THERE))

    @property
    def buffered_amount(self) -> int:
        """See `BufferedChannel.buffered_amount`."""
        return self._native.buffered_amount

    def _queue(self, data: str | bytes) -> None:
        try:
            self._native.send(data)
        except (webrtc.InvalidStateError, webrtc.OperationError) as error:
            raise ConnectionLost(ENDED_THERE) from error
        except TypeError as error:
            raise ProtocolError(TOO_SMALL) from error

    def _on_message(self, event: webrtc.MessageEvent) -> None:
        data = event.data
        self.arrived(data if isinstance(data, str | bytes) else bytes(data))
        self._backlog.handed_over(self, len(data))


class LibwebrtcPeer(BasePeer):
    """A peer on libwebrtc: fast, and it trickles its candidates.

    Args:
        ice_servers: STUN and TURN servers; none by default.
        timeouts: see `BasePeer`.
        allow_loopback: see `BasePeer`.
        relay_only: see `BasePeer`.
    """

    engine: ClassVar[str] = "libwebrtc"

    def __init__(
        self,
        *,
        ice_servers: Sequence[IceServer] = (),
        timeouts: Timeouts,
        allow_loopback: bool = True,
        relay_only: bool = False,
    ) -> None:
        super().__init__(
            timeouts=timeouts, allow_loopback=allow_loopback, ice_servers=ice_servers, relay_only=relay_only
        )
        self._servers = ice_servers
        self._tunnels = TlsTunnels()
        self._policy = webrtc.RTCIceTransportPolicy.relay if relay_only else webrtc.RTCIceTransportPolicy.all
        self._pc = webrtc.RTCPeerConnection(self._configuration(()))
        self._pc.on("connectionstatechange", lambda _: self._on_state())
        self._pc.on("icecandidate", self._on_candidate)
        channel = LibwebrtcChannel(self.close, self._pc.close)
        channel.attach(self._pc.create_data_channel("sleap-rtc", webrtc.RTCDataChannelInit(negotiated=True, id=0)))
        self.channel = channel
        # the engine opens whatever it is asked to, and keeps what arrives on it for whoever may come to read it
        self._pc.on("datachannel", lambda _: channel.violated("The other side tried to open a second channel."))

    def _on_state(self) -> None:
        # "disconnected" may heal; how long silence is borne is decided above, by the keepalive
        state = self._pc.connection_state
        if state == webrtc.RTCPeerConnectionState.failed:
            self.channel.lost(FAILED)
        elif state == webrtc.RTCPeerConnectionState.closed:
            self.channel.lost(ENDED_THERE)

    def _on_candidate(self, event: webrtc.RTCPeerConnectionIceEvent) -> None:
        found = event.candidate
        if found is None:
            self._trickle(None)
        elif found.candidate:
            self._trickle(Candidate(candidate=found.candidate, mid=found.sdp_mid, mline=found.sdp_m_line_index))

    def _configuration(self, servers: Sequence[IceServer]) -> webrtc.RTCConfiguration:
        native = [webrtc.RTCIceServer(list(s.urls), s.username, s.credential) for s in servers]
        return webrtc.RTCConfiguration(ice_servers=native, ice_transport_policy=self._policy)

    async def _describe(self, kind: str) -> str:
        # before this nothing is gathered, so no server is needed earlier
        self._pc.set_configuration(self._configuration(await self._tunnels.instead_of(self._servers)))
        await self._pc.set_local_description()
        description = self._pc.local_description
        if description is None:
            raise ProtocolError(f"libwebrtc made no {kind}.")
        return description.sdp

    async def _take_description(self, kind: str, sdp: str) -> None:
        await self._pc.set_remote_description(webrtc.RTCSessionDescriptionInit(webrtc.RTCSdpType(kind), sdp))

    async def _take_candidate(self, candidate: Candidate) -> None:
        # there is one media section, whatever the other side calls it
        await self._pc.add_ice_candidate(webrtc.RTCIceCandidateInit(candidate.candidate, None, 0))

    async def _path(self) -> NetworkPath | None:
        pair = self._selected()
        if pair is None:
            # a channel may open a moment before this is known here; what passes the engine's thread comes after it
            with suppress(webrtc.InvalidStateError):
                await self._pc.get_stats()
            pair = self._selected()
        if pair is None:
            return None
        tunnelled = pair.local.url in self._tunnels.urls
        carrier = "tls" if tunnelled else _CARRIERS.get(str(pair.local.relay_protocol))
        remote = self._told.type_of(_word(pair.remote.type), pair.remote.address, pair.remote.port)
        return NetworkPath.of(_word(pair.local.type), remote, carrier)

    def _selected(self) -> webrtc.RTCIceCandidatePair | None:
        sctp = self._pc.sctp
        return None if sctp is None else sctp.transport.ice_transport.get_selected_candidate_pair()

    async def _close_engine(self) -> None:
        self._pc.close()
        await self._tunnels.close()
        await asyncio.sleep(0)  # what the engine reported before now is delivered before the loop may end


def _word(kind: webrtc.RTCIceCandidateType | None) -> str:
    return "host" if kind is None else kind.value
