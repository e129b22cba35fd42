"""What ``sleap-rtc worker`` does once its options are read."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sleap_rtc.cli.formats import count, format_duration
from sleap_rtc.cli.machine import Machine, Places, look_around, say_who
from sleap_rtc.cli.output import note, say, warn
from sleap_rtc.cli.running import beside, interrupts
from sleap_rtc.config.paths import home
from sleap_rtc.config.schema import API_KEY, Mount
from sleap_rtc.config.secret_lookup import SecretLookup
from sleap_rtc.config.servers import server_words
from sleap_rtc.config.settings import Settings, WorkerSection
from sleap_rtc.errors import AuthenticationError, ConfigError
from sleap_rtc.jobs.checking import Preflight
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.load import least_memory, most_memory, most_processes, most_threads
from sleap_rtc.jobs.quota import least_free
from sleap_rtc.jobs.retention import DAY, DEFAULT_DAYS
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.exporting import ExportFormat
from sleap_rtc.protocol.room_secrets import RoomSecret
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.signaling.token_source import TokenSource
from sleap_rtc.transport.engines import Engine
from sleap_rtc.transport.paths import NetworkPath
from sleap_rtc.worker.enrolment import (
    Enrolment,
    check_key,
    check_room,
    enrol_with_key,
    enrol_with_login,
    find_or_make_session,
    session_string,
)
from sleap_rtc.worker.worker import Worker, WorkerSettings

_SOON = 24 * 3600
"""Seconds before the end of a key or its room from which on a worker says so at its start."""


@dataclass(frozen=True)
class WorkerRequest:
    """What the user asks for.

    Attributes:
        settings: everything that is set, the service among it.
        name: what to call the worker; None for the name of its token, or of this machine.
        room: the room to serve, or to check the key against.
        session: whether to make a session string, whatever is configured.
        jobs: the folder of its jobs, if not the usual one.
        store: the folder of the files that clients sent, if not the usual one.
        drain: whether Ctrl-C waits for the jobs that run or wait.
        keep_jobs: for how many days jobs are kept after their end.
        mounts: folders that jobs may read, beside those of the configuration; a label's typed folder wins.
        secrets: finds the secrets of rooms.
    """

    settings: Settings
    name: str | None
    room: str | None
    session: bool
    jobs: Path | None
    store: Path | None
    drain: bool
    keep_jobs: int = DEFAULT_DAYS
    mounts: tuple[Mount, ...] = ()
    secrets: SecretLookup = field(default_factory=SecretLookup.of_this_machine)

    @property
    def server(self) -> str:
        """The service's address."""
        return self.settings.server

    @property
    def jobs_folder(self) -> Path:
        """The folder of its jobs."""
        return (self.jobs or home() / "jobs").resolve()

    @property
    def models_folder(self) -> Path:
        """The folder of the models that it keeps: on the disk that its jobs are on."""
        # a folder that the user named may stand beside models of the user's own
        return home() / "models" if self.jobs is None else self.jobs_folder / "models"

    @property
    def store_folder(self) -> Path:
        """The folder of the files that clients sent."""
        return self.store or home() / "store"


async def serve(request: WorkerRequest) -> int:
    """Run a worker until Ctrl-C.

    Returns:
        The exit code.

    Raises:
        AuthenticationError: if the service refuses the worker, now or later.
        ConfigError: if there are no such GPUs, or fewer, as were asked for.
        ConflictError: if the same worker was started again elsewhere.
    """
    by_key = not request.session and request.settings.worker.api_key is not None
    by_login = not request.session and not by_key and request.room is not None
    if not (request.session or by_key):
        _check_no_key_is_withheld(request.settings)
    machine = await look_around(request.settings, _places(request), request.mounts)
    origin = request.settings.origin("server")
    if origin in map(str, request.settings.files):
        note(f"The service {request.server} is the one that {origin} names.")
    if by_key:
        return await _serve_room(request, machine, await _enrol_by_key(request))
    if by_login:
        return await _serve_room(request, machine, await _enrol_by_login(request))
    return await _serve_session(request, machine)


