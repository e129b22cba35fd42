"""What ``sleap-rtc worker`` does once its options are read."""

import asyncio
from pathlib import Path
from typing import Any, cast

from sleap_rtc.cli.output import note, say, warn
from sleap_rtc.cli.running import interrupts
from sleap_rtc.config.identity import load_identity
from sleap_rtc.config.paths import home
from sleap_rtc.errors import AuthenticationError, DependencyError
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.gpus import Gpu, find_gpus
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.transport.engines import Engine, preload
from sleap_rtc.worker.capabilities import sleap_nn_version
from sleap_rtc.worker.enrolment import find_or_make_session, session_string
from sleap_rtc.worker.worker import Worker, WorkerSettings


async def serve(server: str, name: str, jobs: Path | None, *, drain: bool, transport: str) -> int:
    """Run a worker until Ctrl-C.

    Args:
        server: the service's address.
        name: what the worker is called.
        jobs: the folder of its jobs, if not the usual one.
        drain: whether Ctrl-C waits for running jobs.
        transport: which WebRTC engine to use.

    Returns:
        The exit code.
    """
    version = sleap_nn_version()
    if version is None:
        raise DependencyError(
            "sleap-nn is not installed, so nothing can be trained here: pip install 'sleap-nn[torch]'"
        )
    identity = load_identity()
    gpus = await asyncio.to_thread(find_gpus)
    await asyncio.to_thread(preload, cast(Engine, transport))
    say(f"worker {name} ({identity.worker_id}), sleap-nn {version}, {_gpu_text(gpus)}")
    renew = False
    while True:
        session = await find_or_make_session(server, name, new=renew)
        settings = WorkerSettings(
            server=server,
            token=session.worker_token,
            name=name,
            identity=identity,
            jobs=jobs or home() / "jobs",
            gpus=gpus,
            executor=LocalExecutor(),
            engine=cast(Engine, transport),
        )
        announce = _Announcer(server, session_string(server, session, identity))
        worker = Worker(settings, on_service=announce.service, on_client=announce.client)
        try:
            await _run_until_interrupted(worker, drain=drain)
            return 0
        except AuthenticationError:
            # a string that nobody used expires; a service that refuses even a fresh one means it
            if renew and not announce.connected:
                raise
            renew = True
            note("The session string has expired; a new one is made.")


class _Announcer:
    """Says each change of the connection to the service once."""

    def __init__(self, server: str, line: str) -> None:
        self._server = server
        self._line = line
        self.connected = False

    def service(self, state: ServiceState) -> None:
        if state.connected and not self.connected:
            self.connected = True
            say("Give this line to whoever may train here:")
            say(self._line)
            say("Waiting for clients; Ctrl-C ends.")
        elif state.connected:
            note(f"The service at {self._server} is back.")
        elif state.error and not state.final:
            warn(f"{state.error.sentence} It is tried again for as long as it takes; running jobs go on.")

    def client(self, name: str) -> None:
        say(f"{name} connected.")


async def _run_until_interrupted(worker: Worker, *, drain: bool) -> None:
    with interrupts() as interrupted:
        running = asyncio.ensure_future(worker.run())
        waiting = asyncio.ensure_future(interrupted.get())
        try:
            await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await _wind_down(worker, running, drain=drain, interrupted=interrupted)
        finally:
            for task in (running, waiting):
                task.cancel()
            await asyncio.wait({running, waiting})
        if not running.cancelled():
            running.result()


async def _wind_down(
    worker: Worker, running: "asyncio.Future[None]", *, drain: bool, interrupted: "asyncio.Queue[int]"
) -> None:
    worker.board.close_to_new()
    await worker.board.refresh()
    busy = worker.board.busy
    if drain and (busy or worker.board.queued):
        note(f"No new job is taken; waiting for {busy + worker.board.queued} to end. Ctrl-C again leaves them to run.")
        waits: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(worker.board.idle()),
            asyncio.ensure_future(interrupted.get()),
        ]
        await asyncio.wait([*waits, running], return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.wait(waits)
    if worker.board.busy:
        note(
            f"The worker ends; {worker.board.busy} running job(s) go on under their supervisors. "
            "Start 'sleap-rtc worker' again to see them and to hand out their models."
        )
    else:
        note("The worker ends; no job is running.")


def _gpu_text(gpus: list[Gpu]) -> str:
    if not gpus:
        return "no NVIDIA GPU found: CPU only"
    return ", ".join(f"{gpu.name} ({gpu.memory_mb / 1024:.0f} GiB)" for gpu in gpus)
