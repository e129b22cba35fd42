"""``sleap-rtc dashboard`` as a program."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.loopback import log_in
from tests.cli.shell import Shell
from tests.service.peers import WAIT, http_client
from tests.service.running import RunningService

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process alone")


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """Start it; whatever happens, it does not outlive the body."""
    command = [sys.executable, "-m", "sleap_rtc", "dashboard", *arguments]
    bare = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")}
    with subprocess.Popen(
        command, env=bare | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


async def test_it_prints_its_address_and_ends_on_ctrl_c(service: RunningService) -> None:
    login = await log_in(service.url)
    with started() as process:
        line = await asyncio.to_thread(line_of, process)
        url = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
        async with http_client() as browser:
            page = await browser.get(url)
            about = await browser.get(url + "page.json")
        assert (page.status_code, about.json()["server"]) == (200, service.url)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(process.communicate, timeout=WAIT)
    assert (process.returncode, out) == (0, "")
    port = url.split(":")[2].partition("/")[0]
    assert f"ssh -N -L {port}:127.0.0.1:{port} HOST" in err
    assert "Traceback" not in err
    assert login.access_token not in line + err


async def test_scripts_get_one_line_of_json(service: RunningService) -> None:
    await log_in(service.url)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started("--no-browser", "--json", "--port", str(port)) as process:
        said = json.loads(await asyncio.to_thread(line_of, process))
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.to_thread(process.communicate, timeout=WAIT)
    assert list(said) == ["url"]
    assert said["url"].startswith(f"http://127.0.0.1:{port}/")
    assert (process.returncode, out, err) == (0, "", "")


async def test_a_browser_is_started_with_an_address_that_works_once(service: RunningService, tmp_path: Path) -> None:
    await log_in(service.url)
    seen = tmp_path / "seen"
    await asyncio.to_thread(os.mkfifo, seen)
    program = tmp_path / "browser"
    await asyncio.to_thread(program.write_text, f'#!/bin/sh\necho "$1" > {seen}\n')
    await asyncio.to_thread(program.chmod, 0o755)
    with started(BROWSER=str(program)) as process:
        line = await asyncio.to_thread(line_of, process)
        async with asyncio.timeout(WAIT):
            door = (await asyncio.to_thread(seen.read_text)).strip()
        url = line.split()[-1]
        assert url.split("/")[3] not in door
        async with http_client() as browser:
            opened = await browser.get(door)
            again = await browser.get(door)
        assert (opened.status_code, opened.headers["location"], again.status_code) == (303, url, 404)


async def test_who_is_not_logged_in_is_told_how(service: RunningService, shell: Shell) -> None:
    refused = await shell.run("dashboard", "--no-browser")
    assert (refused.code, refused.out) == (3, "")
    assert f"sleap-rtc login --server {service.url}" in " ".join(refused.err.split())


async def test_a_taken_port_is_a_sentence(service: RunningService, shell: Shell) -> None:
    await log_in(service.url)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = await shell.run("dashboard", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert (refused.code, "--port 0" in refused.err) == (2, True)


async def test_a_login_goes_nowhere_unencrypted(shell: Shell) -> None:
    refused = await shell.run("dashboard", "--no-browser", "--server", "http://rtc.example.org")
    assert (refused.code, "not encrypted" in " ".join(refused.err.split())) == (2, True)


def test_without_the_parts_of_a_server_it_says_what_to_install(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    refused = shell.now("dashboard", "--no-browser")
    assert (refused.code, 'pip install "sleap-rtc[server]"' in " ".join(refused.err.split())) == (1, True)
