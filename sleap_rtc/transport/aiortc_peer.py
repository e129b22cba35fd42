"""Peers on aiortc: pure Python, slower than libwebrtc, and there wherever libwebrtc's wheel is not."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import ClassVar

import aioice.ice
from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCPeerConnection,
    RTCSctpTransport,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp
from OpenSSL import SSL

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError
from sleap_rtc.protocol.sdp import Candidate, IceServer, candidates_in, is_named, without_named
from sleap_rtc.transport.aiortc_bounds import bound
from sleap_rtc.transport.aiortc_relays import Relays
from sleap_rtc.transport.base import ENDED_THERE, FAILED, TOO_SMALL, BasePeer
from sleap_rtc.transport.buffered import LOW_WATER, BufferedChannel
from sleap_rtc.transport.paths import NetworkPath

log = logging.getLogger(__name__)

_other_addresses = aioice.ice.get_host_addresses


def _all_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """Put 127.0.0.1 and ::1 back, without which two peers on a machine with no network never meet."""
    loopback = ["127.0.0.1"] * use_ipv4 + ["::1"] * use_ipv6
    return _other_addresses(use_ipv4, use_ipv6) + loopback


# aioice has no setting for it. Addresses that a peer must not announce are left out of what it sends.
aioice.ice.get_host_addresses = _all_addresses


class AiortcChannel(BufferedChannel):
    """The one data channel of an `AiortcPeer`."""

    _native: RTCDataChannel

    def attach(self, native: RTCDataChannel) -> None:
        """Listen to the engine's channel. Plain functions only: aiortc runs coroutines in any order."""
        self._native = native
        native.bufferedAmountLowThreshold = LOW_WATER
        native.on("open", self.opened)
        native.on("message", self.arrived)
        native.on("bufferedamountlow", self.drained)
        native.on("close", lambda: self.lost(ENDED_THERE))

    @property
    def buffered_amount(self) -> int:
        """See `BufferedChannel.buffered_amount`."""
        return self._native.bufferedAmount

    def _queue(self, data: str | bytes) -> None:
        try:
            self._native.send(data)
        except InvalidStateError as error:
            raise ConnectionLost(ENDED_THERE) from error
        except ValueError as error:
            raise ProtocolError(TOO_SMALL) from error


