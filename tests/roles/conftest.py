"""A real service, a real worker process, a real link; only the trainer pretends."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sleap_rtc.client.client import join_session
from sleap_rtc.client.link import LinkState
from sleap_rtc.client.package import Package, open_package
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.transport.engines import Engine
from tests.jobs.conftest import LABELS, training_config
from tests.jobs.ending import end_jobs
from tests.roles.times import TIMEOUTS
from tests.service.running import RunningService, running_service


@dataclass
class Lab:
    """A service and a worker that can be killed and started again."""

    service: RunningService
    folder: Path
    stop_service: Callable[[], Awaitable[None]]
    process: asyncio.subprocess.Process | None = None
    session_string: str = ""
    packages: list[Package] = field(default_factory=list)
    disk: Path | None = None
    """Where the worker keeps its jobs and its store; the lab's folder by default."""

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.txt"

    @property
    def jobs(self) -> Path:
        return (self.disk or self.folder) / "jobs"

    async def start_worker(self, behaviour: str = "good", *, environment: Mapping[str, str] | None = None) -> None:
        """Start the worker, with something added to its environment, and wait until the service knows it."""
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.roles.worker_process", self.service.url, str(self.jobs), behaviour,
            str(self.ledger), stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"SLEAP_RTC_HOME": str(self.folder / "worker-home")} | dict(environment or {}),
        )  # fmt: skip
        assert self.process.stdout
        async with asyncio.timeout(60):
            self.session_string = (await self.process.stdout.readline()).decode().strip()
        assert self.session_string.startswith("sleap-session:")

    async def kill_worker(self) -> None:
        """``kill -9``: no goodbye to anybody."""
        if self.process and self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            await self.process.wait()
        if self.process and self.process.stdout:
            self.process._transport.close()  # type: ignore[attr-defined]

    @asynccontextmanager
    async def join(
        self,
        on_state: Callable[[LinkState, str], None] = lambda state, reason: None,
        *,
        engine: Engine = "auto",
        timeouts: Timeouts = TIMEOUTS,
    ) -> AsyncIterator[RemoteWorker]:
        server = "http://127.0.0.1:1"
        async with join_session(
            self.session_string, default_server=server, engine=engine, timeouts=timeouts, on_state=on_state
        ) as (worker, _):
            yield worker

    async def package(self, *heads: str, size: int = 0, **trainer: object) -> Package:
        folder = self.folder / "package"
        folder.mkdir(exist_ok=True)
        (folder / "labels.pkg.slp").write_bytes(LABELS + os.urandom(size))
        for head in heads or ("single_instance",):
            (folder / f"{head}.yaml").write_text(write_yaml(training_config(head, **trainer)))
        self.packages.append(await open_package(folder))
        return self.packages[-1]

    def starts(self) -> list[str]:
        """The runs that a trainer was started for."""
        lines = self.ledger.read_text().splitlines() if self.ledger.exists() else []
        return [line.split()[1] for line in lines if line.startswith("start")]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_service(tmp_path))
        found = Lab(service, tmp_path, stop_service=stack.aclose)
        try:
            yield found
        finally:
            await found.kill_worker()
            for package in found.packages:
                package.close()
            end_jobs(found.jobs)
