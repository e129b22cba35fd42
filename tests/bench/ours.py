"""The product as its users run it: the service, a worker and the client command, each a process of its own."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.packages import random_package
from tests.bench.processes import (
    MIB,
    ROW_LIMIT,
    BenchError,
    Meter,
    Moved,
    Process,
    lines_of,
    now,
    python,
    read_json,
    spawned,
    word_with,
    write_json,
)
from tests.bench.proxy_control import ProxyControl
from tests.bench.worker_process import JOBS
from tests.jobs.ending import end_jobs

LEAVE_WITHIN = 10.0
_STRING = "sleap-session:"


@dataclass(frozen=True)
class Upload:
    """A package that the worker has accepted.

    Attributes:
        moved: how it came over.
        received: bytes that the worker's lanes received for it: chunks, manifest, chunk lists and frame headers.
        total: bytes of the package.
    """

    moved: Moved
    received: int
    total: int


class Lab:
    """A service, and workers on demand.

    Args:
        folder: where everything of theirs lies.
        server: the service's address.
    """

    def __init__(self, folder: Path, server: str) -> None:
        self._folder = folder
        self._server = server

    @contextmanager
    def worker(self, engine: str, limit: float = ROW_LIMIT) -> Iterator["BenchWorker"]:
        """Run a worker that knows no file yet, while the body does, for at most `limit` seconds."""
        with TemporaryDirectory(prefix="worker-", dir=self._folder) as name, ExitStack() as stack:
            folder = Path(name)
            log = folder / "log.txt"
            command = python("tests.bench.worker_process", self._server, folder, engine)
            environment = {"SLEAP_RTC_HOME": str(folder / "home")}
            # entered first, so ended last: a worker that still lives would start the next job
            stack.callback(end_jobs, folder / JOBS)
            process = stack.enter_context(spawned(command, cwd=folder, limit=limit, environment=environment, log=log))
            yield BenchWorker(process, word_with(process, _STRING), folder, engine)


class BenchWorker:
    """A worker that packages are uploaded to.

    Args:
        process: the worker.
        string: its session string.
        folder: where the client's things go, too.
        engine: the WebRTC engine of both.
    """

    def __init__(self, process: Process, string: str, folder: Path, engine: str) -> None:
        self._process = process
        self.string = string
        self.pid = process.pid
        self.jobs = folder / JOBS
        self._folder = folder
        self._engine = engine

    def upload(self, package: Path, proxy: ProxyControl | None = None) -> Upload:
        """Type the client command, and wait until the worker has verified, published and synced the package.

        Args:
            package: a folder.
            proxy: the network between the two; none by default.

        Raises:
            BenchError: if the worker does not get that far.
        """
        typed = ["client", "--json", "--new", "-s", self.string, "-p", package, "--transport", self._engine]
        run = python("tests.bench.client_process", proxy.address) if proxy else python("sleap_rtc")
        uploaded: dict[str, Any] = {}
        before = self._received()
        began = now()
        with spawned([*run, *map(str, typed)], cwd=self._folder, **self._client()) as client:
            with Meter(client.pid) as sending, Meter(self._process.pid, children=False) as receiving:
                for event in _events(client):
                    if event["event"] == "upload":
                        uploaded = event
                    elif event["event"] == "job":
                        seconds = now() - began
                        break
                else:
                    raise BenchError(f"the client ended: {self._last_words()}")
            received = self._received() - before
            _leave(client)
        peak = max(sending.peak, receiving.peak)
        moved = Moved(uploaded["total"], seconds, sending.cpu, receiving.cpu, peak)
        return Upload(moved, received, uploaded["total"])

    def control_waits(self, small: Path, big: Path, proxy: ProxyControl | None = None) -> tuple[float, list[float]]:
        """Upload a package at full speed while the same client asks about a job; see `control_process`.

        Returns:
            Seconds the upload took, and those from when each question was due to its answer.

        Raises:
            BenchError: if the upload failed.
        """
        through = [proxy.address] if proxy else []
        command = python("tests.bench.control_process", self.string, small, big, self._engine, *through)
        with spawned(command, cwd=self._folder, **self._client()) as client:
            try:
                found = read_json(client)
            except BenchError:
                raise BenchError(f"the client ended: {self._last_words()}") from None
        return found["seconds"], found["waits"]

    def _received(self) -> int:
        """Bytes that have come over the worker's lanes since it began."""
        write_json(self._process, {"ask": "received"})
        return int(read_json(self._process)["received"])

    def _client(self) -> dict[str, Any]:
        environment = {"SLEAP_RTC_HOME": str(self._folder / "client-home")}
        return {"environment": environment, "log": self._folder / "client-log.txt"}

    def _last_words(self) -> str:
        lines = (self._folder / "client-log.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"


@contextmanager
def running_lab() -> Iterator[Lab]:
    """Run a service while the body does; all that it and the workers wrote is gone afterwards."""
    with TemporaryDirectory(prefix="sleap-rtc-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        command = python("sleap_rtc", "server", "run", "--port", 0, "--database", folder / "service.db")
        environment = {"SLEAP_RTC_HOME": str(folder / "service-home")}
        service = stack.enter_context(
            spawned(command, cwd=folder, limit=86_400, environment=environment, log=folder / "service-log.txt")
        )
        yield Lab(folder, word_with(service, "http://"))


def ours(lab: Lab, size: int, engine: str = "auto", proxy: ProxyControl | None = None) -> Moved:
    """Move `size` MiB that no store knows from the client command to a new worker."""
    with TemporaryDirectory(prefix="sleap-rtc-bench-") as name, lab.worker(engine) as worker:
        return worker.upload(random_package(Path(name) / "package", size * MIB), proxy).moved


def _events(client: Process) -> Iterator[dict[str, Any]]:
    for line in lines_of(client):
        yield json.loads(line)


def _leave(client: Process) -> None:
    """Detach; what is left of the job is no part of any measurement."""
    client.terminate()
    # not read any further: a reader that is gone is one more reason for it to end
    with suppress(subprocess.TimeoutExpired):
        client.wait(LEAVE_WITHIN)
