"""Lanes: the connections of a link that carry bulk, negotiated over its proven control channel.

A lane inherits the link's proof, because its certificate's fingerprint travels through that channel; it never involves
the service. Today a link has one lane; a lane that dies takes the link with it, which is dialled again as a whole.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sleap_rtc.errors import ProtocolError, SleapRTCError
from sleap_rtc.protocol.link import LaneAnswer, LaneCandidate, LaneOpen
from sleap_rtc.transport.channel import Channel, Peer

if TYPE_CHECKING:
    from sleap_rtc.session.session import Session


class Lanes:
    """The lanes of one link.

    Args:
        session: the link.
        new_peer: makes the connection of a lane.
    """

    def __init__(self, session: "Session", new_peer: Callable[[], Peer]) -> None:
        self._session = session
        self._new_peer = new_peer
        self._peers: dict[int, Peer] = {}
        self._open: asyncio.Future[Channel] = asyncio.get_running_loop().create_future()

    async def open(self, number: int) -> None:
        """Open a lane from the dialling side, then read it until the link ends.

        Raises:
            UnreachableError: if it does not open.
            ConnectionLost: when it breaks.
        """
        peer = self._peers[number] = self._new_peer()
        offer = await peer.create_offer()
        self._session.start(self._forward_candidates, number, peer)
        answer = await self._session.request(LaneOpen(lane=number, sdp=offer), LaneAnswer)
        await peer.accept_answer(answer.sdp)
        await self._serve(peer)

    async def accept(self, message: LaneOpen) -> LaneAnswer:
        """Answer the dialling side's offer for a lane.

        Raises:
            ProtocolError: if that lane exists.
        """
        if self._peers:
            raise ProtocolError("That lane is open already.")
        peer = self._peers[message.lane] = self._new_peer()
        answer = await peer.accept_offer(message.sdp)
        self._session.start(self._forward_candidates, message.lane, peer)
        self._session.start(self._serve, peer)
        return LaneAnswer(sdp=answer)

    def take_candidate(self, message: LaneCandidate) -> None:
        """Add a trickled candidate of the other side's, once that side's description is known."""
        # the peer keeps those that overtake its description, and counts all of them
        if peer := self._peers.get(message.lane):
            self._session.start(peer.add_candidate, message.candidate)

    async def send(self, frame: bytes) -> None:
        """Send a packed frame, waiting for a lane to be open.

        Raises:
            ConnectionLost: if the link ended.
        """
        channel = await asyncio.shield(self._open)
        await channel.send(frame)

    def end(self, error: SleapRTCError) -> None:
        """The link is gone: whoever waits for a lane learns it."""
        if not self._open.done():
            self._open.set_exception(error)
            self._open.exception()  # nobody may be waiting, and that is no reason for asyncio to complain

    async def close(self) -> None:
        """Close all lanes."""
        for peer in self._peers.values():
            await peer.close()

    async def _serve(self, peer: Peer) -> None:
        channel = await peer.wait_open()
        if not self._open.done():
            self._open.set_result(channel)
        while True:
            self._session.take_frame(await channel.receive())

    async def _forward_candidates(self, number: int, peer: Peer) -> None:
        async for candidate in peer.candidates():
            await self._session.notify(LaneCandidate(lane=number, candidate=candidate))
