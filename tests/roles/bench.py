"""A lab whose worker is in a room with an owner."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from sleap_rtc.client.client import Client
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.config.identity import load_identity
from sleap_rtc.signaling.api import RememberedJob, Room
from sleap_rtc.signaling.model_records import RoomModelRecord
from tests.jobs.ending import end_jobs
from tests.roles.conftest import Lab
from tests.roles.times import TIMEOUTS
from tests.roles.worker_process import TOKEN
from tests.service.people import Person, dev_service, person


class Bench:
    """A lab whose worker is in a room with an owner."""

    def __init__(self, lab: Lab, owner: Person, room: Room, token: str) -> None:
        self.lab, self.owner, self.room, self.token = lab, owner, room, token

    async def start_worker(self, behaviour: str = "good") -> None:
        await self.lab.start_worker(behaviour, environment={TOKEN: self.token})

    @asynccontextmanager
    async def join(self) -> AsyncIterator[RemoteWorker]:
        key = await asyncio.to_thread(load_identity, self.lab.folder / "worker-home" / "identity")
        async with (
            Client.join(self.lab.service.url, self.owner.token, room=self.room.room_id, timeouts=TIMEOUTS) as client,
            client.dial(key.worker_id) as worker,
        ):
            yield worker

    async def submit(self, *heads: str) -> str:
        async with self.join() as worker:
            return (await worker.submit(await self.lab.package(*heads), new=True)).id

    async def until(self, job: str, wanted: Callable[[RememberedJob], bool]) -> RememberedJob:
        """Wait until the service knows this of a job."""
        async with asyncio.timeout(60):
            while True:
                for each in await self.owner.api.jobs(self.room.room_id):
                    if each.job_id == job and wanted(each):
                        return each
                await asyncio.sleep(0.05)

    async def until_models(self, number: int) -> list[RoomModelRecord]:
        """Wait until the service knows so many models."""
        async with asyncio.timeout(60):
            while True:
                if len(found := await self.owner.api.models(self.room.room_id)) == number:
                    return found
                await asyncio.sleep(0.05)


@asynccontextmanager
async def new_bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A service, a room of Ada's, and a worker that is not started yet."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(dev_service(tmp_path))
        owner = await person(service, "ada")
        room = await owner.room()
        lab = Lab(service, tmp_path, stop_service=stack.aclose)
        try:
            yield Bench(lab, owner, room, (await owner.worker_token(room)).token)
        finally:
            await lab.kill_worker()
            for package in lab.packages:
                package.close()
            end_jobs(lab.jobs)
