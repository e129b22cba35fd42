"""Jobs in no time: the real supervisor, journal and commands, in a thread and without a runner's process."""

import threading
import time
from collections.abc import Callable, Mapping

import pytest

from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.folder import JobFolder, RunResult
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.jobs.supervisor import Supervisor
from sleap_rtc.jobs.work import Work
from sleap_rtc.protocol.codec import ErrorInfo
from sleap_rtc.protocol.jobs import EpochEnded, RunEnded

from .fakes import QUICK


class InstantRun:
    """Stands in for `RunSupervision`: an epoch, a model, and an end that obeys the command there is by then.

    Attributes:
        pauses: how long a job takes before its epoch and before its end, in seconds; nothing for others.
    """

    pauses: Mapping[str, tuple[float, float]] = {}

    def __init__(self, work: Work, *, journal: Journal, **__: object) -> None:
        self._folder, self._run, self._journal = work.folder, work.run, journal

    def announce(self, index: int, count: int) -> None:
        """Say nothing about it."""

    def see_through(
        self, command: Callable[[], str | None], begin: Callable[[], None]
    ) -> tuple[RunResult, ErrorInfo | None]:
        """Pretend to run it."""
        before, after = self.pauses.get(self._folder.job, (0.0, 0.0))
        begin()
        model = self._folder.models / self._run.name
        model.mkdir(parents=True)
        (model / "best.ckpt").touch()
        time.sleep(before)
        self._journal.append(EpochEnded(epoch=0), self._run.name)
        cancelled = command() == "cancel"
        time.sleep(after)
        outcome = "cancelled" if cancelled else "done"
        name = None if cancelled else self._run.name
        self._journal.append(RunEnded(outcome=outcome, folder=name), self._run.name, durable=True)
        return RunResult(name=self._run.name, outcome=outcome, folder=name), None


class InstantExecutor:
    """Runs each supervisor in a thread of this process."""

    settings = SupervisorSettings(**vars(QUICK) | {"quota_look": 60.0, "load_look": 60.0})

    def __init__(self) -> None:
        self._threads: dict[str, threading.Thread] = {}

    def start(self, folder: JobFolder, wandb_key: str | None = None) -> None:
        """Start the supervisor of a job."""
        thread = self._threads[folder.job] = threading.Thread(target=Supervisor(folder, self.settings).run)
        thread.start()

    def alive(self, folder: JobFolder) -> bool:
        """Whether it has not ended."""
        thread = self._threads.get(folder.job)
        if thread is None or thread.is_alive():
            return thread is not None
        del self._threads[folder.job]
        return False

    def clean_up(self, folder: JobFolder) -> None:
        """There is nothing to end."""

    def keep_warm(self, count: int) -> None:
        """There is nothing to warm."""

    def close(self) -> None:
        """Wait for what runs."""
        for thread in self._threads.values():
            thread.join(30)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> InstantExecutor:
    """An executor whose jobs take no time, and disks that need no patience."""
    monkeypatch.setattr("sleap_rtc.jobs.supervisor.RunSupervision", InstantRun)
    monkeypatch.setattr("sleap_rtc.jobs.supervisor.kill_descendants", lambda: True)
    monkeypatch.setattr("sleap_rtc.jobs.work.read_yaml", lambda *_: {})
    # what a power cut would leave is not what these tests look at
    monkeypatch.setattr("os.fsync", lambda _: None)
    return InstantExecutor()
