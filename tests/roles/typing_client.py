"""The client command, typed again and again, each time in a process of its own that a test can kill."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.forked import forked
from tests.jobs.conftest import LABELS, training_config, write_package
from tests.roles import client_process
from tests.roles.conftest import Lab
from tests.roles.faults import METER, Counters
from tests.roles.times import PATIENT
from tests.roles.worker_process import ENGINE

MB = 1024 * 1024
MOST_SENT_AGAIN = 4 * MB
"""Bytes that one cut may cost."""
KILLED = -signal.SIGKILL


class Typing:
    """A user at a terminal with one package.

    Args:
        lab: where the worker is.
        engine: the WebRTC engine of both sides.
        name: of the user's folder.
    """

    def __init__(self, lab: Lab, engine: str, name: str = "user") -> None:
        self._lab = lab
        self._engine = engine
        self.folder = lab.folder / name
        self.folder.mkdir()
        self.meter = Counters(self.folder / "meter")
        self.worker_meter = Counters(self.folder / "worker-meter")
        # an engine in pure Python is slow
        self._slow = {PATIENT: "1"} if engine == "aiortc" else {}

    async def start_worker(self, **environment: object) -> None:
        """Start the lab's worker on the same engine, its traffic counted in `worker_meter`."""
        added = {ENGINE: self._engine, METER: str(self.folder / "worker-meter")} | self._slow
        await self._lab.start_worker(environment=added | {name: str(value) for name, value in environment.items()})

    def package(self, size: int) -> bytes:
        """Make the package, of `size` random bytes; return its labels."""
        labels = LABELS + os.urandom(size)
        write_package(self.folder / "package", {"single_instance": training_config()}, labels)
        return labels

    @asynccontextmanager
    async def typed(self, *options: str, **environment: object) -> AsyncIterator["Command"]:
        """Type the command; whatever became of it, it has ended afterwards."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.roles.client_process", *self._words(options),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=self._environment(environment),
        )  # fmt: skip
        try:
            yield Command(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            process._transport.close()  # type: ignore[attr-defined]

    async def run(self, *options: str, **environment: object) -> "Said":
        """Type the command and wait for its end."""
        given = self._environment(environment)
        result = await asyncio.to_thread(forked, client_process.main, self._words(options), environment=given)
        assert "Traceback" not in result.err, result.err
        return Said([json.loads(line) for line in result.out.splitlines()], result.err, result.code)

    def _words(self, options: tuple[str, ...]) -> list[str]:
        folders = ("-p", str(self.folder / "package"), "-o", str(self.folder / "models"))
        session = ("-s", self._lab.session_string, "--transport", self._engine)
        return ["client", "--json", *session, *folders, *options]

    def _environment(self, added: dict[str, object]) -> dict[str, str]:
        given = {"SLEAP_RTC_HOME": self.folder / "home", METER: self.folder / "meter"} | self._slow | added
        return os.environ | {name: str(value) for name, value in given.items()}

    @property
    def model(self) -> bytes:
        """The model that came home."""
        return (self.folder / "models" / "single_instance" / "best.ckpt").read_bytes()


@dataclass
class Said:
    """What became of a command that was typed.

    Attributes:
        events: what it said, as far as it was read.
        errors: what it complained about.
        code: its exit code; negative where a signal ended it.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    errors: str = ""
    code: int | None = None

    def said(self, event: str) -> list[dict[str, Any]]:
        """All it said of one kind."""
        return [each for each in self.events if each["event"] == event]


class Command(Said):
    """A command that may still be at work."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        super().__init__()
        self._process = process

    @property
    def pid(self) -> int:
        """Its process's number."""
        return self._process.pid

    async def until(self, event: str, enough: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """Read on until it says something."""
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event and enough(self.events[-1]):
                return self.events[-1]
        raise AssertionError(f"it ended without saying {event}: {await self._complaints()}")

    async def ended(self) -> int:
        """Wait for its end, and return its exit code."""
        assert self._process.stdout
        complaining = asyncio.ensure_future(self._complaints())
        async for line in self._process.stdout:
            self.events.append(json.loads(line))
        self.errors += await complaining
        self.code = await self._process.wait()
        assert "Traceback" not in self.errors, self.errors
        return self.code

    def kill(self) -> None:
        """``kill -9``."""
        self._process.kill()

    async def _complaints(self) -> str:
        assert self._process.stderr
        return (await self._process.stderr.read()).decode()
