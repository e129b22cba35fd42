"""The command line as a shell sees it: sentences, exit codes, no traceback, nothing half-written."""

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sleap_rtc.protocol.session_string import SessionString
from sleap_rtc.protocol.tokens import make_token
from tests.forked import sleap_rtc
from tests.jobs.conftest import LABELS
from tests.service.running import running_service

WORKER = "w_" + "A" * 26
NOBODY = SessionString(
    room_id="r_nowhere00", token=make_token("session", os.urandom(32)), worker_id=WORKER, server="http://127.0.0.1:9"
).encode()


def good_package(folder: Path) -> Path:
    folder.mkdir()
    (folder / "labels.slp").write_bytes(LABELS)
    (folder / "a.yaml").write_text("model_config: {}\ntrainer_config: {}\n")
    return folder


def test_help_names_every_command_and_fits_a_terminal() -> None:
    result = sleap_rtc("--help")
    assert result.code == 0
    for command in ("client", "demo", "server", "train", "worker"):
        assert f"  {command} " in result.out
        shown = sleap_rtc(command, "--help")
        assert shown.code == 0
        assert max(map(len, shown.out.splitlines())) <= 80


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom sleap_rtc.cli.main import main\nmain(['--help'])\n"
        "heavy = {'torch', 'aiortc', 'webrtc', 'pydantic', 'rich', 'httpx2', 'asyncio', 'cryptography', 'zmq'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def missing(folder: Path) -> Path:
    return folder / "nowhere.zip"


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def not_a_zip(folder: Path) -> Path:
    (folder / "a.zip").write_bytes(b"not a zip")
    return folder / "a.zip"


def no_labels(folder: Path) -> Path:
    (good_package(folder / "p") / "labels.slp").unlink()
    return folder / "p"


def no_config(folder: Path) -> Path:
    (good_package(folder / "p") / "a.yaml").unlink()
    return folder / "p"


def escaping_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "evil.zip", "w") as archive:
        archive.writestr("labels.slp", LABELS)
        archive.writestr("a.yaml", "a: 1")
        archive.writestr("../../escape.txt", "x")
    return folder / "evil.zip"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, "There is no"),
        (empty_folder, "is empty"),
        (not_a_zip, "neither a folder nor a zip"),
        (no_labels, "holds no labels"),
        (no_config, "holds no training config"),
        (escaping_zip, "is refused"),
    ],
)
def test_a_package_that_cannot_be_trained_is_a_sentence(
    tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    result = sleap_rtc("train", "-s", NOBODY, "-p", str(make(tmp_path)), "-o", str(tmp_path / "models"))
    assert result.code == 2
    assert words in result.err
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("nonsense", 2),
        ("sleap-session:!!!", 2),
        (NOBODY[:-20], 2),
        # the example of the product's first README: well-formed base64, but no ids of ours
        ("sleap-session:eyJyIjogInJvb21faWQiLCAidCI6ICJ0b2tlbiIsICJwIjogInBlZXJfaWQifQ==", 2),
        (NOBODY, 4),  # nobody listens there
    ],
    ids=["words", "not base64", "cut short", "the first README's", "nobody there"],
)
def test_a_session_string_that_leads_nowhere_is_a_sentence(tmp_path: Path, text: str, code: int) -> None:
    result = sleap_rtc("client", "-s", text, "-p", str(good_package(tmp_path / "p")))
    assert result.code == code, result.err
    assert result.err.count("error: ") == 1


async def test_a_token_the_service_does_not_know_is_exit_3(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        token = make_token("session", os.urandom(32))
        line = SessionString(room_id="r_nowhere00", token=token, worker_id=WORKER, server=service.url).encode()
        package = good_package(tmp_path / "p")
        result = await asyncio.to_thread(sleap_rtc, "client", "-s", line, "-p", str(package))
    assert result.code == 3, result.err
    assert token not in result.err


async def test_something_else_on_the_port_is_said(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        line = SessionString(
            room_id="r_nowhere00", token=make_token("session", os.urandom(32)), worker_id=WORKER, server=url
        ).encode()
        result = await asyncio.to_thread(sleap_rtc, "client", "-s", line, "-p", str(good_package(tmp_path / "p")))
    assert result.code == 4, result.err


def test_an_unknown_option_is_usage(tmp_path: Path) -> None:
    assert sleap_rtc("train", "--no-such-thing").code == 2
    assert sleap_rtc("no-such-command").code == 2


def test_one_port_for_both_of_the_monitors_is_usage(tmp_path: Path) -> None:
    result = sleap_rtc("train", "-p", str(tmp_path), "--publish-port", "9000", "--controller-port", "9000")
    assert result.code == 2
    assert "both 9000" in result.err
    assert sleap_rtc("train", "-p", str(tmp_path), "--publish-port", "70000").code == 2


def test_a_bug_of_ours_is_a_sentence_and_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sleap_rtc.cli import main as root

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(root.cli, "main", broken)
    assert root.main([]) == 1
    assert "Something inside sleap-rtc broke (ZeroDivisionError)" in capsys.readouterr().err
    assert "oops" in (Path(os.environ["SLEAP_RTC_HOME"]) / "crash.txt").read_text()


def test_the_package_is_light_and_lists_its_names() -> None:
    script = "import sys, sleap_rtc, json\nprint(json.dumps([sleap_rtc.__version__, 'asyncio' in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    version, heavy = json.loads(done.stdout)
    assert version
    assert not heavy
