"""The three programs as a user starts them, with the real sleap-nn behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.jobs.ending import end_jobs
from tests.sandboxes import isolation_here


@dataclass
class Terminals:
    """A service and a worker at work, and the line the worker printed."""

    line: str
    folder: Path
    server: str
    worker: "subprocess.Popen[str]"

    @property
    def jobs(self) -> Path:
        """The folder of the worker's jobs."""
        return self.folder / "worker" / "jobs"

    def restart_worker(self) -> None:
        """End the worker by ``kill -9``, and start it again."""
        self.worker.kill()
        end(self.worker)
        self.worker = start_worker(self.folder, self.server)
        assert word_with(self.worker, "sleap-session:") == self.line

    @contextmanager
    def typed(self, home: str, *words: str) -> "Iterator[subprocess.Popen[str]]":
        """Type a command in a terminal of its own; whatever became of it, it has ended afterwards."""
        command = [sys.executable, "-m", "sleap_rtc", *words]
        process = subprocess.Popen(
            command, env=environment(self.folder / home), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        try:
            yield process
        finally:
            process.kill()
            end(process)

    @property
    def lab(self) -> Path:
        """The folder that the worker calls ``lab`` and gives to jobs."""
        return self.folder / "lab"

    def client(self, package: Path, output: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
        """Type ``sleap-rtc client`` and wait for its end."""
        command = [sys.executable, "-m", "sleap_rtc", "client", "-s", self.line, "-p", str(package)]
        return subprocess.run(
            [*command, "-o", str(output), *flags],
            env=environment(self.folder / "client"),
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )


def environment(home: Path) -> dict[str, str]:
    """A user's own environment, but for its home, asyncio's own checks and fewer threads."""
    return os.environ | {"SLEAP_RTC_HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONASYNCIODEBUG": "1"}


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a program that runs on; what it says on standard error is added to its log."""
    command = [sys.executable, "-m", "sleap_rtc", *arguments]
    loud = environment(folder / arguments[0]) | {"SLEAP_RTC_SERVER_LOG_LEVEL": "debug"}
    with (folder / f"{arguments[0]}.log").open("a") as log:
        return subprocess.Popen(command, env=loud, stdout=subprocess.PIPE, stderr=log, text=True)


def end(process: "subprocess.Popen[str]") -> int:
    """Wait for a program's end; nothing more of what it says is read."""
    code = process.wait(30)
    if process.stdout:
        process.stdout.close()
    return code


def word_with(process: "subprocess.Popen[str]", mark: str) -> str:
    """Read a program's output up to the first word that contains `mark`."""
    assert process.stdout
    for line in process.stdout:
        if mark in line:
            return next(word for word in line.split() if mark in word)
    raise AssertionError(f"the program ended without printing '{mark}'")


def start_worker(folder: Path, server: str) -> "subprocess.Popen[str]":
    """Start the worker, with the mount ``lab``, for one job after another, in a sandbox where there is one."""
    worker = start(folder, "worker", "--server", server, "--slots", "1", "--mount", f"lab={folder / 'lab'}")
    if isolation_here().level == "bwrap":
        word_with(worker, "bubblewrap")
    return worker


@pytest.fixture(scope="package")
def terminals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    folder = tmp_path_factory.mktemp("terminals")
    service = start(folder, "server", "run", "--port", "0", "--database", str(folder / "service.db"))
    made: Terminals | None = None
    try:
        (folder / "lab").mkdir()
        server = word_with(service, "http://")
        made = Terminals("", folder, server, start_worker(folder, server))
        made.line = word_with(made.worker, "sleap-session:")
        yield made
    finally:
        for process in (made.worker if made else None, service):
            if process is not None:
                process.terminate()
                end(process)
        end_jobs(folder / "worker" / "jobs")
