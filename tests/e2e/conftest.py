"""The three programs as a user starts them, with the real sleap-nn behind."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass
class Terminals:
    """A service and a worker at work, and the line the worker printed."""

    line: str
    folder: Path

    @property
    def lab(self) -> Path:
        """The folder that the worker calls ``lab`` and gives to jobs."""
        return self.folder / "lab"

    def client(self, package: Path, output: Path, *flags: str) -> "subprocess.CompletedProcess[str]":
        """Type ``sleap-rtc client`` and wait for its end."""
        command = [sys.executable, "-m", "sleap_rtc", "client", "-s", self.line, "-p", str(package)]
        return subprocess.run(
            [*command, "-o", str(output), *flags],
            env=environment(self.folder / "client"),
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )


def environment(home: Path) -> dict[str, str]:
    """A user's own environment, but for the home, and with threads that do not fight over two cores."""
    return os.environ | {"SLEAP_RTC_HOME": str(home), "OMP_NUM_THREADS": "1"}


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "sleap_rtc", *arguments]
    return subprocess.Popen(command, env=environment(folder / arguments[0]), stdout=subprocess.PIPE, text=True)


def word_with(process: "subprocess.Popen[str]", mark: str) -> str:
    """Read a program's output up to the first word that contains `mark`."""
    assert process.stdout
    for line in process.stdout:
        if mark in line:
            return next(word for word in line.split() if mark in word)
    raise AssertionError(f"the program ended without printing '{mark}'")


@pytest.fixture(scope="module")
def terminals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminals]:
    folder = tmp_path_factory.mktemp("terminals")
    service = start(folder, "server", "run", "--port", "0", "--database", str(folder / "service.db"))
    worker: subprocess.Popen[str] | None = None
    try:
        (folder / "lab").mkdir()
        mount = f"lab={folder / 'lab'}"
        worker = start(folder, "worker", "--server", word_with(service, "http://"), "--mount", mount)
        yield Terminals(word_with(worker, "sleap-session:"), folder)
    finally:
        for process in (worker, service):
            if process is not None:
                process.terminate()
                process.wait(30)
                if process.stdout:
                    process.stdout.close()
