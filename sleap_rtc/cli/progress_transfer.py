"""How far bytes on their way are, how fast they go, and the sentences about that which both human faces say.

Nothing here is told that a link dropped. A new one counts from the beginning again; what was through before stays
through, since no byte that arrived is sent twice.
"""

from collections import deque

from sleap_rtc.cli.formats import format_duration, format_percent, format_rate, format_size

WINDOW = 10.0
"""Seconds that a rate is measured over: long enough to be read, short enough to notice a network that changes."""
LEAST = 0.5
"""Seconds before a rate is worth a word: the first bytes come in jumps."""
SLOW = 1.0
"""Seconds after which the reading of a package is worth a word."""


class Meter:
    """Measures how fast bytes go, from the last moment at which none had gone yet.

    Args:
        done: bytes that are through already, and not measured.
        now: seconds.
    """

    def __init__(self, done: int, now: float) -> None:
        self._first, self._begin = done, now
        self._samples = deque([(now, done)])

    def update(self, done: int, now: float) -> None:
        """Note that `done` bytes are through at `now`."""
        if done <= self._samples[-1][1]:
            if done == self._first:  # looking for what is there already takes time, too, and moves nothing
                self._begin = now
                self._samples = deque([(now, done)])
            return
        self._samples.append((now, done))
        while self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()

    @property
    def elapsed(self) -> float:
        """Seconds until the last byte that moved."""
        return self._samples[-1][0] - self._begin

    @property
    def average(self) -> float | None:
        """Bytes a second from the beginning to the last byte that moved; None while nothing can be said."""
        moved = self._samples[-1][1] - self._first
        return moved / self.elapsed if moved and self.elapsed > 0 else None

    def rate(self, now: float) -> float | None:
        """Bytes a second of late, less and less while nothing moves; None while nothing can be said."""
        when, done = self._samples[0]
        moved = self._samples[-1][1] - done
        return moved / (now - when) if moved and now - when >= LEAST else None


class Transfer:
    """Bytes that are read or received.

    Args:
        moved: bytes that were through before.
        total: bytes there are.
        now: seconds.

    Attributes:
        already: bytes that do not have to move.
    """

    def __init__(self, moved: int, total: int, now: float) -> None:
        self.moved = moved
        self.total = total
        self.already = 0
        self.began = now
        self.meter = Meter(moved, now)

    def update(self, moved: int, now: float) -> None:
        """Note that `moved` bytes are through; fewer than before change nothing: they are being counted again."""
        self.moved = max(self.moved, min(moved, self.total))
        self.meter.update(self.moved, now)

    @property
    def done(self) -> int:
        """Bytes that are where they belong."""
        return self.moved + self.already

    @property
    def complete(self) -> bool:
        """Whether all are."""
        return self.done >= self.total

    def is_slow(self, now: float) -> bool:
        """Whether it has taken long enough to be worth a word."""
        return now - self.began >= SLOW

    def text(self, now: float) -> str:
        """Say ``12.3 MB of 40.1 MB, 4.10 MB/s, 7 s left``, of the bytes that have to move."""
        text = f"{format_size(self.moved)} of {format_size(self.total - self.already)}"
        rate = self.meter.rate(now)
        if rate is None:
            return text
        return f"{text}, {format_rate(rate)}, {format_duration((self.total - self.done) / rate)} left"

    def sum_text(self) -> str:
        """Say ``40.1 MB in 9.8 s (4.10 MB/s)``."""
        text, pace = format_size(self.moved), self.meter.average
        return f"{text} in {format_duration(self.meter.elapsed)} ({format_rate(pace)})" if pace else text


class Upload(Transfer):
    """Bytes that are sent, as far as the worker has said that it checked and wrote them."""

    def __init__(self, total: int, now: float) -> None:
        super().__init__(0, total, now)

    def report(self, sent: int, already: int, now: float) -> None:
        """Take the worker's figures.

        Args:
            sent: bytes sent, checked and written, over all links.
            already: bytes that did not have to be sent.
            now: seconds.
        """
        self.update(sent, now)
        self.already = min(max(self.already, already), self.total - self.moved)

    def already_text(self, worker: str) -> str:
        """Say ``1.20 GB, 96 % already on lab-gpu-1``, or where all of it goes."""
        if not self.already:
            return f"{format_size(self.total)} to {worker}"
        return f"{format_size(self.total)}, {format_percent(self.already, self.total)} already on {worker}"

    def done_text(self, worker: str) -> str:
        """Say what was sent, and what did not have to be."""
        if not self.moved:
            return f"Nothing to send: all {format_size(self.total)} are already on {worker}."
        if not self.already:
            return f"Sent {self.sum_text()}."
        share = format_percent(self.already, self.total)
        return f"Sent {self.sum_text()}; {share} of {format_size(self.total)} was already on {worker}."


def paused_text(worker: str, sentence: str | None) -> str:
    """Say why the worker takes nothing just now, or that it goes on."""
    return f"{worker}: {sentence}" if sentence else f"{worker} takes files again."
