"""Finds whose messages fill the queue in which an engine keeps what it has received and not handed over yet.

libwebrtc has one such queue for all connections of a loop. It has no end, it takes nothing back, and a peer can fill it
faster than any program empties it: memory grows, and everybody else's messages wait behind a million of one peer's.
What stands in the queue cannot be looked at. But it is handed over in order, so whatever comes before a mark that was
put at its end was in the queue all at once.
"""

from collections import deque
from collections.abc import Callable

from sleap_rtc.transport.buffered import BufferedChannel

SHORT = 32
"""Messages in the queue that are no reason to look whose they are."""
MARK_EVERY = 256
"""Messages handed over between two marks."""
MOST_MESSAGES = 2048
"""Most messages of one channel in the queue. An honest peer is asked for less than a thousand at once."""
MOST_BYTES = 48 * 1024 * 1024
"""Most bytes of one channel in the queue. A log may come faster than it is read; of all else 16 MiB are asked for."""


class Backlog:
    """The queue of one loop.

    Args:
        waiting: counts what is in it.
        put_mark: puts a function at its end, to be called when all that is in it now has been handed over.
    """

    def __init__(self, waiting: Callable[[], int], put_mark: Callable[[Callable[[], None]], None]) -> None:
        self._waiting = waiting
        self._put_mark = put_mark
        self._handed_over = 0
        # messages and bytes by channel, so far and as they were at each mark that is still in the queue
        self._totals: dict[BufferedChannel, tuple[int, int]] = {}
        self._marks: deque[dict[BufferedChannel, tuple[int, int]]] = deque()

    def handed_over(self, channel: BufferedChannel, size: int) -> None:
        """Note a message of `size` bytes; a channel that had too much in the queue is ended."""
        if not self._marks:
            self._totals.clear()
            if self._waiting() < SHORT:
                return
        if not self._marks or self._handed_over % MARK_EVERY == 0:
            self._marks.append(self._totals.copy())
            self._put_mark(self._reached)
        self._handed_over += 1
        messages, bytes_ = self._totals.get(channel, (0, 0))
        self._totals[channel] = messages, bytes_ = messages + 1, bytes_ + size
        messages_then, bytes_then = self._marks[0].get(channel, (0, 0))
        if messages - messages_then > MOST_MESSAGES or bytes_ - bytes_then > MOST_BYTES:
            channel.violated("The other side sent faster than this machine could take it.")

    def _reached(self) -> None:
        self._marks.popleft()
