"""The dashboard on loopback as a browser reaches it, and as others try to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from websockets.asyncio.client import connect
from websockets.typing import Origin, Subprotocol

from sleap_rtc.cli.dashboard.guard import Address
from sleap_rtc.cli.dashboard.running import running
from sleap_rtc.config.clock import utc_ms
from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.config.settings import load_settings
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.protocol.signaling import SUBPROTOCOL
from sleap_rtc.signaling.account import login_of
from sleap_rtc.signaling.api import ServiceAPI
from tests.service.peers import WAIT, http_client

TIMEOUTS = Timeouts(request=10.0, connect=10.0, close=0.5)


@dataclass(frozen=True)
class Loopback:
    """A dashboard that runs, and the browser that looks at it."""

    address: Address
    browser: httpx2.AsyncClient

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.address.port}"

    @property
    def base(self) -> str:
        return f"{self.origin}/{self.address.token}"

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        """Ask as the page does."""
        return await self.browser.get(self.base + path, headers={"Sec-Fetch-Site": "same-origin"} | headers)

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx2.Response:
        """Change something as the page does; a header of "" is left out."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"} | headers
        kept = {name: value for name, value in own.items() if value}
        return await self.browser.request(method, self.base + path, json=body, headers=kept)

    def socket(self, path: str, *, origin: str | None = "", subprotocol: str = SUBPROTOCOL, **options: Any) -> connect:
        """Open a WebSocket as the page does, or from another origin; None: from no page."""
        by = self.origin if origin == "" else origin
        return connect(
            self.base.replace("http", "ws", 1) + path,
            origin=None if by is None else Origin(by),
            subprotocols=[Subprotocol(subprotocol)],
            proxy=None,
            open_timeout=WAIT,
            **options,
        )

    async def raw(self, *lines: str, host: str | None = None) -> tuple[int, bytes]:
        """Say exactly this, with a Host header; return status and body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.address.port)
        first, *others = lines
        head = [first, f"Host: {host or self.origin.removeprefix('http://')}", *others, "Connection: close"]
        writer.write("".join(f"{line}\r\n" for line in [*head, ""]).encode("latin-1"))
        async with asyncio.timeout(WAIT):
            answer = await reader.read()
        writer.close()
        status, _, body = answer.partition(b"\r\n\r\n")
        return int(status.split(b" ")[1]), body


async def log_in(server: str, name: str = "ada") -> Login:
    """Log in as ``sleap-rtc login --name`` does."""
    login = login_of(await ServiceAPI(server).login_dev(name), utc_ms())
    await asyncio.to_thread(Credentials().keep_login, server, login)
    return login


@asynccontextmanager
async def loopback(server: str, **times: float) -> AsyncIterator[Loopback]:
    """Run the dashboard for the login at `server`."""
    settings = load_settings(flags={"server": server})
    async with running(settings, 0, timeouts=replace(TIMEOUTS, **times)) as address, http_client() as browser:
        yield Loopback(address, browser)
