"""What every command does that sends a job: reach the worker, submit, and watch unless the user detaches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

from sleap_rtc.cli.choosing import RoomChoice, choose_worker
from sleap_rtc.cli.following import NO_MONITOR, Asks, Following, Results
from sleap_rtc.cli.meeting import meet
from sleap_rtc.cli.progress import JobDisplay
from sleap_rtc.cli.telling import say_detached, say_link, say_service
from sleap_rtc.client.choice import gpu_text
from sleap_rtc.client.client import join_session
from sleap_rtc.client.lossviewer import MonitorPorts
from sleap_rtc.client.package import Package
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.config.limits import TransferLimits
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.transport.engines import Engine, preload


@dataclass(frozen=True)
class Remote:
    """Where a job goes, and how.

    Attributes:
        where: a session string, or a room with the way to choose its worker.
        logs: show the log too.
        new: make a new job even if this one is under way.
        detach: end when the worker has the job.
        secrets: finds the secrets of rooms.
    """

    where: str | RoomChoice
    logs: bool
    as_json: bool
    new: bool
    detach: bool
    give_up: float
    server: str
    transport: str
    limits: TransferLimits
    secrets: SecretLookup

    @property
    def timeouts(self) -> Timeouts:
        """How long to wait for what."""
        return Timeouts(give_up=self.give_up)


@dataclass(frozen=True)
class Reached:
    """A worker that was reached, and what this command is to it."""

    remote: Remote
    worker: RemoteWorker
    presence: WorkerPresence
    display: JobDisplay

    async def submit(self, package: Package, *, wandb_key: str | None = None) -> RemoteJob:
        """Submit a package and show how it goes; see `RemoteWorker.submit`."""
        sends = package.manifest.total_size > 0
        if sends:
            self.display.upload(0, package.manifest.total_size, 0)
        return await self.worker.submit(
            package,
            new=self.remote.new,
            on_bytes=self.display.upload if sends else _nothing,
            on_pause=self.display.upload_paused,
            wandb_key=wandb_key,
        )

    async def follow(self, job: RemoteJob, asks: Asks, results: Results, *, monitor: MonitorPorts = NO_MONITOR) -> int:
        """Watch a job that the worker has and bring its results home, unless the user wants it left alone.

        Returns:
            The exit code.

        Raises:
            SleapRTCError: as `Following.run`.
        """
        asks.has_job = True
        self.display.accepted(job.summary)
        if self.remote.detach:
            with self.display.paused():
                say_detached(job, self.presence, as_json=self.remote.as_json)
            return 0
        return await Following(
            job, self.display, asks.queue, results=results, logs=self.remote.logs, monitor=monitor
        ).run()


def _nothing(sent: int, total: int, already: int) -> None:
    """Show nothing: models and data are where the worker finds them."""


@asynccontextmanager
async def reach(remote: Remote, reading: Awaitable[Package], display: JobDisplay) -> AsyncIterator[Reached]:
    """Reach the worker that a job goes to, while its package is being read.

    Args:
        remote: where to, and how.
        reading: the package; in a room it says who has it already.
        display: what is on the screen.

    Raises:
        SleapRTCError: why it cannot be reached.
    """
    async with _met(remote, reading, display) as (worker, presence):
        display.connected(presence.name, gpu_text(presence), await worker.link.path())
        yield Reached(remote, worker, presence, display)


@asynccontextmanager
async def _met(
    remote: Remote, reading: Awaitable[Package], display: JobDisplay
) -> AsyncIterator[tuple[RemoteWorker, WorkerPresence]]:
    if isinstance(remote.where, str):
        engine = cast(Engine, remote.transport)
        display.connecting("the worker")
        await asyncio.to_thread(preload, engine)
        async with join_session(
            remote.where,
            default_server=remote.server,
            engine=engine,
            timeouts=remote.timeouts,
            limits=remote.limits,
            secrets=remote.secrets.secrets,
            on_service=say_service,
            on_state=partial(say_link, display),
        ) as found:
            yield found
        return
    display.connecting(f"the room {remote.where.room}")
    # a package that was sent before goes to the same worker
    chosen = await choose_worker(remote.server, remote.where, await reading, display, new=remote.new)
    await asyncio.to_thread(remote.secrets.check_name, remote.server, remote.where.room, chosen.room)
    async with meet(
        remote.server, chosen, display, transport=remote.transport, limits=remote.limits,
        secrets=remote.secrets.secrets, timeouts=remote.timeouts,
    ) as worker:  # fmt: skip
        yield worker, chosen.presence
