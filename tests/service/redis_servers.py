"""A Redis for services of several processes: one that runs here, or one of a test's own, to be killed."""

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path

import pytest

from tests.service.databases import run

VARIABLE = "SLEAP_RTC_TEST_REDIS"
_USUAL = "redis://127.0.0.1:6379/0"


def new_prefix() -> str:
    """Keys of this test's own."""
    return f"sleap-rtc-test:{secrets.token_hex(6)}:"


def redis_url() -> str:
    """A Redis server that answers; the test is skipped if there is none."""
    found = _looked_for()
    if not found.startswith("redis"):
        pytest.skip(found)
    return found


@cache
def _looked_for() -> str:
    from signaling_server.backplane.parts import check
    from sleap_rtc.errors import UnreachableError

    url = os.environ.get(VARIABLE, _USUAL)
    try:
        run(check(url))
    except UnreachableError as error:
        return f"no test of several processes: {error.sentence} Name one: {VARIABLE}=redis://host:port"
    return url


_chosen: list[str] = []


@contextmanager
def on_redis() -> Iterator[None]:
    """Services that begin while the block runs are two processes each, which find each other here."""
    url, prefix = redis_url(), new_prefix()
    _chosen.append(prefix)
    try:
        yield
    finally:
        _chosen.remove(prefix)
        forget(url, prefix)


def is_chosen() -> bool:
    return bool(_chosen)


def settings_for(folder: Path) -> dict[str, str]:
    """The same folder, the same service."""
    return {"redis_url": redis_url(), "redis_prefix": f"{_chosen[-1]}{folder.name[:20]}:"} if _chosen else {}


def forget(url: str, prefix: str) -> None:
    """Remove all keys of a test."""
    from redis import Redis

    with Redis.from_url(url) as client:
        found = list(client.scan_iter(match=f"{prefix}*", count=1000))
        if found:
            client.delete(*found)


@pytest.fixture
def shared_redis() -> Iterator[tuple[str, str]]:
    """A Redis that runs here, and a prefix of the test's own."""
    url, prefix = redis_url(), new_prefix()
    yield url, prefix
    forget(url, prefix)


class OwnRedis:
    """A Redis server of this test's own."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("the program redis-server is not installed")
        self._program = program
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", str(self._folder)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def own_redis(folder: Path) -> AsyncIterator[OwnRedis]:
    """A server that this test may kill."""
    server = OwnRedis(folder)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


class Way:
    """A network between services and a Redis server, in which what is listened to can get lost.

    Attributes:
        url: the way's beginning.
    """

    def __init__(self) -> None:
        self.url = ""
        self._listening: list[asyncio.Task[None]] = []

    def swallow(self) -> None:
        """From now on nothing arrives on the connections that listen, and nobody is told: a router forgot them."""
        while self._listening:
            self._listening.pop().cancel()

    async def join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        back = asyncio.create_task(_pipe(far_reader, writer))
        try:
            while piece := await reader.read(65536):
                if b"SUBSCRIBE" in piece:
                    self._listening.append(back)
                far_writer.write(piece)
        finally:
            back.cancel()
            for each in (writer, far_writer):
                each.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
    writer.close()


@asynccontextmanager
async def swallowing(port: int) -> AsyncIterator[Way]:
    """A way to the Redis server at `port`."""
    way, joined = Way(), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(way.join(reader, writer, port))
        joined.add(task)
        task.add_done_callback(joined.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    way.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    try:
        yield way
    finally:
        server.close()
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)
