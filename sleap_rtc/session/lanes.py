"""Lanes: the connections of a link that carry bulk, negotiated over its proven control channel.

A lane inherits the link's proof, because its certificate's fingerprint travels through that channel; it never involves
the service. The side that dialled opens lanes, as many as either side wants; a lane that dies costs what was under way
on it, and another one takes its place.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from sleap_rtc.errors import ConnectionLost, LaneLost, ProtocolError, SleapRTCError
from sleap_rtc.protocol.frames import MAX_FRAME
from sleap_rtc.protocol.link import LaneAnswer, LaneCandidate, LaneClosed, LaneOpen, LaneWanted
from sleap_rtc.protocol.sdp import MAX_CANDIDATES, Candidate
from sleap_rtc.protocol.streams import MAX_LANES
from sleap_rtc.transport.channel import Peer

if TYPE_CHECKING:
    from sleap_rtc.session.session import Session

logger = logging.getLogger(__name__)

PRODUCERS = 2
"""Streams of a lane that are produced at once: one is read from the disk while the other is sent."""
RETRY = 1.0
"""Seconds before a lane that did not open is tried again."""


class Lane:
    """One lane.

    Attributes:
        number: what both sides call it.
        peer: its connection.
        turn: held by whoever sends on it, so that one stream's bytes stay together.
        producers: limits how many streams are produced for it at once, and with it the memory they take.
        is_open: whether messages can pass.
        retired: whether nothing more is asked for over it.
        asked: bytes asked for over it that have not come.
        slots: how many answers are awaited over it.
        due: how many of those must be on their way, because nothing has to be computed first.
        stalled: whether it has been silent for so long that its connection must be waiting for a lost packet.
        heard: when something last came over it, or became due while nothing was; in seconds of the loop's clock.
    """

    def __init__(self, number: int, peer: Peer) -> None:
        self.number = number
        self.peer = peer
        self.turn = asyncio.Lock()
        self.producers = asyncio.Semaphore(PRODUCERS)
        self.is_open = False
        self.retired = False
        self.asked = 0
        self.slots = 0
        self.due = 0
        self.stalled = False
        self.heard = 0.0

    @property
    def largest_frame(self) -> int:
        """Bytes of the largest message that its engine takes."""
        return min(self.peer.channel.max_message_size, MAX_FRAME)


class Lanes:
    """The lanes of one link.

    Args:
        session: the link.
        new_peer: makes the connection of a lane.
        on_change: told when a lane opened or ended.
        on_lost: told the number of a lane that ended, before `on_change`.
        is_sending: whether we are sending something over the lane of a number.
    """

    def __init__(
        self,
        session: "Session",
        new_peer: Callable[[], Peer],
        *,
        on_change: Callable[[], None],
        on_lost: Callable[[int], None],
        is_sending: Callable[[int], bool],
    ) -> None:
        self._session = session
        self._new_peer = new_peer
        self._on_change = on_change
        self._on_lost = on_lost
        self._is_sending = is_sending
        self._lanes: dict[int, Lane] = {}
        self._early: dict[int, list[Candidate]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._next = 0
        self._own_wish = self._their_wish = 1
        self._not_before = 0.0
        self._news = asyncio.Event()
        self.received = 0

    @property
    def all_open(self) -> list[Lane]:
        """The lanes that messages can pass over."""
        return [lane for lane in self._lanes.values() if lane.is_open]

    @property
    def usable(self) -> list[Lane]:
        """The lanes that something can be asked for over."""
        return [lane for lane in self._lanes.values() if lane.is_open and not lane.retired]

    def want(self, count: int) -> None:
        """Ask for what we receive over `count` lanes; the side that dialled sees to it that there are as many."""
        self._own_wish = count
        if not self._session.dialled:
            self._session.start(self._session.notify, LaneWanted(lanes=count))
        self._retire()
        self._news.set()
        self._on_change()

    def _retire(self) -> None:
        for place, lane in enumerate(self.all_open):
            lane.retired = place >= self._own_wish

    # opening them, and ending those that are too many

    async def keep_open(self) -> None:
        """On the side that dialled: have as many lanes as either side wants, for as long as the link lives."""
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            wanted = min(max(self._own_wish, self._their_wish), MAX_LANES)
            self._end_idle(wanted)
            if len(self._lanes) < wanted:
                await asyncio.sleep(max(0.0, self._not_before - loop.time()))
                for _ in range(wanted - len(self._lanes)):
                    self._open()
            await self._news.wait()

    def noticed(self) -> None:
        """Something over a lane has ended: one of those that are too many may end now."""
        if self._session.dialled and len(self._lanes) > max(self._own_wish, self._their_wish):
            self._news.set()

    def _end_idle(self, wanted: int) -> None:
        for lane in list(self._lanes.values())[wanted:]:
            if lane.is_open and not lane.slots and not self._is_sending(lane.number):
                self.drop(lane)

    def _open(self) -> None:
        try:
            lane = self._add(self._next)
        except SleapRTCError as error:  # where relays alone may be used, and the service names none any more
            self._not_before = asyncio.get_running_loop().time() + RETRY
            if not self._lanes:
                self._session.end(ConnectionLost(f"No lane to the other side can be opened: {error.sentence}"))
            return
        self._next += 1
        self._session.start(self._open_and_serve, lane)

    async def _open_and_serve(self, lane: Lane) -> None:
        try:
            offer = await lane.peer.create_offer()
            self._session.start(self._forward_candidates, lane)
            answer = await self._session.request(LaneOpen(lane=lane.number, sdp=offer), LaneAnswer)
            await lane.peer.accept_answer(answer.sdp)
            await lane.peer.wait_open()
        except SleapRTCError as error:
            # one after the other, and not at once: the path may bear no more than there are
            self._not_before = asyncio.get_running_loop().time() + RETRY
            self.drop(lane)
            if not self.usable and self._session.close_reason is None:
                # as good as lost: whoever keeps the link up dials again
                raise ConnectionLost(f"No lane to the other side opened: {error.sentence}") from error
            logger.info("A further lane did not open: %s", error)
            return
        await self._serve(lane)

    async def accept(self, message: LaneOpen) -> LaneAnswer:
        """Answer the dialling side's offer for a lane.

        Raises:
            ProtocolError: if that lane exists, or there are too many.
        """
        # twice: those that end may overlap with those that take their place
        if message.lane in self._lanes or len(self._lanes) >= 2 * MAX_LANES:
            raise ProtocolError("A lane was opened twice, or there are too many of them.")
        lane = self._add(message.lane)
        early = self._early.pop(message.lane, [])
        try:
            answer = await lane.peer.accept_offer(message.sdp)
        except SleapRTCError:
            self.drop(lane)
            raise
        for candidate in early:
            self._session.start(lane.peer.add_candidate, candidate)
        self._session.start(self._forward_candidates, lane)
        self._session.start(self._serve_accepted, lane)
        return LaneAnswer(sdp=answer)

    async def _serve_accepted(self, lane: Lane) -> None:
        try:
            await lane.peer.wait_open()
        except SleapRTCError as error:
            logger.info("Lane %d did not open: %s", lane.number, error)
            self.drop(lane)
            return
        await self._serve(lane)

    def _add(self, number: int) -> Lane:
        lane = self._lanes[number] = Lane(number, self._new_peer())
        return lane

    async def _serve(self, lane: Lane) -> None:
        clock = asyncio.get_running_loop().time
        lane.is_open = True
        lane.heard = opened = clock()
        self._retire()
        self._news.set()
        self._on_change()
        try:
            while True:
                data = await lane.peer.channel.receive()
                lane.heard = clock()
                self.received += len(data)
                self._session.take_frame(lane.number, data)
        except ConnectionLost as error:
            logger.info("Lane %d ended: %s", lane.number, error)
            if clock() - opened < RETRY:
                self._not_before = clock() + RETRY  # one that comes and goes must not become a storm
            self.drop(lane)

    async def _forward_candidates(self, lane: Lane) -> None:
        async for candidate in lane.peer.candidates():
            await self._session.notify(LaneCandidate(lane=lane.number, candidate=candidate))

    # what the other side says

    def take_candidate(self, message: LaneCandidate) -> None:
        """Add a trickled candidate of the other side's, once that side's description is known."""
        # the peer keeps those that overtake its description, and counts all of them
        if lane := self._lanes.get(message.lane):
            self._session.start(lane.peer.add_candidate, message.candidate)
        elif not self._session.dialled and len(self._early) < 2 * MAX_LANES:
            # the offer came in the same breath, and nobody has taken it up yet
            early = self._early.setdefault(message.lane, [])
            if len(early) < MAX_CANDIDATES:
                early.append(message.candidate)

    def take_wish(self, message: LaneWanted) -> None:
        """Have as many lanes as the other side wants, if it is ours to open them."""
        if self._session.dialled:
            self._their_wish = message.lanes
            self._news.set()

    def take_closed(self, message: LaneClosed) -> None:
        """The other side ended a lane."""
        self._early.pop(message.lane, None)
        self.drop_number(message.lane)

    # using and ending them

    async def send(self, number: int, frames: Iterable[bytes]) -> None:
        """Send packed frames over a lane, one after the other with nothing between them.

        Raises:
            LaneLost: if it is not there any more.
        """
        lane = self.find(number)
        try:
            async with lane.turn:
                for frame in frames:
                    await lane.peer.channel.send(frame)
        except ConnectionLost as error:
            raise LaneLost(error.sentence) from error

    def get(self, number: int) -> Lane | None:
        """The lane of that number, if there is one."""
        return self._lanes.get(number)

    def find(self, number: int) -> Lane:
        """The lane of that number.

        Raises:
            LaneLost: if there is none any more.
        """
        lane = self._lanes.get(number)
        if lane is None:
            raise LaneLost("The lane ended.")
        return lane

    def drop(self, lane: Lane) -> None:
        """A lane is over: close it, and tell whoever used it, here and there."""
        if self._lanes.pop(lane.number, None) is None:
            return
        lane.is_open = False
        self._on_lost(lane.number)
        self._retire()
        self._news.set()
        self._on_change()
        # said first: closing takes its time, and the other side would go on asking over it
        self._session.start(self._session.notify, LaneClosed(lane=lane.number))
        # owned by the lanes and not by the link: it has to be closed even if that ends in the same breath
        closing = asyncio.create_task(lane.peer.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    def drop_number(self, number: int) -> None:
        """End the lane of that number, if there is one: the other side says that it has none."""
        if lane := self._lanes.get(number):
            self.drop(lane)

    async def close(self) -> None:
        """Close all lanes."""
        await asyncio.gather(*(lane.peer.close() for lane in self._lanes.values()), *self._closing)
