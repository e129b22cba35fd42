"""The service as a program: its socket, its start, its end."""

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import uvicorn
from fastapi import FastAPI

from signaling_server.app import create_app
from signaling_server.auth import accounts
from signaling_server.db import upgrade
from signaling_server.db_errors import UNUSABLE
from signaling_server.deps import RESTARTING, Service
from signaling_server.logs import set_up
from signaling_server.open_files import allow_many
from signaling_server.operating import enrolment_link
from signaling_server.protocols import http_protocol, websocket_protocol
from signaling_server.settings import Settings
from sleap_rtc.errors import ConflictError, StorageError, UnreachableError
from sleap_rtc.protocol.signaling import CLOSE_RESTART

GRACE = 5
"""Seconds open requests and sockets get when the service stops."""
GOODBYE = 2.0
"""Seconds that peers get to hear that the service stops."""
HEAD = 16 * 1024
"""Bytes that the head of a request may have."""
PING = 20.0
"""Seconds between pings, and for their answers: a peer whose machine vanished is noticed within twice that."""
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


@dataclass(frozen=True)
class RunningServer:
    """A service that accepts connections.

    Attributes:
        url: where this machine reaches it.
        app: the application inside.
        stopped: set when it has come to its end.
        stop: begins that end, before the block is left.
        first_link: where somebody chooses the first account's password, once; None unless nobody has one yet.
    """

    url: str
    app: FastAPI
    stopped: asyncio.Event
    stop: Callable[[], None]
    first_link: str | None = field(default=None, repr=False)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service, *, signals: bool) -> None:
        super().__init__(config)
        self._service = service
        self.ready = asyncio.Event()
        self.stopped = asyncio.Event()
        self._signals = signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as exit_:  # all an application's failed start leaves; ours only fails at the database
            raise StorageError(UNUSABLE) from exit_
        self.ready.set()

    def stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn hangs up without a word; whoever comes in this moment is told to come back
        self._service.stopping = True
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._service.hub.close(RESTARTING, CLOSE_RESTART)
        await super().shutdown(sockets)

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            self.stopped.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn raises a caught signal again at the end; a service that was asked to stop and did has succeeded
        if not self._signals or threading.current_thread() is not threading.main_thread():
            yield
            return
        names = [signal.SIGINT, signal.SIGTERM]
        before = [signal.signal(name, self.handle_exit) for name in names]
        try:
            yield
        finally:
            for name, handler in zip(names, before, strict=True):
                signal.signal(name, handler)


@asynccontextmanager
async def running(settings: Settings, *, signals: bool = False) -> AsyncIterator[RunningServer]:
    """Run the service while the block runs, and stop it gracefully at its end.

    Args:
        settings: port 0 takes a free port.
        signals: whether SIGINT and SIGTERM stop it (main thread only).

    Raises:
        ConflictError: if the port is taken.
        UnreachableError: if the host is no address of this machine.
        StorageError: if the database cannot be opened or written.
        ConfigError: if the pepper's file is unsafe.
    """
    listener = _listen(settings)
    try:
        await upgrade(settings.database_url)
        app = create_app(settings)
        server = _Server(_config(app, settings), app.state.service, signals=signals)
        async with _owned(server, listener):
            await server.ready.wait()
            url = _url(settings, listener)
            yield RunningServer(url, app, server.stopped, server.stop, await _first_link(app.state.service, url))
    finally:
        listener.close()


async def serve(settings: Settings, on_ready: Callable[[RunningServer], None] | None = None) -> None:
    """Run the service until SIGINT or SIGTERM.

    Args:
        settings: port 0 takes a free port.
        on_ready: called once connections are accepted.

    Raises:
        SleapRTCError: as `running` does.
    """
    set_up(settings)
    allow_many()
    async with running(settings, signals=True) as service:
        if on_ready is not None:
            on_ready(service)
        await service.stopped.wait()


@asynccontextmanager
async def _owned(server: _Server, listener: socket.socket) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]))
            try:
                yield
            finally:
                # the group would cancel a server that still serves; let it say goodbye to its peers first
                server.stop()
                await server.stopped.wait()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise


async def _first_link(service: Service, url: str) -> str | None:
    if not service.settings.local_accounts:
        return None
    async with service.database.transaction() as session:
        secret = await accounts.invite_first(session, service.pepper, now=service.clock())
    return None if secret is None else enrolment_link(service.settings.public_url or url, secret)


def _listen(settings: Settings) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except socket.gaierror as error:
        raise UnreachableError(f"The service cannot listen on '{settings.host}': no such address.") from error
    except OSError as error:
        raise ConflictError(
            f"The service cannot listen on {settings.host} port {settings.port}: {error.strerror}. Perhaps one is "
            "running already; stop it, or choose another port with --port."
        ) from error


def _url(settings: Settings, listener: socket.socket) -> str:
    host = _WILDCARDS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=http_protocol(settings.limits),
        h11_max_incomplete_event_size=HEAD,
        ws=websocket_protocol(settings.limits),
        ws_max_size=settings.limits.message,
        # compression would let 64 KiB arrive as much more memory, and costs 5,000 idle peers dearly
        ws_per_message_deflate=False,
        ws_ping_interval=PING,
        ws_ping_timeout=PING,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        server_header=False,
        access_log=False,
        log_config=None,
        lifespan="on",
        timeout_graceful_shutdown=GRACE,
    )