def _check_no_key_is_withheld(settings: Settings) -> None:
    why = settings.withheld.get(API_KEY)
    if why is not None:
        raise ConfigError(
            f"{why} Give the service that you mean with --server, or make a session string with --session."
        )


def _places(request: WorkerRequest) -> Places:
    return Places(request.jobs_folder, request.store_folder)


async def _enrol_by_key(request: WorkerRequest) -> Enrolment:
    key = request.settings.worker.api_key or ""
    check_key(key, request.settings.origin(API_KEY))
    enrolment = await enrol_with_key(request.server, key, on_service=_say_unreachable)
    if request.room is not None:
        check_room(enrolment, request.room)
    await asyncio.to_thread(request.secrets.check_worker_key, request.server, key, enrolment.room_id)
    if enrolment.ends_in is not None and enrolment.ends_in < _SOON:
        warn(
            f"The key or the room of this worker ends in {format_duration(enrolment.ends_in)}, and the worker with it. "
            "The room's owner can type: sleap-rtc token rotate, or sleap-rtc room extend"
        )
    return enrolment


async def _enrol_by_login(request: WorkerRequest) -> Enrolment:
    name = request.name or socket.gethostname()
    return await enrol_with_login(request.server, Account(request.server), request.room or "", name)


async def _serve_room(request: WorkerRequest, machine: Machine, enrolment: Enrolment) -> int:
    if request.room is not None:
        await asyncio.to_thread(request.secrets.check_name, request.server, request.room, enrolment.room_id)
    name = request.name or enrolment.name or socket.gethostname()
    say_who(name, machine)
    line = f"  sleap-rtc train{server_words(request.server)} --room {enrolment.room_id} --pkg-path PACKAGE.zip"
    announce = _Announcer(
        request.server,
        f"Serving the room '{enrolment.room_name}' ({enrolment.room_id}). Its members train here with:",
        line,
    )
    worker = await _make_worker(request, machine, name, (enrolment.room_id, enrolment.token), announce)
    await run_until_interrupted(worker, drain=request.drain)
    return 0


async def _serve_session(request: WorkerRequest, machine: Machine) -> int:
    name = request.name or socket.gethostname()
    say_who(name, machine)
    renew = False
    while True:
        session = await find_or_make_session(request.server, name, new=renew)
        line = session_string(request.server, session, machine.identity)
        announce = _Announcer(request.server, "Give this line to whoever may train here:", line)
        worker = await _make_worker(request, machine, name, (session.room_id, session.worker_token), announce)
        try:
            await run_until_interrupted(worker, drain=request.drain)
            return 0
        except AuthenticationError:
            # a string that nobody used expires; a service that refuses even a fresh one means it
            if renew and not announce.connected:
                raise
            renew = True
            note("The session string has expired; a new one is made.")


async def _find_secrets(request: WorkerRequest, room: str) -> Callable[[], tuple[RoomSecret, ...]]:
    """What a worker asks at each link; asked once now, so that a secret that cannot be used is said at the start."""

    def find() -> tuple[RoomSecret, ...]:
        return request.secrets.secrets(request.server, room)

    if await asyncio.to_thread(find):
        words = f"{server_words(request.server)} {room}"
        note(f"The room has a secret; clients need it, too. Each types once: sleap-rtc room set-secret{words}")
    return find


async def _make_worker(
    request: WorkerRequest,
    machine: Machine,
    name: str,
    place: tuple[str, str | TokenSource],
    announce: "_Announcer",
) -> Worker:
    room, token = place
    engine = cast(Engine, request.settings.transport)
    jobs = request.jobs_folder
    said = request.settings.worker
    min_free = least_free(jobs) if said.min_free_bytes is None else said.min_free_bytes
    settings = WorkerSettings(
        server=request.server,
        token=token,
        name=name,
        identity=machine.identity,
        jobs=jobs,
        store=request.store_folder,
        models=request.models_folder,
        limits=request.settings.limits,
        gpus=machine.gpus,
        executor=LocalExecutor(
            _supervision(request.settings.worker, min_free, machine),
            warm=request.settings.worker.warm,
        ),
        # a job may get any of them: what fits into the smallest needs no warning
        preflight=Preflight(
            jobs / ".preflight",
            gpu_memory_mb=min((gpu.memory_mb for gpu in machine.gpus), default=None),
            mounts=machine.mounts,
            sandbox=machine.isolation.settings,
        ),
        mounts=machine.mounts,
        processor_slots=request.settings.worker.slots or 1,
        allow_wandb=request.settings.worker.allow_wandb,
        auto_export=auto_export(request.settings.worker),
        keep_jobs=request.keep_jobs * DAY,
        min_free=min_free,
        engine=engine,
        room=room,
        secrets=await _find_secrets(request, room),
    )
    return Worker(settings, on_service=announce.service, on_client=announce.client)


