"""A service with a room, a user who is logged in, and workers that differ; only their trainers pretend."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.config.identity import load_identity
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.gpus import Gpu
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.exporting import ExportFormat
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.signaling.account import Account, login_of
from sleap_rtc.signaling.api import Room, ServiceAPI
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.signaling.token_source import TokenSource
from sleap_rtc.transport.paths import NetworkPath
from sleap_rtc.worker.worker import Worker, WorkerSettings
from tests.forked import Result, sleap_rtc
from tests.jobs.conftest import LABELS, training_config
from tests.jobs.ending import end_jobs
from tests.jobs.fakes import FAKE, QUICK
from tests.roles.worker_process import TIMEOUTS
from tests.service.people import join, person
from tests.service.running import RunningService, running_service


@dataclass
class RoomLab:
    """What a lab has on a normal day."""

    service: RunningService
    folder: Path
    api: ServiceAPI
    room: Room
    token: str

    @property
    def home(self) -> Path:
        return Path(os.environ["SLEAP_RTC_HOME"])

    def environment(self, user: Path | None = None) -> dict[str, str]:
        added = {"SLEAP_RTC_SERVER": self.service.url, "HOME": str(self.folder), "COLUMNS": "200"}
        return os.environ | added | ({"SLEAP_RTC_HOME": str(user)} if user else {})

    async def user(self, name: str, *, member: bool = True) -> Path:
        """Somebody else with a home of their own, logged in and usually a member of the room."""
        somebody = await person(self.service, name)
        if member:
            await join(self.service, somebody, self.room)
        home = self.folder / f"home-of-{name}"
        login = Login(somebody.token, somebody.user_id, name, None)
        await asyncio.to_thread(Credentials(home / "credentials.json").keep_login, self.service.url, login)
        return home

    async def run(self, *arguments: str, user: Path | None = None) -> Result:
        """Run a command as a script would, as the room's owner or as the user of another home."""
        return await asyncio.to_thread(sleap_rtc, *arguments, cwd=self.folder, environment=self.environment(user))

    def package(self, name: str = "package") -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "labels.pkg.slp").write_bytes(LABELS + name.encode())
        (folder / "single_instance.yaml").write_text(write_yaml(training_config()))
        return folder

    @asynccontextmanager
    async def worker(
        self,
        name: str,
        *gigabytes: int,
        behaviour: str = "good",
        token: TokenSource | None = None,
        timeouts: Timeouts = TIMEOUTS,
        mounts: Mounts | None = None,
        secrets: Callable[[], tuple[RoomSecret, ...]] = lambda: (),
        on_client: Callable[[str], None] = lambda name: None,
        on_path: Callable[[NetworkPath | None], None] = lambda path: None,
        limits: TransferLimits | None = None,
        auto_export: ExportFormat | None = None,
    ) -> AsyncIterator[Worker]:
        """Run a worker with GPUs of these sizes, present in the room while the body runs, or until it has to leave."""
        jobs = self.jobs_of(name)
        runner = (sys.executable, str(FAKE), "--behaviour", behaviour, "--ledger", str(self.folder / f"{name}.ledger"))
        settings = WorkerSettings(
            server=self.service.url,
            token=token or self.token,
            name=name,
            identity=load_identity(self.folder / name / "identity"),
            jobs=jobs,
            store=jobs.with_name("store"),
            gpus=[Gpu(f"Test GPU {size}", size * 1024, f"GPU-{name}-{at}") for at, size in enumerate(gigabytes)],
            executor=LocalExecutor(replace(QUICK, runner=runner)),
            timeouts=timeouts,
            mounts=mounts or Mounts(),
            secrets=secrets,
            auto_export=auto_export,
            limits=limits or TransferLimits(),
        )
        present = asyncio.Event()

        def say(state: ServiceState) -> None:
            if state.connected:
                present.set()

        def meet(name: str, path: NetworkPath | None) -> None:
            on_client(name)
            on_path(path)

        worker = Worker(settings, on_service=say, on_client=meet)
        running = asyncio.ensure_future(worker.run())
        try:
            async with asyncio.timeout(30):
                await present.wait()
            yield worker
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, AuthenticationError):
                await running
            end_jobs(jobs)

    def jobs_of(self, worker: str) -> Path:
        return self.folder / worker / "jobs"

    def starts(self, worker: str) -> int:
        """How many runs a worker's trainer was started for."""
        ledger = self.folder / f"{worker}.ledger"
        return sum(line.startswith("start") for line in ledger.read_text().splitlines()) if ledger.exists() else 0

    async def until_load(self, worker: str, busy: int, queued: int) -> None:
        """Wait until the service says that a worker has this load."""
        async with asyncio.timeout(30):
            while True:
                for each in await self.api.workers(self.room.room_id):
                    if each.name == worker and (each.info.busy, each.info.queued) == (busy, queued):
                        return
                await asyncio.sleep(0.05)


@asynccontextmanager
async def room_lab(folder: Path, **settings: Any) -> AsyncIterator[RoomLab]:
    """Run the service with these settings, make a room and log in."""
    async with running_service(folder, dev=True, **settings) as service:
        grant = await ServiceAPI(service.url).login_dev("ada")
        Credentials().keep_login(service.url, login_of(grant, utc_ms()))
        api = ServiceAPI(service.url, Account(service.url))
        room = await api.create_room("lab", 30)
        token = await api.create_token(room.room_id, "gpu", 7)
        yield RoomLab(service, folder, api, room, token.token)
