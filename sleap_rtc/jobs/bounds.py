"""What ends a job that takes too much of its worker, and how."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from .folder import JobFolder
from .load import LoadWatch
from .processes import ProcessRecord
from .quota import QuotaWatch
from .runners import RunnerProcess
from .settings import SupervisorSettings

_HOUR = 3600.0


@dataclass(frozen=True)
class Excess:
    """What was too much.

    Attributes:
        why: in a sentence.
        way: how the job is ended: asked to stop, told to end, or killed at once.
        of_disk: whether it is the disk, and what the job wrote is to be removed.
    """

    why: str
    way: Literal["stop", "cancel", "kill"]
    of_disk: bool = False


class Bounds:
    """Watches over one job while the body of ``with`` runs.

    Args:
        folder: the job's.
        settings: what it may take.
        supervisor: the process that starts everything of the job: this one.
    """

    def __init__(self, folder: JobFolder, settings: SupervisorSettings, supervisor: ProcessRecord) -> None:
        self._settings = settings
        self._quota = QuotaWatch(folder, settings)
        self._load = LoadWatch(folder, settings, supervisor)
        self._began = time.monotonic()
        self._watches = ExitStack()

    def __enter__(self) -> "Bounds":
        self._watches.enter_context(self._quota)
        self._watches.enter_context(self._load)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watches.close()

    def attend(self, runner: RunnerProcess) -> None:
        """Watch over what this runner starts from now on."""
        self._load.attend(runner)

    @property
    def excess(self) -> Excess | None:
        """What the job is to be ended for; None as long as there is nothing."""
        if self._load.exceeded:
            # every moment more of these is a moment less for others
            return Excess(self._load.exceeded, "kill")
        if self._quota.exceeded:
            # it is not asked to write even more
            return Excess(self._quota.exceeded, "cancel", of_disk=True)
        most = self._settings.max_hours
        if most and time.monotonic() - self._began > most * _HOUR:
            return Excess(
                f"it has run for more than {most:g} hours, which is all that this worker gives a job. Train fewer "
                "epochs, or ask the worker's owner to raise worker.max_job_hours.",
                "stop",
            )
        return None
