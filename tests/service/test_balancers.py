"""The balancers of docs/deploy.md, as they stand there, before a service of two processes."""

import asyncio
import os
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest

from tests.service.peers import WAIT, Key, Peer, http_client, link, open_room, peer, worker
from tests.service.running import RunningService, two_processes

pytestmark = pytest.mark.one_database

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
CADDY = re.compile(r"With Caddy:\n\n```text\n(.*?)```", re.DOTALL)
NGINX = re.compile(r"With nginx, .*?\n\n```text\n(.*?)```", re.DOTALL)


def _caddy(text: str, port: int, folder: Path) -> list[str]:
    file = folder / "Caddyfile"
    # what differs is the name, and that nobody has a certificate for it here
    options = f"{{\n admin off\n auto_https off\n storage file_system {folder}\n}}\n"
    file.write_text(options + text.replace("rtc.lab.example {", f"http://127.0.0.1:{port} {{"))
    return ["run", "--config", str(file), "--adapter", "caddyfile"]


def _nginx(text: str, port: int, folder: Path) -> list[str]:
    file = folder / "nginx.conf"
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    text = re.sub(r"\n *ssl_certificate.*", "", text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    around = f"daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\n"
    file.write_text(f"{around}{paths}{text}\n}}\n")
    return ["-p", str(folder), "-c", str(file)]


class _Before:
    """A service as it is reached through something."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ws_url = url.replace("http", "ws", 1) + "/api/v1/ws"


@asynccontextmanager
async def balancer(kind: str, folder: Path, one: RunningService, two: RunningService) -> AsyncIterator[RunningService]:
    program = shutil.which(kind, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{kind} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    written: re.Pattern[str] = {"caddy": CADDY, "nginx": NGINX}[kind]
    made: Callable[[str, int, Path], list[str]] = {"caddy": _caddy, "nginx": _nginx}[kind]
    found = written.search(PAGE.read_text())
    assert found is not None
    text = found.group(1)
    for example, service in (("10.0.0.11:8000", one), ("10.0.0.12:8000", two)):
        assert example in text
        text = text.replace(example, service.url.removeprefix("http://"))
    command = made(text, port, folder)
    process = await asyncio.create_subprocess_exec(
        program,
        *command,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={"HOME": str(folder)},
    )
    before = cast(RunningService, _Before(f"http://127.0.0.1:{port}"))
    try:
        await _until_ready(before, process)
        yield before
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _until_ready(before: RunningService, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(WAIT), http_client(before) as client:
        while True:
            assert process.returncode is None
            try:
                if (await client.get("/ready")).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", ["caddy", "nginx"])
async def test_peers_meet_through_a_balancer_and_one_process_may_go(
    tmp_path: Path, shared_redis: tuple[str, str], kind: str
) -> None:
    settings: dict[str, Any] = {"trusted_proxies": ["127.0.0.1"]}
    folder = tmp_path / "balancer"
    folder.mkdir()
    async with (
        two_processes(tmp_path, *shared_redis, **settings) as (one, two),
        balancer(kind, folder, one, two) as before,
    ):
        room = await open_room(before)
        async with worker(before, room, Key(1)) as gpu, peer(before, room.session_token) as client:
            await _offer(client, gpu, 1)
            totals = [each.service.hub.here.totals_now() for each in (one, two)]
            assert [each.clients + each.workers for each in totals] == [1, 1]
        await one.stop()
        async with worker(before, room, Key(1)) as gpu, peer(before, room.session_token) as client:
            await _offer(client, gpu, 2)
            assert client.welcome["principal"]["role"] == "client"


async def _offer(client: Peer, gpu: Peer, number: int) -> None:
    await client.say("offer", link=link(number), worker_id=Key(1).worker_id, sdp="v=0")
    assert (await gpu.hear())["link"] == link(number)