class AiortcPeer(BasePeer):
    """A peer on aiortc. It does not trickle: its description has all of its candidates.

    Args:
        ice_servers: STUN and TURN servers, of which aiortc uses the first STUN and the best TURN; none by default.
        timeouts: see `BasePeer`.
        allow_loopback: see `BasePeer`.
        relay_only: see `BasePeer`.
    """

    engine: ClassVar[str] = "aiortc"

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
        # of relays aiortc would try the first alone: `Relays` tries all
        servers = [RTCIceServer(url) for each in ice_servers for url in each.urls if url.lower().startswith("stun:")]
        policy = RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=servers, iceTransportPolicy=policy))
        self._pc.on("connectionstatechange", self._on_state)
        # the tasks this peer starts; `_close_engine` owns them: it cancels those that resolve, and awaits the end
        self._resolving: set[asyncio.Task[None]] = set()
        self._ending: asyncio.Task[None] | None = None
        self._describing: asyncio.Future[None] | None = None
        channel = AiortcChannel(self.close, self._hang_up)
        channel.attach(self._pc.createDataChannel("sleap-rtc", negotiated=True, id=0))
        self.channel = channel
        sctp = self._pc.sctp
        assert sctp is not None, "a channel was just created"  # noqa: S101
        bound(sctp, channel)
        self._ice = sctp.transport.transport.iceGatherer._connection  # noqa: SLF001
        self._relays = Relays(self._ice, ice_servers, timeouts.gathering, hidden=relay_only)
        _bound_gathering(self._ice, self._relays, timeouts.gathering)
        _hear_failures(self._pc, sctp, channel.lost)
        self._trickle(None)

    def _on_state(self) -> None:
        if self._pc.connectionState == "failed":
            self.channel.lost(FAILED)
        elif self._pc.connectionState == "closed":
            self.channel.lost(ENDED_THERE)

    async def _describe(self, kind: str) -> str:
        # `_close_engine` owns it. To its end even if the caller is cancelled: aiortc closes only the sockets of a
        # gathering that was finished
        self._describing = asyncio.ensure_future(self._pc.setLocalDescription())
        await asyncio.shield(self._describing)
        return self._pc.localDescription.sdp

    async def _take_description(self, kind: str, sdp: str) -> None:
        await self._pc.setRemoteDescription(RTCSessionDescription(without_named(sdp), kind))
        for text in filter(is_named, candidates_in(sdp)):
            await self._use(Candidate(candidate=text))

    async def _use(self, candidate: Candidate) -> None:
        if is_named(candidate.candidate):
            # `_close_engine` owns it. Resolving takes a second where nobody answers, and must not hold the answer back
            task = asyncio.create_task(super()._use(candidate))
            self._resolving.add(task)
            task.add_done_callback(self._resolving.discard)
        else:
            await super()._use(candidate)

    async def _take_candidate(self, candidate: Candidate) -> None:
        native = candidate_from_sdp(candidate.candidate.removeprefix("candidate:"))
        native.sdpMLineIndex = 0  # there is one media section, whatever the other side calls it
        await self._pc.addIceCandidate(native)

    async def _path(self) -> NetworkPath | None:
        pair = self._ice._nominated.get(1)  # noqa: SLF001
        if pair is None:
            return None
        there = pair.remote_candidate
        remote = self._told.type_of(there.type, there.host, there.port)
        return NetworkPath.of(pair.local_candidate.type, remote, self._relays.carrier)

    def _hang_up(self) -> None:
        # `_close_engine` owns it
        self._ending = asyncio.create_task(self._pc.close())

    async def _close_engine(self) -> None:
        for task in self._resolving:
            task.cancel()
        await asyncio.gather(*self._resolving, *filter(None, (self._describing,)), return_exceptions=True)
        await (self._ending or self._pc.close())


def _bound_gathering(connection: aioice.Connection, relays: Relays, seconds: float) -> None:
    # a STUN or TURN server that does not answer would hold the description back for aioice's own 5 s
    gather = connection.get_component_candidates

    async def gather_for_a_while(component: int, addresses: list[str]) -> list[aioice.Candidate]:
        own, relayed = await asyncio.gather(
            gather(component, addresses, timeout=seconds),  # type: ignore[arg-type]
            relays.gather(component),
        )
        return own + relayed

    connection.get_component_candidates = gather_for_a_while  # type: ignore[method-assign,assignment]


def _hear_failures(pc: RTCPeerConnection, sctp: RTCSctpTransport, lost: Callable[[str], None]) -> None:
    # aiortc connects and sends in tasks that nobody waits for: when the connection ends under them, their errors
    # would only be logged as never retrieved
    connect = pc._RTCPeerConnection__connect  # type: ignore[attr-defined]  # noqa: SLF001
    send = sctp.transport._send_data  # noqa: SLF001

    async def connect_or_tell() -> None:
        try:
            await connect()
        except Exception as error:  # noqa: BLE001 - it fails in whatever way a strange description makes it
            log.debug("aiortc did not connect: %s", error)
            lost(FAILED)

    async def send_or_lose(data: bytes) -> None:
        try:
            await send(data)
        except (ConnectionError, SSL.Error) as error:
            log.debug("aiortc lost a packet: %s", error)  # as networks do; its state says the rest

    pc._RTCPeerConnection__connect = connect_or_tell  # type: ignore[attr-defined]  # noqa: SLF001
    sctp.transport._send_data = send_or_lose  # type: ignore[method-assign]  # noqa: SLF001
