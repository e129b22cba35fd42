"""What this side of a link has asked for and not yet written: it bounds memory, and what a cut can cost.

All transfers of a link share one window; whoever wants more waits in line, so that none starves another. The window
also measures what comes, and has lanes opened and closed accordingly.
"""

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

from sleap_rtc.errors import ConnectionLost, SleapRTCError
from sleap_rtc.protocol.frames import MAX_FRAME, USUAL_FRAME
from sleap_rtc.protocol.lanes import LaneCount
from sleap_rtc.protocol.pace import USUAL_WINDOW, Pace
from sleap_rtc.protocol.streams import MAX_LANES
from sleap_rtc.session.lanes import Lane, Lanes

if TYPE_CHECKING:
    from sleap_rtc.session.session import Session

MOST_STREAMS = 192
"""Streams under way at once, however small."""
SPANS = 2
"""Parts that a lane's share of the window is asked for in: while one is written others come."""
FRAMES = 4
"""Frames of a span, at least: the delay of the first one tells how long the queues on the way are."""
LEAST_SPAN = 64 * 1024
LEAST_TELLING = 32 * 1024
"""Bytes of the smallest answer whose delay is compared with others: a short one is always quick."""
MOST_SPAN = 1024 * 1024
MOST_PATIENT = 4
"""Times the usual silence that a lane is allowed where little comes: what came so far may have been little, too."""
MOST_SILENT = 3
"""Times in a row that lanes were silent and nothing came meanwhile: then it is not the lanes that are at fault."""
STALL = 0.3
"""Seconds of silence after which what was asked for over a lane no longer counts as under way on the path."""
TICK = 0.1
BUSY = 0.6
"""Processor seconds a second beyond which this machine is the limit, and not the path."""
IDLE_TICKS = 30
"""Ticks without a wish after which a link goes back to one lane."""


class Slot:
    """A place in the window, on a lane; held by a ``with``, or by whoever calls `release` in the end."""

    def __init__(self, window: "Window", lane: Lane, size: int, *, due: bool, since: float) -> None:
        self._window = window
        self._left = size
        self._held = True
        self._begun = False
        self.lane = lane
        self.size = size
        self.due = due
        self.since = since

    def arrived(self, size: int) -> None:
        """Bytes of it came: others may be under way in their stead."""
        if not self._begun:
            self._begun = True
            self._window.answered(self)
        size = min(size, self._left)
        self._left -= size
        self._window.freed(self.lane, size)

    def release(self, _: object = None) -> None:
        """Give the place to whoever is next, when the bytes are written or lost; again does nothing."""
        if self._held:
            self._held = False
            self._window.release(self, self._left)

    def __enter__(self) -> "Slot":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


