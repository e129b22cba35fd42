"""Which level of isolation a worker's jobs get: bubblewrap where it really isolates, else none, and why.

Nothing is believed of bubblewrap because it is installed: a sandbox is made as jobs get it, in a folder made for that,
and a program in it tries what no job may do.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from threading import Timer
from typing import Any, Literal

from sleap_rtc.config.paths import home
from sleap_rtc.errors import ConfigError, DependencyError
from sleap_rtc.jobs.environment import python_command, runner_environment
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.protocol.text import printable

from . import bwrap
from .settings import SandboxSettings
from .view import HOME, OWN, conflict, shown

Wanted = Literal["auto", "bwrap", "none"]
SELF_TEST = ".selftest-"
"""What the folders of self-tests are called, beside jobs."""
_WITHIN = 20.0
_LOOK_AT = 200
_JOB = "j_selftest"
_CANARY = "SLEAP_RTC_CANARY"
_KERNEL = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger")
"""Who can write to one of these can have the kernel run what he likes, or end all of it."""
_CONTAINERS = ("/.dockerenv", "/run/.containerenv", "/run/systemd/container")


@dataclass(frozen=True)
class Isolation:
    """What keeps a worker's jobs apart from everything else.

    Attributes:
        level: ``bwrap`` or ``none``.
        reason: why, in a sentence for the operator.
        settings: what the sandbox is made of, where there is one.
    """

    level: Literal["bwrap", "none"]
    reason: str
    settings: SandboxSettings | None = None


def choose(wanted: Wanted, jobs: Path, mounts: Mounts | None = None, private: Sequence[Path] = ()) -> Isolation:
    """Find out what isolates here. Blocks for a moment.

    Args:
        wanted: what the operator asks for.
        jobs: the folder of jobs; made where it is missing.
        mounts: what jobs may read beside their own files.
        private: what no job may ever see, beside the user's home and our own folder.

    Raises:
        ConfigError: if the operator wants a sandbox and there is none.
    """
    if wanted == "none":
        return Isolation("none", 'it is switched off (sandbox = "none")')
    settings = _settings(jobs, mounts or Mounts(), private)
    problem = "bubblewrap is not installed (bwrap)" if settings is None else _problem(settings)
    if problem is None:
        return Isolation("bwrap", "its self-test passed", settings)
    if wanted == "bwrap":
        raise ConfigError(
            f"Jobs are to run in a sandbox, and {problem}. {_advice()} To do without where there is none: "
            "sleap-rtc worker --sandbox auto"
        )
    return Isolation("none", f"{problem}. {_advice()}".rstrip("."))


def _settings(jobs: Path, mounts: Mounts, private: Sequence[Path]) -> SandboxSettings | None:
    program = shutil.which("bwrap")
    if program is None:
        return None
    jobs.mkdir(parents=True, exist_ok=True, mode=0o700)
    ours = [Path.home(), home(), *private]
    return SandboxSettings(
        bwrap=program,
        jobs=str(jobs.resolve()),
        readable=tuple(str(root) for label, root in mounts.roots.items() if label not in mounts.writable),
        writable=tuple(str(root) for label, root in mounts.roots.items() if label in mounts.writable),
        private=tuple(dict.fromkeys(str(each) for path in ours for each in (path.absolute(), path.resolve()))),
    )


def _problem(settings: SandboxSettings) -> str | None:
    """Why the sandbox does not isolate here, as the middle of a sentence; None if it does."""
    if (conflicting := conflict(settings)) is not None:
        return conflicting
    # beside the jobs, for that is the file system that counts
    with tempfile.TemporaryDirectory(prefix=SELF_TEST, dir=settings.jobs) as folder:
        trial = _Trial(replace(settings, jobs=folder, private=(*settings.private, settings.jobs)))
        try:
            return trial.problem()
        except (DependencyError, OSError, ValueError) as error:
            return f"its self-test failed: {printable(str(error), limit=300)}".rstrip(".")


class _Trial:
    """One self-test: a job of another's and one of ours, and a witness that is shown ours."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._settings = settings
        self._job = Path(settings.jobs, _JOB)
        self._other = Path(settings.jobs, "j_selftest_other", "inputs")
        self._control = self._job / "control"
        self._inputs, self._work = self._job / "inputs", self._job / "work"

    def problem(self) -> str | None:
        for folder in (self._other, self._control, self._inputs, self._work):
            folder.mkdir(parents=True)
            (folder / "file").write_bytes(b"x")
        return next(self._complaints(self._testimony()), None)

    def _testimony(self) -> dict[str, Any]:
        environment = runner_environment("selftest", Path(HOME), source=os.environ | {_CANARY: "x"})
        witness = bwrap.start(self._settings, python_command("sleap_rtc.jobs.sandbox.witness"), environment)
        process = witness.process
        overdue = Timer(_WITHIN, process.kill)
        overdue.start()
        try:
            with process:
                assert process.stdin is not None  # noqa: S101 - we asked for pipes
                assert process.stdout is not None  # noqa: S101
                assert process.stderr is not None  # noqa: S101
                if process.stdout.readline() != b"ready\n":
                    said = process.stderr.read().decode(errors="replace").strip().splitlines()
                    raise ValueError(said[-1] if said else "the program in it does not start")
                witness.admit(_JOB)
                process.stdin.write(json.dumps(self._places()).encode() + b"\n")
                process.stdin.flush()
                found: dict[str, Any] = json.loads(process.stdout.readline() or b"null")
                return found
        finally:
            overdue.cancel()

    def _places(self) -> dict[str, list[str]]:
        secret = [str(self._other), str(self._control), "/etc/shadow", *self._private()]
        return {
            "read": [str(self._inputs / "file"), *secret],
            "write": [str(self._work), str(self._inputs), str(self._job), "/", "/dev", *_pythons(), *_KERNEL],
        }

    def _private(self) -> Iterator[str]:
        """Some of what lies in private folders, but for what leads to something that is shown."""
        ways = [Path(path) for path in (*shown(self._settings), self._settings.jobs, *OWN)]
        for folder in map(Path, self._settings.private):
            for entry in islice(folder.iterdir() if folder.is_dir() else (), _LOOK_AT):
                if not any(way.is_relative_to(entry) for way in ways):
                    yield str(entry)

    def _complaints(self, found: dict[str, Any]) -> Iterator[str]:
        if found["read"] != [str(self._inputs / "file")]:
            yield f"its self-test could read what it must not, or not its own files: {found['read']}"
        if found["write"] != [str(self._work)]:
            yield f"its self-test could write where it must not, or not in its own folder: {found['write']}"
        if found["interfaces"] != ["lo"]:
            yield "its self-test could reach the network"
        # the first process of the sandbox and the witness
        if found["processes"] > 2:
            yield "its self-test saw the processes of others"
        if _CANARY in found["environment"]:
            yield "its self-test saw the worker's environment"
        if found["capabilities"]:
            yield "its self-test had capabilities"


def _pythons() -> list[str]:
    return [path for path in (sys.prefix, sys.base_prefix) if Path(path).is_dir()]


def _advice() -> str:
    if any(Path(path).exists() for path in _CONTAINERS) or "KUBERNETES_SERVICE_HOST" in os.environ:
        return (
            "This is a container, which isolates by itself; to have a sandbox in it as well, give it bubblewrap and "
            "let it make user namespaces (docs/deploy.md)."
        )
    return "Install bubblewrap, and allow user namespaces on this machine (docs/worker.md)."
