"""The page's server as a program: its socket, its start, its end."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from signaling_server.limit_settings import Limits
from signaling_server.listening import listen
from signaling_server.protocols import http_protocol, websocket_protocol
from sleap_rtc.cli.dashboard.app import create_app
from sleap_rtc.cli.dashboard.guard import Address
from sleap_rtc.cli.dashboard.requests import Upstream
from sleap_rtc.cli.running import beside, interrupts
from sleap_rtc.config.settings import Settings
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConflictError
from sleap_rtc.signaling.account import Account
from sleap_rtc.signaling.address import service_address
from sleap_rtc.signaling.http import http_client

HOST = "127.0.0.1"
"""Where it listens: a page with a login and with keys is this machine's alone."""
GRACE = 1
"""Seconds that open requests and sockets get when it ends."""
HEAD = 16 * 1024
"""Bytes that the head of a request may have."""


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # they are the command's


@asynccontextmanager
async def running(settings: Settings, port: int, *, timeouts: Timeouts | None = None) -> AsyncIterator[Address]:
    """Serve the page while the block runs.

    Args:
        settings: what is set on this machine: which service, and its rooms' secrets.
        port: 0 takes a free port.
        timeouts: waiting times.

    Raises:
        AuthenticationError: if nobody is logged in to the service.
        UsageError: if the service's address is not encrypted, as the login is sent there.
        ConflictError: if the port is taken.
    """
    timeouts = timeouts or Timeouts()
    service = service_address(settings.server)
    service.check_private()
    account = Account(settings.server, timeouts=timeouts)
    listener = _listen(port)
    try:
        address = Address(listener.getsockname()[1])
        async with http_client(service, timeouts) as client:
            app = create_app(settings, address, Upstream(service, account, client), timeouts)
            server = _Server(_config(app))
            async with beside(server.serve([listener])) as serving:
                await server.ready.wait()
                try:
                    yield address
                finally:
                    server.should_exit = True
                    await serving
    finally:
        listener.close()


async def serve(settings: Settings, port: int, on_ready: Callable[[Address], None]) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Args:
        settings: see `running`.
        port: 0 takes a free port.
        on_ready: called once the page can be opened.

    Raises:
        SleapRTCError: as `running` does.
    """
    async with running(settings, port) as address:
        with interrupts() as interrupted:
            on_ready(address)
            await interrupted.get()


def _listen(port: int) -> socket.socket:
    try:
        return listen((HOST, port))
    except OSError as error:
        raise ConflictError(
            f"The dashboard cannot listen on port {port} of this machine: {error.strerror}. Choose another one, or let "
            "it take a free one: sleap-rtc dashboard --port 0"
        ) from error


def _config(app: object) -> uvicorn.Config:
    limits = Limits()
    return uvicorn.Config(
        app,  # type: ignore[arg-type] # Starlette's word for the same thing
        http=http_protocol(limits),
        h11_max_incomplete_event_size=HEAD,
        ws=websocket_protocol(limits),
        ws_max_size=limits.message,
        ws_per_message_deflate=False,
        server_header=False,
        date_header=False,  # the service's goes through
        access_log=False,
        log_config=None,
        # whoever started this command reads sentences; what breaks goes to a file
        log_level="critical",
        lifespan="off",
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
    )
