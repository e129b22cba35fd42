"""What the peers of all engines share: the order of offer and answer, the checks on descriptions, closing."""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConnectionLost, ProtocolError, SleapRTCError, UnreachableError
from sleap_rtc.protocol.sdp import (
    Candidate,
    CandidateFilter,
    IceServer,
    candidates_in,
    check_candidate,
    check_description,
    fingerprint_of,
    own_description,
)
from sleap_rtc.transport.buffered import BufferedChannel
from sleap_rtc.transport.channel import Channel, Peer
from sleap_rtc.transport.paths import NetworkPath, Told, check_relays, no_way, relay_urls

log = logging.getLogger(__name__)

ENDED_HERE = "The connection was closed on this side."
ENDED_THERE = "The connection to the other side ended."
TOO_SMALL = "The other side announced that it takes no message of this size."
FAILED = "No network path to the other side works any more."


class _State(Enum):
    NEW = auto()
    OFFERED = auto()
    STABLE = auto()


_STEPS = {
    (_State.NEW, "create_offer"): _State.OFFERED,
    (_State.NEW, "accept_offer"): _State.STABLE,
    (_State.OFFERED, "accept_answer"): _State.STABLE,
}


class BasePeer(Peer):
    """Everything about a peer that does not depend on its engine.

    Args:
        timeouts: how long gathering, connecting and closing may take.
        allow_loopback: use and announce addresses of this machine alone.
        ice_servers: STUN and TURN servers.
        relay_only: use no path but one through a TURN server.

    Raises:
        UnreachableError: if only relays may be used, and there is none.
    """

    channel: BufferedChannel

    def __init__(
        self,
        *,
        timeouts: Timeouts,
        allow_loopback: bool,
        ice_servers: Sequence[IceServer] = (),
        relay_only: bool = False,
    ) -> None:
        check_relays(ice_servers, relay_only=relay_only)
        self._given_relays = any(relay_urls(ice_servers))
        self._relayed = False
        self._timeouts = timeouts
        self._allow_loopback = allow_loopback
        self._state = _State.NEW
        self._closed: asyncio.Event | None = None
        self._local_fingerprint: bytes | None = None
        self._remote_fingerprint: bytes | None = None
        self._remote_set = False
        self._early: list[Candidate] = []
        self._told = Told()
        self._remote_candidates = CandidateFilter(allow_loopback=allow_loopback)
        self._own_candidates = CandidateFilter(allow_loopback=allow_loopback)
        self._trickled: asyncio.Queue[Candidate | None] = asyncio.Queue()

    # what an engine does; whatever it raises is translated or dropped below, where it is called

    @abstractmethod
    async def _describe(self, kind: str) -> str:
        """Make the offer or answer (`kind`) the local description, and return its text."""

    @abstractmethod
    async def _take_description(self, kind: str, sdp: str) -> None:
        """Give the other side's checked offer or answer to the engine."""

    @abstractmethod
    async def _take_candidate(self, candidate: Candidate) -> None:
        """Give a checked candidate to the engine; it has the remote description."""

    @abstractmethod
    async def _close_engine(self) -> None:
        """Close the engine's connection."""

    @abstractmethod
    async def _path(self) -> NetworkPath | None:
        """See `Peer.path`; asked while the channel is open."""

    # what all of them share

    @property
    def local_fingerprint(self) -> bytes:
        """See `Peer.local_fingerprint`."""
        if self._local_fingerprint is None:
            raise ProtocolError("This peer has not described itself yet.")
        return self._local_fingerprint

    @property
    def remote_fingerprint(self) -> bytes:
        """See `Peer.remote_fingerprint`."""
        if self._remote_fingerprint is None:
            raise ProtocolError("The other side has not described itself yet.")
        return self._remote_fingerprint

    async def create_offer(self) -> str:
        """See `Peer.create_offer`."""
        self._step("create_offer")
        return await self._own("offer")

    async def accept_offer(self, sdp: str) -> str:
        """See `Peer.accept_offer`."""
        self._step("accept_offer")
        await self._remote("offer", sdp)
        return await self._own("answer")

    async def accept_answer(self, sdp: str) -> None:
        """See `Peer.accept_answer`."""
        self._step("accept_answer")
        await self._remote("answer", sdp)

    async def add_candidate(self, candidate: Candidate) -> None:
        """See `Peer.add_candidate`. Those that overtook the description wait for it; the filter bounds them."""
        checked = check_candidate(candidate, known=self._remote_candidates)
        if checked is None or self.channel.loss is not None:
            return
        self._told.note(checked.candidate)
        if self._remote_set:
            await self._use(checked)
        else:
            self._early.append(checked)

    async def candidates(self) -> AsyncIterator[Candidate]:
        """See `Peer.candidates`."""
        while (candidate := await self._trickled.get()) is not None:
            yield candidate
        self._trickled.put_nowait(None)  # whoever asks again finds the end, too

    async def wait_open(self) -> Channel:
        """See `Peer.wait_open`."""
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self.channel.settled.wait()
        except TimeoutError:
            raise UnreachableError(self.no_way(self._timeouts.connect)) from None
        if self.channel.loss == FAILED:
            raise UnreachableError(self.no_way())
        if self.channel.loss is not None:
            raise UnreachableError(f"The connection could not be made. {self.channel.loss}")
        return self.channel

    async def path(self) -> NetworkPath | None:
        """See `Peer.path`."""
        return await self._path() if self.channel.settled.is_set() and self.channel.loss is None else None

    def no_way(self, seconds: float | None = None) -> str:
        """See `Peer.no_way`."""
        return no_way(seconds, answered=self._remote_set, given=self._given_relays, relayed=self._relayed)

    async def close(self) -> None:
        """See `Peer.close`."""
        self.channel.lost(ENDED_HERE, forget=True)
        self._trickled.put_nowait(None)
        if self._closed is not None:
            await self._closed.wait()
            return
        self._closed = asyncio.Event()
        try:
            async with asyncio.timeout(self._timeouts.close):
                await self._close_engine()
        except TimeoutError:
            log.warning("%s did not close a connection within %g s.", self.engine, self._timeouts.close)
        finally:
            self._closed.set()

    def _trickle(self, candidate: Candidate | None) -> None:
        """Pass on a candidate of ours that the engine found, or (None) that it found them all."""
        if candidate is None or self._own_candidates.announces(candidate.candidate):
            self._trickled.put_nowait(candidate)
        if candidate is not None:
            self._note(candidate.candidate)

    def _note(self, candidate: str) -> None:
        self._relayed |= " typ relay" in candidate

    def _step(self, call: str) -> None:
        if self.channel.loss is not None:
            raise ConnectionLost(self.channel.loss)
        following = _STEPS.get((self._state, call))
        if following is None:
            raise ProtocolError(f"A connection that is {self._state.name.lower()} takes no {call}.")
        self._state = following

    async def _own(self, kind: str) -> str:
        with self._translated(f"{self.engine} can make no {kind}."):
            described = await self._describe(kind)
        sdp = own_description(described, allow_loopback=self._allow_loopback)
        self._local_fingerprint = fingerprint_of(sdp)
        for candidate in candidates_in(sdp):
            self._note(candidate)
        return sdp

    async def _remote(self, kind: str, sdp: str) -> None:
        checked = check_description(sdp, candidates=self._remote_candidates)
        for text in candidates_in(checked):
            self._told.note(text)
        # noted before the engine gets it: the channel may open while the engine is still at it
        self._remote_fingerprint = fingerprint_of(checked)
        with self._translated(f"{self.engine} refused the other side's {kind}."):
            await self._take_description(kind, checked)
        self._remote_set = True
        early, self._early = self._early, []
        for candidate in early:
            await self._use(candidate)

    async def _use(self, candidate: Candidate) -> None:
        """Give a candidate to the engine; one that it dislikes is dropped, for others may do."""
        try:
            with self._translated("A candidate was not used."):
                await self._take_candidate(candidate)
        except SleapRTCError as error:
            log.debug("%s: %s (%s)", self.engine, error.sentence, error.__cause__)

    @contextmanager
    def _translated(self, sentence: str) -> Iterator[None]:
        """Turn whatever an engine raises into an error of ours: a strange text makes them fail in any way."""
        try:
            yield
        except SleapRTCError:
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # nobody cancelled us: libwebrtc's binding says so that its peer was closed meanwhile
            raise ConnectionLost(self.channel.loss or ENDED_HERE) from error
        except Exception as error:
            if self.channel.loss is not None:
                raise ConnectionLost(self.channel.loss) from error
            raise ProtocolError(sentence) from error
