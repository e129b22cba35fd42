"""Finds whose messages fill the queue in which an engine keeps what it has received and not handed over yet.

libwebrtc has one such queue for all connections of a loop. It has no end, it takes nothing back, and a peer can fill it
faster than any program empties it: memory grows, and everybody else's messages wait behind a million of one peer's.
What stands in the queue cannot be looked at, but it is handed over in order, so the latest messages tell what follows.
"""

from collections import deque
from collections.abc import Callable

from sleap_rtc.transport.buffered import INBOX_LIMIT, BufferedChannel

SHORT = 32
"""Messages in the queue that are no reason to look whose they are."""
WINDOW = 32
"""Messages handed over from which the rest is judged."""
MOST_MESSAGES = 4096
"""Most messages of one channel in the queue. An honest peer is asked for less than a thousand at once."""
MOST_BYTES = INBOX_LIMIT
"""Most bytes of one channel in the queue."""


class Backlog:
    """The queue of one loop.

    Args:
        waiting: counts the messages in it.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self._recent: deque[tuple[BufferedChannel, int]] = deque()
        self._bearable = SHORT

    def handed_over(self, channel: BufferedChannel, size: int) -> None:
        """Note a message of `size` bytes; a channel that has too much in the queue is ended."""
        waiting = self._waiting()
        if waiting < self._bearable:
            self._recent.clear()
            if waiting < SHORT:
                self._bearable = SHORT
            return
        self._recent.append((channel, size))
        if len(self._recent) == WINDOW:
            self._judge(waiting)
            self._recent.clear()

    def _judge(self, waiting: int) -> None:
        channels = [channel for channel, _ in self._recent]
        most = max(channels, key=channels.count)
        size = sum(size for channel, size in self._recent if channel is most)
        if max(channels.count(most) / MOST_MESSAGES, size / MOST_BYTES) * waiting / WINDOW <= 1:
            return
        # what it left stands before everybody else's and must not be taken for theirs
        self._bearable = 2 * waiting
        most.violated("The other side sent faster than this machine could take it.")
