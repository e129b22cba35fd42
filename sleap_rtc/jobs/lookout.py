"""Looks at a job again and again while it runs, in a thread of its own, until it is to be ended."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType

from sleap_rtc.errors import StorageError
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.jobs import JobState

from .folder import JobFolder

_AT_WORK = (JobState.STARTING, JobState.RUNNING, JobState.FINISHING)


class Lookout(ABC):
    """Looks while the body of ``with`` runs; see each kind for what at.

    Args:
        pause: seconds before the first look, and between two unless `_look` sets another.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, daemon=True)
        self.exceeded: str | None = None
        """Why the job is to be ended, in a sentence, once it is."""

    @abstractmethod
    def _look(self) -> str | None:
        """Look once: why the job is to be ended, or None. May set the pause that follows."""

    def __enter__(self) -> "Lookout":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # not joined: a long look must not hold the job's end up
        self._over.set()

    def _keep_looking(self) -> None:
        while self.exceeded is None and not self._over.wait(self._pause):
            # a look that fails, for want of a descriptor, must not be the last one
            with suppress(OSError):
                self.exceeded = self._look()


def others_at_work(job: JobFolder) -> Iterator[JobFolder]:
    """The other jobs on this worker that run now; one whose folder cannot be read is passed over."""
    for path in job.path.parent.iterdir():
        if path.name != job.job and is_id("job", path.name):
            other = JobFolder(path)
            with suppress(StorageError, OSError):
                record = other.state_or_none()
                if record is not None and record.state in _AT_WORK:
                    yield other
