"""Commands typed in this process: as fast as a function call, with what a shell would see."""

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from sleap_rtc.cli.main import main


@dataclass
class Typed:
    """What a command left behind."""

    code: int
    out: str
    err: str


@dataclass
class Shell:
    """A user without a terminal, in a folder and home of their own.

    Attributes:
        folder: where commands are typed; a project's folder below the home.
        user: the user's home folder.
    """

    folder: Path
    user: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def export(self, name: str, value: str) -> None:
        self.monkeypatch.setenv(name, value)

    def now(self, *words: str) -> Typed:
        """Type a command that needs no service."""
        self.capsys.readouterr()
        code = main(list(words))
        out, err = self.capsys.readouterr()
        assert "Something inside sleap-rtc broke" not in err
        return Typed(code, out, err)

    def pipe(self, text: str) -> None:
        """Let the next commands read `text` from a pipe."""
        self.monkeypatch.setattr("sys.stdin", io.StringIO(text))

    async def run(self, *words: str) -> Typed:
        """Type a command while a service runs in this process."""
        return await asyncio.to_thread(self.now, *words)

    async def ok(self, *words: str) -> str:
        """Type a command that must succeed, and return what it prints."""
        typed = await self.run(*words)
        assert typed.code == 0, typed.err
        return typed.out


def make_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Make a user whose home is `tmp_path`, with nothing set."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    names = ("SERVER", "API_KEY", "DEFAULT_ROOM", "TRANSPORT", "WORKER_NAME", "AUTO_SELECT", "STORE_MAX_BYTES")
    for name in (*names, "MAX_LANES", "WORKER_SLOTS", "WORKER_GPUS"):
        monkeypatch.delenv(f"SLEAP_RTC_{name}", raising=False)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return Shell(folder, tmp_path, monkeypatch, capsys)
