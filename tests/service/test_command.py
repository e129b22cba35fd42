"""``sleap-rtc server`` as a program, and what it writes to its log."""

import asyncio
import io
import logging
import re
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from signaling_server.security import RedactingFilter
from signaling_server.server import running
from signaling_server.settings import Settings
from sleap_rtc.errors import ConfigError, ConflictError
from sleap_rtc.protocol.session_string import SessionString
from sleap_rtc.protocol.tokens import make_token
from sleap_rtc.signaling.api import ServiceAPI

pytestmark = pytest.mark.one_database

PROGRAM = "from sleap_rtc.cli.server import server; server()"


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to stop it gracefully")
def test_it_says_where_it_listens_and_stops_when_asked(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "--port", "0", "--database", str(tmp_path / "x" / "service.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert url is not None
        room = asyncio.run(ServiceAPI(url.group()).create_anonymous_room())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert room.session_token not in out + err
    assert (tmp_path / "x" / "service.pepper").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no limit there")
def test_it_holds_more_peers_than_it_was_given_files_at_first(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "--port", "0", "--database", str(tmp_path / "service.db")]
    few = ["sh", "-c", 'ulimit -Sn 64 && exec "$@"', "sh", *command]
    with subprocess.Popen(few, stdout=subprocess.PIPE, text=True) as process, ExitStack() as open_sockets:
        assert process.stdout is not None
        port = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert port is not None
        for _ in range(100):
            peer = open_sockets.enter_context(socket.create_connection(("127.0.0.1", int(port[1])), timeout=30))
            peer.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert peer.recv(12) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGTERM)


def test_a_login_by_name_alone_is_for_this_machine(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from sleap_rtc.cli.server import server

    refused = CliRunner().invoke(server, ["run", "--dev", "--host", "0.0.0.0", "--database", str(tmp_path / "x.db")])
    assert isinstance(refused.exception, ConfigError)
    assert "'dev'" in refused.exception.sentence
    assert not (tmp_path / "x.db").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to stop it gracefully")
def test_dev_is_warned_of_and_works(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, "run", "--dev", "--port", "0", "--database", str(tmp_path / "x.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert url is not None
        grant = asyncio.run(ServiceAPI(url.group()).login_dev("ada"))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "under any name" in " ".join(err.split())
    assert grant.access_token not in out + err


async def test_a_taken_port_is_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(port=taken.getsockname()[1], database_url=f"sqlite+aiosqlite:///{tmp_path / 'x.db'}")
        with pytest.raises(ConflictError, match="--port"):
            async with running(settings):
                pass


def test_logs_hold_no_secret() -> None:
    token = make_token("worker", bytes(32))
    line = SessionString("r_aaaaaaaa", token, "w_aaaaaaaa").encode()
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(RedactingFilter())
    logger = logging.getLogger("test_logs_hold_no_secret")
    logger.propagate = False
    logger.addHandler(handler)
    try:
        raise ValueError(f"bad {token}")
    except ValueError:
        logger.exception("got %s and %s", token, line)
    assert token[4:] not in stream.getvalue()
    assert line not in stream.getvalue()
    assert "bad slp_…" in stream.getvalue()
