"""The file of credentials: private, whole, and never another service's."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sleap_rtc.config.credentials import Credentials, Login, WorkerSession, WorkerToken
from sleap_rtc.config.locks import locked
from sleap_rtc.errors import ConfigError, StorageError

LAB = "https://rtc.lab.example"
LOGIN = Login("slpu_token", "u_abcdefgh", "ada", 1_800_000_000_000)
posix = pytest.mark.skipif(sys.platform == "win32", reason="no such modes or links")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "credentials.json"


def test_a_login_is_kept_for_its_server_alone(path: Path) -> None:
    credentials = Credentials(path)
    credentials.keep_login(LAB, LOGIN)
    assert credentials.login(LAB + ":443/") == LOGIN
    assert credentials.login("http://rtc.lab.example") is None
    assert credentials.login("https://rtc.lab.example.evil.example") is None
    credentials.forget_login(LAB)
    assert credentials.login(LAB) is None
    credentials.forget_login(LAB)


def test_services_stand_side_by_side(path: Path) -> None:
    credentials = Credentials(path)
    other = replace(LOGIN, name="grace", refresh_token="slpr_token", login_id="a_abcdefgh")
    credentials.keep_login(LAB, LOGIN)
    credentials.keep_login("http://127.0.0.1:8000/", other)
    credentials.keep_worker_token("https://third.example", "r_abcdefgh", WorkerToken("t_1", "slp_x", "gpu"))
    assert credentials.logins() == {LAB: LOGIN, "http://127.0.0.1:8000": other}
    assert not {"slpu_token", "slpr_token"} & set(str(credentials.logins()).split("'"))


def test_new_tokens_replace_no_other_login(path: Path) -> None:
    credentials = Credentials(path)
    renewed = replace(LOGIN, access_token="slpu_second", refresh_token="slpr_second")
    credentials.keep_login(LAB, LOGIN)
    credentials.replace_login(LAB, LOGIN, renewed)
    assert credentials.login(LAB) == renewed
    credentials.replace_login(LAB, LOGIN, replace(LOGIN, access_token="slpu_third"))
    assert credentials.login(LAB) == renewed
    credentials.forget_login(LAB)
    credentials.replace_login(LAB, renewed, LOGIN)
    assert credentials.login(LAB) is None


async def test_one_at_a_time_renews_a_login_and_others_may_write_meanwhile(path: Path) -> None:
    credentials = Credentials(path)
    async with credentials.renewing(LAB, patience=0):
        credentials.keep_login(LAB, LOGIN)
        async with credentials.renewing("https://other.example", patience=0):
            pass
        with pytest.raises(StorageError, match="Another sleap-rtc process"):
            async with credentials.renewing(LAB + "/", patience=0.02):
                raise AssertionError("two renew it")
    async with credentials.renewing(LAB, patience=0):
        pass


def test_what_workers_use_outlives_a_logout(path: Path) -> None:
    credentials = Credentials(path)
    token, session = WorkerToken("t_1", "slp_x", "gpu"), WorkerSession("r_abcdefgh", "slp_y", "slps_z")
    credentials.keep_login(LAB, LOGIN)
    credentials.keep_worker_token(LAB, "r_abcdefgh", token)
    credentials.keep_worker_session(LAB, session)
    credentials.forget_login(LAB)
    assert credentials.worker_token(LAB, "r_abcdefgh") == token
    assert credentials.worker_token(LAB, "r_ijklmnop") is None
    assert credentials.worker_session(LAB) == session


@posix
def test_the_file_is_private(path: Path) -> None:
    Credentials(path).keep_login(LAB, LOGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        Credentials(path).login(LAB)
    with pytest.raises(ConfigError, match="chmod 600"):
        Credentials(path).keep_login(LAB, LOGIN)


@posix
def test_a_link_is_refused(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.json"
    Credentials(elsewhere).keep_login(LAB, LOGIN)
    path.symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="is a link"):
        Credentials(path).login(LAB)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", '{"https://rtc.lab.example": 1}', '{"https://rtc.lab.example": {"login": {"name": "ada"}}}',
        '{"https://rtc.lab.example": {"login": "slpu_token"}}',
        '{"https://rtc.lab.example": {"login": {"access_token": 1, "user_id": "u", "name": "n", "expires_at": 1}}}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_a_sentence(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="is damaged"):
        Credentials(path).login(LAB)
    assert path.read_text() == text


def test_a_truncated_file_is_a_sentence(path: Path) -> None:
    Credentials(path).keep_login(LAB, LOGIN)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="is damaged"):
        Credentials(path).keep_worker_token(LAB, "r_abcdefgh", WorkerToken("t_1", "slp_x", "gpu"))


WRITER = """
import sys
from dataclasses import replace
from pathlib import Path
from sleap_rtc.config.credentials import Credentials, WorkerToken
credentials = Credentials(Path(sys.argv[1]))
for number in range(40):
    credentials.keep_worker_token("https://rtc.lab.example", f"{sys.argv[2]}{number}", WorkerToken("t", "slp", "n"))
"""


def test_two_writers_lose_nothing(path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    tokens = json.loads(path.read_text())[LAB]["worker_tokens"]
    assert len(tokens) == 80
    assert [each.name for each in path.parent.iterdir() if each.name.endswith(".tmp")] == []


def test_a_writer_that_hangs_is_a_sentence(path: Path) -> None:
    with locked(path), pytest.raises(StorageError, match="Another sleap-rtc process"), locked(path, patience=0.02):
        raise AssertionError("two hold the lock")
    with locked(path, patience=0):
        assert os.listdir(path.parent) == [f".{path.name}.lock"]  # noqa: PTH208
