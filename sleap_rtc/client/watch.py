"""What a client has seen of a job: goes on over any number of links without a gap."""

import asyncio
from collections.abc import Callable

from sleap_rtc.errors import ProtocolError, SleapRTCError
from sleap_rtc.protocol.jobs import Event, JobEvents, JobLog, JobState, JobWatch, JobWatchEnded, StateChanged
from sleap_rtc.protocol.text import printable

WatchMessage = JobEvents | JobLog | JobWatchEnded


class Watch:
    """One watch of one job.

    Args:
        job: the job's id.
        number: tells this watch from others of the same link.
        since: the number of the last event already seen.
        on_event: told every event, in order, once.
        on_log: told the training log; None if it is not wanted.
        follow: up to the job's end; else the watch ends where the job stands now.

    Attributes:
        ended: the state the job ended in, or why nothing more can be seen; None where it was not followed to its end.
    """

    def __init__(
        self,
        job: str,
        number: int,
        since: int,
        on_event: Callable[[Event], None],
        on_log: Callable[[str], None] | None,
        *,
        follow: bool = True,
    ) -> None:
        self.number = number
        self.ended: asyncio.Future[JobState | None] = asyncio.get_running_loop().create_future()
        self._job = job
        self._last_seq = since
        self._log_offset = 0 if on_log else None
        self._on_event = on_event
        self._on_log = on_log
        self._follow = follow
        self._state: JobState | None = None

    @property
    def request(self) -> JobWatch:
        """What to ask a worker for, so that it goes on where the last link stopped."""
        return JobWatch(
            job=self._job,
            watch=self.number,
            since=self._last_seq,
            log_offset=self._log_offset,
            follow=self._follow,
        )

    def take(self, message: WatchMessage) -> None:
        """Take what the worker sent; whatever goes wrong with it ends the watch."""
        try:
            match message:
                case JobEvents():
                    self._take_events(message.events)
                case JobLog():
                    self._take_log(message)
                case JobWatchEnded():
                    self._finish(message)
        except Exception as error:
            # raised by whoever watches as well: it must end there, not only be told to the worker
            if not self.ended.done():
                self.ended.set_exception(error)
            raise

    def _take_events(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if event.seq <= self._last_seq:
                continue  # seen before the link dropped
            if event.seq != self._last_seq + 1:
                raise ProtocolError("The worker left out an event of the job. Type the same command to watch it again.")
            self._last_seq = event.seq
            self._on_event(event)
            if isinstance(event.body, StateChanged):
                # an end that a next attempt follows is history
                self._state = event.body.state if event.body.state.ended else None

    def _take_log(self, part: JobLog) -> None:
        if self._on_log and self._log_offset is not None and part.offset > self._log_offset:
            self._log_offset = part.offset
            self._on_log(printable(part.text, limit=len(part.text)))

    def _finish(self, message: JobWatchEnded) -> None:
        if self.ended.done():
            return
        if self._state:
            self.ended.set_result(self._state)
        elif message.reason:
            self.ended.set_exception(message.reason.as_exception())
        elif not self._follow:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(SleapRTCError("The worker stopped showing the job before it ended."))
