"""The three programs as a user starts them, with the real sleap-nn behind."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.programs import end, environment, start, word_with
from tests.e2e.rooms import Lab, running_lab
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


@pytest.fixture(scope="package")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A room of ada and bob, with the worker gpu-1."""
    with running_lab(tmp_path_factory.mktemp("lab")) as made:
        yield made


@pytest.fixture(scope="package")
def fly(lab: Lab) -> str:
    """What the room calls the model that ada has trained."""
    package = ("-p", str(lab.dataset.package), "--room", "lab", "--auto-select")
    said = lab.good("ada", "train", *package, "--register", "fly")
    assert "fly@1" in said
    return "fly@1"


@pytest.fixture(scope="package")
def seen(lab: Lab, fly: str) -> Path:
    """What bob saw with ada's model, by an alias of hers, in the frames that its training has not seen."""
    lab.good("ada", "models", "promote", fly, "production", "--room", "lab")
    return lab.tracked("bob", "by-alias.slp", "--model", "fly@production")
