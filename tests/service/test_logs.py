"""What the service writes about itself: enough to know who did what, and nothing that lets anybody in."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signaling_server.logs import REQUEST_ID, set_up
from signaling_server.settings import Settings
from sleap_rtc.errors import ForbiddenError
from sleap_rtc.signaling.api import ServiceAPI
from tests.e2e.programs import word_with
from tests.secret_forms import SECRET
from tests.service.peers import Key, browser, worker
from tests.service.people import dev_service, person

pytestmark = pytest.mark.one_database


class Log:
    """What was logged, as objects."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._stream.getvalue().splitlines()]

    def about(self, path: str) -> list[tuple[Any, ...]]:
        return [
            (line["method"], line["status"], line["actor"]) for line in self.lines() if line.get("path", "") == path
        ]


@pytest.fixture
def log() -> Iterator[Log]:
    stream = io.StringIO()
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "signaling_server", "sleap_rtc")}
    handler = set_up(Settings(log_format="json", log_level="debug"), stream)
    yield Log(stream)
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


async def test_a_line_tells_who_did_what_and_who_was_refused(tmp_path: Path, log: Log) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await ada.room()
        token = await ada.worker_token(room)
        async with worker(service, token.token, Key(1)):
            await ada.api.revoke_token(room.room_id, token.token_id)
        refused = await client.get(f"/api/v1/rooms/{room.room_id}?code=hunter2")
        await ada.api.me()
    path = f"/api/v1/rooms/{room.room_id}"
    assert log.about("/api/v1/auth/dev") == [("POST", 200, "-")]
    assert log.about("/api/v1/rooms") == [("POST", 201, ada.user_id)]
    assert log.about(f"{path}/tokens/{token.token_id}") == [("DELETE", 204, ada.user_id)]
    assert [status for _, status, _ in log.about("/api/v1/ws")] == [101, 4403]
    assert log.about(path) == [("GET", 401, "-")]
    assert log.about("/api/v1/me") == []
    (line,) = [line for line in log.lines() if line.get("request") == refused.headers[REQUEST_ID]]
    assert line["address"] == "127.0.0.1"
    assert "hunter2" not in json.dumps(log.lines())


async def test_a_stranger_writes_no_line_of_their_own(tmp_path: Path, log: Log) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        for path in ("/x%0aERROR%20all%20is%20lost", "/%1b[2J", "/" + "a" * 9000, "/slpu_" + "a" * 36):
            await client.get(path)
    lines = [line["path"] for line in log.lines() if "path" in line]
    assert lines[:2] == ["/xERRORallislost", "/"]
    assert len(lines[2]) == 200
    assert lines[3] == "/slpu_…"


def test_words_for_people_bear_the_same(log: Log) -> None:
    stream = io.StringIO()
    handler = set_up(Settings(), stream)
    try:
        logging.getLogger("signaling_server").warning("it is %s", "late")
        logging.getLogger("signaling_server").info("request", extra={"facts": {"status": 401}})
    finally:
        logging.getLogger().removeHandler(handler)
    first, second = stream.getvalue().splitlines()
    assert first.endswith("WARNING signaling_server: it is late")
    assert second.endswith("INFO signaling_server: request status=401")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to stop it gracefully")
async def test_the_logs_of_a_whole_run_hold_no_secret(tmp_path: Path) -> None:
    """The service, a worker and a user's commands as programs, each as talkative as it gets."""
    loud = os.environ | {
        "SLEAP_RTC_SERVER_LOG_LEVEL": "debug",
        "SLEAP_RTC_SERVER_PEPPER": "0123456789abcdefghijklmnopqrstuvwxyz",
        "PYTHONASYNCIODEBUG": "1",
    }
    said: list[Path] = []

    def start(name: str, *words: str, **extra: str) -> "subprocess.Popen[str]":
        home = tmp_path / name
        home.mkdir()
        said.append(home / "err")
        with (home / "err").open("w") as err:
            command = [sys.executable, "-m", "sleap_rtc", *words]
            env = loud | {"SLEAP_RTC_HOME": str(home)} | extra
            return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=err, text=True, cwd=home)

    service = start("service", "server", "run", "--dev", "--port", "0", "--database", str(tmp_path / "x.db"))
    processes = [service]
    try:
        url = word_with(service, "http://")
        ada = await ServiceAPI(url).login_dev("ada")
        api = ServiceAPI(url, ada.access_token)
        room = await api.create_room("lab", 30)
        token = await api.create_token(room.room_id, "gpu-1", 7)
        guest = await ServiceAPI(url).create_anonymous_room()
        processes.append(start("worker", "worker", "--server", url, SLEAP_RTC_API_KEY=token.token))
        word_with(processes[1], "Waiting")
        for words in (["login", "--name", "ada"], ["room", "list"], ["status"]):
            client = start(words[0], *words, "--server", url, SLEAP_RTC_HOME=str(tmp_path / "client"))
            client.communicate("", timeout=60)
            assert client.returncode == 0
        with pytest.raises(ForbiddenError):
            await ServiceAPI(url, token.token).me()
        await api.revoke_token(room.room_id, token.token_id)
        processes[1].wait(60)
        await api.logout()
    finally:
        for process in reversed(processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    logs = {path.parent.name: path.read_text() for path in said}
    assert "DELETE" in logs["service"]
    kept = re.findall(r"slp[ur]_\w+", (tmp_path / "client" / "credentials.json").read_text())
    assert kept
    secrets = [
        *kept,
        ada.access_token,
        token.token,
        guest.worker_token,
        guest.session_token,
        loud["SLEAP_RTC_SERVER_PEPPER"],
    ]
    for name, text in logs.items():
        assert not SECRET.search(text), (name, SECRET.search(text))
        assert not [each for each in secrets if each in text], name
