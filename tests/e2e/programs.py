"""Programs of ours as a user starts them, and what is read of what they print."""

import os
import subprocess
import sys
from pathlib import Path


def environment(home: Path) -> dict[str, str]:
    """A user's own environment, but for its home, asyncio's own checks and fewer threads."""
    return os.environ | {"SLEAP_RTC_HOME": str(home), "OMP_NUM_THREADS": "1", "PYTHONASYNCIODEBUG": "1"}


def start(folder: Path, *arguments: str, quiet: bool = False) -> "subprocess.Popen[str]":
    """Start a program that runs on; what it says on standard error is added to its log.

    Args:
        folder: where its files are.
        arguments: of ``sleap-rtc``.
        quiet: say and check no more than for users: what answers thousands of requests takes half the time then.
    """
    command = [sys.executable, "-m", "sleap_rtc", *arguments]
    loud = environment(folder / arguments[0])
    loud |= {"PYTHONASYNCIODEBUG": ""} if quiet else {"SLEAP_RTC_SERVER_LOG_LEVEL": "debug"}
    with (folder / f"{arguments[0]}.log").open("a") as log:
        return subprocess.Popen(command, env=loud, stdout=subprocess.PIPE, stderr=log, text=True)


def end(process: "subprocess.Popen[str]") -> int:
    """Wait for a program's end; nothing more of what it says is read."""
    code = process.wait(30)
    if process.stdout:
        process.stdout.close()
    return code


def word_with(process: "subprocess.Popen[str]", mark: str) -> str:
    """Read a program's output up to the first word that contains `mark`."""
    assert process.stdout
    for line in process.stdout:
        if mark in line:
            return next(word for word in line.split() if mark in word)
    raise AssertionError(f"the program ended without printing '{mark}'")
