"""A supervisor's sign of life: ``supervisor.json``, renewed every few seconds."""

import sys
import threading
import time

from sleap_rtc.errors import StorageError

from .folder import JobFolder
from .processes import ProcessRecord


class Heartbeat:
    """Beats in a thread of its own: what a job makes slow (its end, its files) must not make it seem dead.

    Args:
        folder: the job's.
        identity: the supervisor.
        pause: seconds from one beat to the next.
    """

    def __init__(self, folder: JobFolder, identity: ProcessRecord, pause: float) -> None:
        self._folder, self._identity, self._pause = folder, identity, pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Beat no more: whoever has the job next beats for itself."""
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(self._pause):
            try:
                self._folder.heartbeat(self._identity.model_copy(update={"heartbeat": time.time()}))
            except StorageError as error:
                # the next beat tries again: a disk that is full for a moment is no reason to end a training
                print(error.sentence, file=sys.stderr)  # noqa: T201