class Window:
    """The window of one side of a link.

    Args:
        session: the link.
        lanes: its lanes.
        most_lanes: how many of them this side may want.
    """

    def __init__(self, session: "Session", lanes: Lanes, *, most_lanes: int = MAX_LANES) -> None:
        self._session = session
        self._lanes = lanes
        self._most_lanes = most_lanes
        self._waiting: deque[tuple[int, bool, asyncio.Future[Slot]]] = deque()
        self._pace = Pace()
        self._held = 0  # asked for and not written: what memory holds
        self._streams = 0
        self._watching = False
        self._hungry = False  # since the last tick
        self._silent = 0
        self._heard = 0
        self._ended: SleapRTCError | None = None

    @property
    def span(self) -> int:
        """Bytes that are best asked for at once."""
        return max(LEAST_SPAN, min(self._share // SPANS, MOST_SPAN))

    @property
    def frame(self) -> int:
        """Bytes of the frames that are best asked for: few where much comes, small where each takes its time."""
        return max(USUAL_FRAME, min(self.span // FRAMES, MAX_FRAME))

    @property
    def _share(self) -> int:
        return self._pace.limit // max(1, len(self._flowing))

    @property
    def _flowing(self) -> list[Lane]:
        return [lane for lane in self._lanes.usable if not lane.stalled]

    async def slot(self, size: int, *, due: bool = True) -> Slot:
        """Wait for a place for `size` bytes, in the order of the calls.

        Args:
            size: bytes that may be under way in it.
            due: whether they come at once; else the other side may have to compute them first.

        Raises:
            ConnectionLost: if the link ends.
        """
        if self._ended:
            raise self._ended
        place: asyncio.Future[Slot] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, due, place))
        self.serve()
        if not self._watching:
            self._watching = True
            self._session.start(self._watch)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and not place.exception():
                place.result().release()
            raise

    def serve(self) -> None:
        """Give places to those who wait, as far as there are any."""
        while self._waiting:
            size, due, place = self._waiting[0]
            if place.done():
                self._waiting.popleft()
                continue
            lane = self._lane_for(size)
            if lane is None:
                self._hungry = True
                return
            self._waiting.popleft()
            slot = Slot(self, lane, size, due=due, since=asyncio.get_running_loop().time())
            lane.asked += size
            lane.slots += 1
            self._held += size
            self._streams += 1
            if due:
                self._expect(slot)
            place.set_result(slot)

    def _expect(self, slot: Slot) -> None:
        if not slot.lane.due:
            slot.lane.heard = asyncio.get_running_loop().time()
        slot.lane.due += 1

    def _lane_for(self, size: int) -> Lane | None:
        limit = self._pace.limit
        # what a connection that waits for a lost packet has under way holds up no other
        asked = sum(lane.asked for lane in self._lanes.all_open if not lane.stalled)
        if asked and asked + size > limit:
            return None
        if self._held and (self._held + size > max(limit, USUAL_WINDOW) or self._streams >= MOST_STREAMS):
            return None
        lane = min(self._flowing, key=lambda lane: lane.asked, default=None)
        # the fastest lane is the one with the least under way: none is given more than its share
        if lane is None or (lane.asked and lane.asked + size > self._share):
            return None
        return lane

    def answered(self, slot: Slot) -> None:
        """The first bytes of what a slot is for arrived."""
        if not slot.due:
            slot.due = True  # now the rest is
            self._expect(slot)
        elif slot.size >= LEAST_TELLING:
            self._pace.delayed(asyncio.get_running_loop().time() - slot.since)

    def freed(self, lane: Lane, size: int) -> None:
        """Bytes are not under way any more: they arrived, or never will."""
        lane.asked -= size
        lane.stalled = False
        if self._waiting:
            self.serve()

    def release(self, slot: Slot, left: int) -> None:
        """A place is free again: what it was for is written, or lost."""
        self._held -= slot.size
        self._streams -= 1
        slot.lane.slots -= 1
        slot.lane.due -= slot.due
        self._lanes.noticed()
        self.freed(slot.lane, left)

    def end(self, error: SleapRTCError) -> None:
        """The link is gone: whoever waits learns it."""
        self._ended = error
        for *_, place in self._waiting:
            if not place.done():
                place.set_exception(error)
        self._waiting.clear()

    async def _watch(self) -> None:
        """Measure while something is wanted; afterwards one lane is enough."""
        count = LaneCount(self._most_lanes)
        idle = 0
        last, spent = asyncio.get_running_loop().time(), time.process_time()
        while idle < IDLE_TICKS:
            await asyncio.sleep(TICK)
            idle = 0 if self._held or self._waiting else idle + 1
            now = asyncio.get_running_loop().time()
            self._end_silent(now, count.rate)
            self._note_stalls(now, count.rate)
            before = count.wanted
            lanes = len(self._lanes.usable)
            before_tick, spent = spent, time.process_time()
            busy = spent - before_tick > BUSY * (now - last)
            last = now
            hungry, self._hungry = self._hungry, bool(self._waiting)
            received = self._lanes.received
            self._pace.measure(now, received, lanes=lanes, hungry=hungry, busy=busy)
            wanted = count.measure(now, received, lanes=lanes, hungry=hungry, busy=busy, delay=self._pace.base)
            if wanted != before:
                self._lanes.want(wanted)
            self.serve()
        self._lanes.want(1)
        self._watching = False

    def _note_stalls(self, now: float, rate: float) -> None:
        lanes = self._lanes.all_open
        patience = max(STALL, 2 * len(lanes) * self.frame / rate if rate else 0.0)
        for lane in lanes:
            lane.stalled = bool(lane.due) and now - lane.heard > patience

    def _end_silent(self, now: float, rate: float) -> None:
        # an engine may take half a minute to notice that a path is dead, and the other lanes need not wait for it; a
        # frame of every lane must have had the time to pass, for it is only heard whole
        lanes, dead = self._lanes.all_open, self._session.timeouts.dead
        patience = min(max(dead, 4 * len(lanes) * self.frame / rate if rate else 0.0), MOST_PATIENT * dead)
        silent = [lane for lane in lanes if lane.due and now - lane.heard > patience]
        if silent:
            self._silent = self._silent + 1 if self._lanes.received == self._heard else 1
            self._heard = self._lanes.received
        for lane in silent:
            self._lanes.drop(lane)
        if self._silent >= MOST_SILENT and self._lanes.received == self._heard:
            self._session.end(ConnectionLost("The other side sends nothing of what it was asked for."))
