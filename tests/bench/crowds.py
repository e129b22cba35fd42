"""The peers of a service from outside: two processes of them, what they are let do, and what that takes the service."""

import asyncio
import math
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from sleap_rtc.signaling.api import ServiceAPI
from tests.bench.processes import BenchError, Meter, Process, python, read_json, spawned, write_json
from tests.bench.served import Served

WORKERS, CLIENTS = 12, 8
"""Of each room."""
TALKING_ROOMS = 25
_MOST = 0.98
"""The share of what was asked for below which a rate was not reached."""
Figures = dict[str, float | None]
Room = dict[str, str]


@dataclass(frozen=True)
class Peers:
    """A process full of peers.

    Attributes:
        process: it.
        log: where it says what went wrong.
    """

    process: Process
    log: Path

    def ask(self, **what: object) -> dict[str, Any]:
        """Let it do something, and return what it says of that.

        Raises:
            BenchError: if it fails.
        """
        write_json(self.process, what)
        try:
            return read_json(self.process)
        except BenchError as error:
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:]
            raise BenchError(f"peers failed: {last[0][-200:] if last else error}") from error


@contextmanager
def peers_in(module: str, url: str, folder: Path, name: str) -> Iterator[Peers]:
    """Start a process of peers that is a module of this folder."""
    log = folder / f"{name}.log"
    with spawned(python(f"tests.bench.{module}", url), cwd=folder, log=log) as process:
        yield Peers(process, log)


class Crowds:
    """All peers of one service.

    Args:
        served: the service.
        rooms: theirs.
        talkers: the process of those who talk.
        others: that of the others.
    """

    def __init__(self, served: Served, rooms: Sequence[Room], talkers: Peers, others: Peers) -> None:
        self._service = [psutil.Process(pid) for pid in served.pids]
        self._rooms = rooms
        self._talkers, self._others = talkers, others
        # what only one process holds is all its own, of its libraries as well
        self._shared = len(self._service) > 1

    @classmethod
    @contextmanager
    def of(cls, served: Served, folder: Path, peers: int) -> Iterator[Self]:
        """Make the rooms of so many peers, and start the processes that they will live in."""
        rooms = asyncio.run(make_rooms(served.url, max(peers // (WORKERS + CLIENTS), TALKING_ROOMS + 1)))
        url = served.url.replace("http", "ws", 1) + "/api/v1/ws"
        with ExitStack() as stack:
            talkers, others = (
                stack.enter_context(peers_in("crowd_process", url, folder, name)) for name in ("talkers", "others")
            )
            yield cls(served, rooms, talkers, others)

    def come_in(self) -> Figures:
        """Let everybody come in."""
        empty = self._memory()
        groups = ((self._others, self._rooms[TALKING_ROOMS:], 2), (self._talkers, self._rooms[:TALKING_ROOMS], 1))
        joined, seconds = 0, 0.0
        with self._metered() as meters:
            for crowd, rooms, network in groups:
                answer = crowd.ask(join=list(rooms), network=network, workers=WORKERS, clients=CLIENTS)
                joined, seconds = joined + answer["joined"], seconds + answer["seconds"]
        say("come in", f"{joined} peers in {seconds:.1f} s", _shares(meters, seconds))
        grown = (self._memory() - empty) / joined / 1000
        say("memory", f"{empty / 1e6:.0f} MB without them", f"{grown:.1f} kB more for each")
        return {"registrations_s": round(joined / seconds, 1)}

    def stay(self, quiet: float) -> Figures:
        """Look at the service while nobody says anything."""
        with self._metered() as meters:
            time.sleep(quiet)
        here = sum(crowd.ask(here=True)["here"] for crowd in (self._talkers, self._others))
        expected = len(self._rooms) * (WORKERS + CLIENTS)
        if here != expected:
            raise BenchError(f"{expected - here} of {expected} peers were lost meanwhile")
        say("stay", f"{here} peers for {quiet:.0f} s", _shares(meters, quiet))
        for process in self._service:
            found = process.memory_full_info()
            say("memory", f"{found.rss / 1e6:.1f} MB resident", f"{found.pss / 1e6:.1f} MB of it alone (PSS)")
        return {
            "idle_mb": round(self._memory() / 1e6, 1),
            "idle_cpu": round(meters["service"].cpu / quiet, 3),
        }

    def talk(self, rate: float, seconds: float) -> Figures:
        """Let pairs make links, one after the other.

        Raises:
            BenchError: if the service does not pass on as much as it should.
        """
        with self._metered() as meters:
            told = self._talkers.ask(talk=rate, seconds=seconds)
        waits, late = sorted(told["waits"]), sorted(told["late"])
        passed = told["passed"] / told["seconds"]
        say("talk", f"{told['passed']} messages, {passed:.0f}/s", _shares(meters, told["seconds"]))
        if passed < _MOST * rate:
            raise BenchError(f"only {passed:.0f} of {rate:.0f} messages a second were passed on")
        return {
            "relay_p99_ms": round(part(waits, 0.99) * 1000, 2),
            "relay_p50_ms": round(part(waits, 0.5) * 1000, 2),
            "relay_cpu": round(meters["service"].cpu / told["seconds"], 3),
            "crowd_late_p99_ms": round(part(late, 0.99) * 1000, 2),
        }

    def _memory(self) -> int:
        if self._shared:
            return sum(process.memory_full_info().pss for process in self._service)
        return sum(process.memory_info().rss for process in self._service)

    @contextmanager
    def _metered(self) -> Iterator[dict[str, Meter]]:
        ends = {"service": [each.pid for each in self._service], "talkers": [self._talkers.process.pid]}
        ends["others"] = [self._others.process.pid]
        meters = {name: Meter(*pids, children=False) for name, pids in ends.items()}
        with ExitStack() as stack:
            for meter in meters.values():
                stack.enter_context(meter)
            yield meters


def part(ordered: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return ordered[min(len(ordered), max(1, math.ceil(share * len(ordered)))) - 1]


def say(*columns: str) -> None:
    """Print a row as soon as it is known."""
    name, what, *more = columns
    sys.stdout.write(f"{name:12}{what:36}{' '.join(more)}\n")
    sys.stdout.flush()


def _shares(meters: dict[str, Meter], seconds: float) -> str:
    used = ", ".join(f"{name} {meter.cpu / seconds:.0%}" for name, meter in meters.items())
    return f"of a processor: {used}"


async def make_rooms(url: str, number: int) -> list[Room]:
    """Make rooms, each with an owner who is logged in and a token for its workers."""

    async def make(name: str) -> Room:
        grant = await ServiceAPI(url).login_dev(name)
        api = ServiceAPI(url, grant.access_token)
        room = await api.create_room(f"lab of {name}", None)
        token = await api.create_token(room.room_id, "gpu", None)
        return {
            "room": room.room_id,
            "worker": token.token,
            "client": grant.access_token,
            "refresh": grant.refresh_token,
        }

    return [await make(f"user-{index}") for index in range(number)]
