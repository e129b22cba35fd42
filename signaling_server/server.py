"""The service as a program: its socket, its start, its end."""

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace

import uvicorn
from fastapi import FastAPI

from signaling_server.app import create_app
from signaling_server.backplane.parts import check
from signaling_server.db import upgrade
from signaling_server.db_errors import UNUSABLE
from signaling_server.deps import RESTARTING, Service
from signaling_server.listening import BACKLOG
from signaling_server.logs import set_up
from signaling_server.operating import first_link
from signaling_server.place import Listening, address, listen_at
from signaling_server.protocols import http_protocol, websocket_protocol
from signaling_server.settings import Settings
from sleap_rtc.errors import SleapRTCError, StorageError
from sleap_rtc.protocol.signaling import CLOSE_RESTART

GRACE = 5
"""Seconds open requests and sockets get when the service stops."""
GOODBYE = 2.0
"""Seconds that peers get to hear that the service stops."""
HEAD = 16 * 1024
"""Bytes that the head of a request may have."""
PING = 20.0
"""Seconds between pings, and for their answers: a peer whose machine vanished is noticed within twice that."""


FEW = 16
"""Connections that one of several processes accepts at once: a burst is for all of them."""


@dataclass(frozen=True)
class RunningServer(Listening):
    """A service of this process.

    Attributes:
        app: the application inside.
        stopped: set when it has come to its end.
        stop: begins that end, before the block is left.
    """

    app: FastAPI
    stopped: asyncio.Event
    stop: Callable[[], None]


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service, *, signals: bool, shared: bool) -> None:
        super().__init__(config)
        self._service = service
        self._shared = shared
        self.ready = asyncio.Event()
        self.stopped = asyncio.Event()
        self._signals = signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as exit_:  # all an application's failed start leaves; ours only fails at the database
            raise StorageError(UNUSABLE) from exit_
        for each in sockets or []:
            each.listen(BACKLOG)  # asyncio has made it as short as the number of connections it accepts at once
        self.ready.set()

    def stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # uvicorn hangs up without a word; whoever comes in this moment is told to come back
        self._service.stopping = True
        if self._shared:  # or is taken by another process
            for each in self.servers:
                each.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._service.hub.here.close(RESTARTING, CLOSE_RESTART)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        # uvicorn would serve on without what looks at credentials and speaks to Redis: better to be started again
        return await super().on_tick(counter) or self.lifespan.error_occurred

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        finally:
            self.stopped.set()
        if self.lifespan.error_occurred:
            raise SleapRTCError(
                "A part of the service failed, so all of it has ended; the log says which. Start it again."
            )

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
        UnreachableError: also if Redis does not answer.
        ConfigError: if the pepper's file is unsafe.
        SleapRTCError: if a part of it fails that it cannot do without.
    """
    listener = listen_at(settings)
    try:
        await upgrade(settings.database_url)
        if settings.redis_url is not None:
            await check(settings.redis_url)
        url = address(settings, listener)
        link = await first_link(settings, url)
        async with serving(settings, listener, signals=signals) as server:
            yield replace(server, first_link=link)
    finally:
        listener.close()


@asynccontextmanager
async def serving(
    settings: Settings, listener: socket.socket, *, signals: bool = False, shared: bool = False
) -> AsyncIterator[RunningServer]:
    """The same on a socket that listens already, with a database that is up to date.

    Args:
        settings: as for `running`.
        listener: where to accept.
        signals: as for `running`.
        shared: whether other processes accept there, too.

    Raises:
        SleapRTCError: as `running` does.
    """
    app = create_app(settings)
    server = _Server(_config(app, settings, shared=shared), app.state.service, signals=signals, shared=shared)
    async with _owned(server, listener):
        await server.ready.wait()
        yield RunningServer(address(settings, listener), app=app, stopped=server.stopped, stop=server.stop)


async def serve(settings: Settings, on_ready: Callable[[Listening], None] | None = None) -> None:
    """Run the service in this process until SIGINT or SIGTERM.

    Args:
        settings: port 0 takes a free port.
        on_ready: called once connections are accepted.

    Raises:
        SleapRTCError: as `running` does.
    """
    set_up(settings)
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


def _config(app: FastAPI, settings: Settings, *, shared: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        backlog=FEW if shared else BACKLOG,
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
