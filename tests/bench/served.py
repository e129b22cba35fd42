"""A service under load, of one process or of several that share Redis and PostgreSQL: started, and started anew."""

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.bench.processes import BenchError, Process, python, spawned, word_with
from tests.service import databases

RECHECK = 60
"""Seconds between two looks of the service at everybody's credentials."""
REDIS = "SLEAP_RTC_TEST_REDIS"
FROM_HERE = 1000
"""Sockets that the service takes from one address, where peers cannot come from several."""
ANEW_WITHIN = 60.0
LIVES = 3600.0


@dataclass
class Served:
    """A service that runs.

    Attributes:
        url: where.
        workers: how many processes serve; one is the program itself.
    """

    url: str
    workers: int
    _process: Process = field(repr=False)
    _start: "_Starter" = field(repr=False)

    @property
    def pids(self) -> list[int]:
        """Its processes that serve."""
        if self.workers == 1:
            return [self._process.pid]
        # what Python's own helpers are is none of its processes
        return sorted(each.pid for each in psutil.Process(self._process.pid).children() if _serves(each))

    def restart(self) -> None:
        """Start it anew while it is used: one process is stopped and started on the same port, of several each in turn.

        Raises:
            BenchError: if it does not come back.
        """
        if self.workers == 1:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(ANEW_WITHIN)
            self._process, self.url = self._start(int(self.url.rpartition(":")[2]))
            return
        before = set(self.pids)
        self._process.send_signal(signal.SIGHUP)
        until = time.monotonic() + ANEW_WITHIN
        while before & set(self.pids) or len(self.pids) < self.workers:
            if time.monotonic() > until:
                raise BenchError(f"the service's processes were not replaced within {ANEW_WITHIN:g} s")
            time.sleep(0.1)


class _Starter:
    def __init__(self, stack: ExitStack, folder: Path, words: Sequence[object], environment: dict[str, str]) -> None:
        self._stack = stack
        self._folder = folder
        self._words = words
        self._environment = environment

    def __call__(self, port: int = 0) -> tuple[Process, str]:
        command = python("sleap_rtc", "server", "run", "--dev", "--port", port, *self._words)
        process = self._stack.enter_context(
            spawned(
                command, cwd=self._folder, limit=LIVES, environment=self._environment, log=self._folder / "service.log"
            )
        )
        return process, word_with(process, "http://")


@contextmanager
def serving(folder: Path, workers: int = 1, *, one_address: bool = False) -> Iterator[Served]:
    """Run a service while the body does.

    Args:
        folder: where it keeps everything.
        workers: how many processes; more than one need Redis and PostgreSQL.
        one_address: whether all peers come from one address.

    Raises:
        BenchError: if there is no Redis or no PostgreSQL.
    """
    environment = {"SLEAP_RTC_HOME": str(folder / "home"), "SLEAP_RTC_SERVER_RECHECK_SECONDS": str(RECHECK)}
    if one_address:
        environment["SLEAP_RTC_SERVER_LIMITS"] = json.dumps({"sockets_per_address": FROM_HERE})
    with ExitStack() as stack:
        if workers == 1:
            words: list[object] = ["--database", folder / "service.db"]
        else:
            words = ["--database", stack.enter_context(_database()), "--workers", workers]
            environment |= {
                "SLEAP_RTC_SERVER_REDIS_URL": os.environ.get(REDIS, "redis://127.0.0.1:6379/0"),
                "SLEAP_RTC_SERVER_REDIS_PREFIX": f"sleap-rtc-bench-{secrets.token_hex(4)}",
                "SLEAP_RTC_SERVER_PEPPER": databases.PEPPER,
            }
        start = _Starter(stack, folder, words, environment)
        process, url = start()
        yield Served(url, workers, process, start)


@contextmanager
def _database() -> Iterator[str]:
    server = databases.server()
    if isinstance(server, str):
        raise BenchError(server)
    postgres = databases.Postgres(server)
    try:
        yield postgres.new()
    finally:
        postgres.close()


def _serves(process: psutil.Process) -> bool:
    try:
        return "resource_tracker" not in " ".join(process.cmdline())
    except psutil.Error:
        return False