def auto_export(said: WorkerSection) -> ExportFormat | None:
    """The format in which what was trained is exported by itself."""
    found: dict[str, ExportFormat] = {"onnx": "onnx", "tensorrt": "tensorrt"}
    return found.get(said.auto_export)


def _supervision(said: WorkerSection, min_free: int, machine: Machine) -> SupervisorSettings:
    return SupervisorSettings(
        max_work=said.max_job_bytes,
        min_free=min_free,
        max_processes=most_processes(),
        max_threads=most_threads(),
        max_memory=said.max_job_memory or most_memory(),
        min_memory=least_memory(),
        max_hours=said.max_job_hours,
        sandbox=machine.isolation.settings,
    )


class _Announcer:
    """Says each change of the connection to the service once.

    Args:
        server: the service's address.
        heading: what to say at the first connection.
        line: what clients need to come here.
    """

    def __init__(self, server: str, heading: str, line: str) -> None:
        self._server = server
        self._heading = heading
        self._line = line
        self.connected = False

    def service(self, state: ServiceState) -> None:
        if state.connected and not self.connected:
            self.connected = True
            say(self._heading)
            say(self._line)
            say("Waiting for clients; Ctrl-C ends.")
        elif state.connected:
            note(f"The service at {self._server} is back.")
        else:
            _say_unreachable(state)

    def client(self, name: str, path: NetworkPath | None) -> None:
        say(f"{name} connected, {path}." if path and path.way == "relay" else f"{name} connected.")


def _say_unreachable(state: ServiceState) -> None:
    if not state.connected and state.error and not state.final:
        warn(f"{state.error.sentence} It is tried again for as long as it takes; running jobs go on.")


async def run_until_interrupted(worker: Worker, *, drain: bool) -> None:
    """Run a worker until Ctrl-C or SIGTERM; with `drain`, until the jobs that it has by then are over as well.

    Raises:
        SleapRTCError: what ended the worker before.
    """
    async with beside(worker.run()) as running:
        with interrupts() as interrupted:
            async with beside(interrupted.get()) as pressed:
                either: set[asyncio.Future[Any]] = {running, pressed}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            await _wind_down(worker, running, drain=drain, interrupted=interrupted)
        # from here on Ctrl-C is what it always is: what is on disk needs no goodbye
    return None


async def _wind_down(
    worker: Worker, running: "asyncio.Future[None]", *, drain: bool, interrupted: "asyncio.Queue[int]"
) -> None:
    board = worker.board
    board.close_to_new()
    await board.refresh()
    if drain and board.busy + board.queued:
        note(
            f"No new job is taken; the worker ends after {board.busy} running and {board.queued} waiting. "
            "Ctrl-C again ends it now, and loses none of them."
        )
        async with beside(board.idle()) as idle, beside(interrupted.get()) as again:
            any_of: set[asyncio.Future[Any]] = {idle, again, running}
            await asyncio.wait(any_of, return_when=asyncio.FIRST_COMPLETED)
    note(farewell(board.busy, board.queued))


def farewell(running: int, waiting: int) -> str:
    """Say what becomes of the jobs of a worker that ends."""
    if not running and not waiting:
        return "The worker ends; no job runs or waits."
    fates = []
    if running:
        fates.append(f"{count(running, 'running job')} {'goes' if running == 1 else 'go'} on without it")
    if waiting:
        fates.append(f"{count(waiting, 'waiting job')} {'stays' if waiting == 1 else 'stay'} on disk")
    return f"The worker ends; {', '.join(fates)}. The next 'sleap-rtc worker' here goes on with what it finds."
