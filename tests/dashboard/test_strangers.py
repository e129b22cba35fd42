"""What a service or a worker says becomes no command, and no program, on the machine of whoever looks at the page."""

import pytest

from sleap_rtc.protocol.tokens import make_token
from tests.dashboard.node import run

KEEP = """try { page.keepToken("r", args[0]); } catch (error) { return error.message; } return page.tokenOf("r");"""


def test_a_token_is_shown() -> None:
    token = make_token("worker", bytes(32))
    assert run("made_tokens.js", KEEP, token) == token


@pytest.mark.parametrize("token", ["$(touch x)", "slp_" + "a" * 36 + "\nEOF\ntouch x\n", "slp_a; touch x", "", None])
def test_what_is_no_token_is_not_put_into_commands(token: str | None) -> None:
    assert "no token" in run("made_tokens.js", KEEP, token)


def test_a_download_is_a_zip_whatever_the_worker_calls_it() -> None:
    names = [
        "fly.zip",
        "Fly.ZIP",
        "../../setup.exe",
        "C:\\x\\run.desktop",
        "fly.zip.html",
        "a\u202egpj.exe",
        ".zip",
        "",
        "..",
    ]
    assert run("peer/download.js", "return args[0].map(page.safeName)", names) == [
        "fly.zip", "Fly.ZIP", "setup.exe.zip", "run.desktop.zip", "fly.zip.html.zip", "agpj.exe.zip", "zip.zip",
        "download.zip", "download.zip",
    ]  # fmt: skip
