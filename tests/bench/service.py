"""How many peers the service holds, how fast it passes on what they say, and what they notice when it is started anew.

``python -m tests.bench.service [--quick] [--json] [--peers N] [--rate N] [--only ROW,…]`` starts a service and lets
peers come in: rooms with twelve workers and eight clients each. Linux only: they come from many addresses of loopback.

Row ``one`` is one process on SQLite:

- ``registrations_s``: peers that come in a second, of whom three in five prove a key;
- ``idle_mb``: memory of the service (what is resident, in 10^6 bytes) while they are there and say nothing, after it
  has looked at the credentials of all of them again;
- ``idle_cpu``: the share of one processor that it takes meanwhile: each peer pings, and is pinged, every 20 s;
- ``relay_p99_ms``: milliseconds from when a message to another peer is due to its arrival, that of the slowest in a
  hundred, while 200 pairs make links at 1,000 messages a second and all others stay; ``relay_p50_ms`` likewise;
- ``relay_cpu``: the share of one processor that this takes the service.

Row ``two`` is the same for two processes with Redis and PostgreSQL: ``two_registrations_s`` and so on, memory and
processors of both together (of memory that both share, half for each).

Row ``restart`` starts a service anew under 200 peers with 100 links between them, one process and then each of two in
turn: ``restart_lost_links``, ``restart_lost_peers``, ``restart_lost_invites`` and ``restart_lost_logins`` count what
was there before and is not afterwards, in both together; ``restart_away_s`` is the longest time for which a peer did
not hear a service of two processes.

Peers run in processes of their own, those who talk in another one than those who do not. What these take is printed
beside what the service takes; ``crowd_late_p99_ms`` is how late the talking process itself was, which counts into the
waits.
"""

import argparse
import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.crowds import Crowds
from tests.bench.processes import BenchError, end_when_interrupted
from tests.bench.restarts import restart_under_peers
from tests.bench.served import RECHECK, serving

_OF_LOAD = ("idle_mb", "relay_p99_ms", "relay_p50_ms", "registrations_s", "idle_cpu", "relay_cpu", "crowd_late_p99_ms")
_LOST = ("links", "peers", "invites", "logins")
KEYS = (
    *_OF_LOAD, *(f"two_{key}" for key in _OF_LOAD), *(f"restart_lost_{what}" for what in _LOST), "restart_away_s",
)  # fmt: skip
PEERS, RATE = 5000, 1000.0
FILES = 20_000
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Length:
    """Seconds of quiet, and of talking."""

    quiet: float = 1.5 * RECHECK
    talk: float = 60.0


QUICK = Length(quiet=RECHECK + 10.0, talk=20.0)


@dataclass(frozen=True)
class Bench:
    """One run: rows are measured, printed as they come, and kept for the figures.

    Attributes:
        peers: how many there are.
        rate: messages a second that are passed on.
        length: for how long.
        figures: what was found.
    """

    peers: int
    rate: float
    length: Length
    figures: Figures

    @property
    def rows(self) -> dict[str, Callable[[], None]]:
        """What there is to measure."""
        return {"one": lambda: self._load(1, ""), "two": lambda: self._load(2, "two_"), "restart": self._restart}

    def _load(self, workers: int, prefix: str) -> None:
        with (
            TemporaryDirectory(prefix="sleap-rtc-bench-") as name,
            serving(Path(name), workers) as served,
            Crowds.of(served, Path(name), self.peers) as crowds,
        ):
            found = crowds.come_in() | crowds.stay(self.length.quiet) | crowds.talk(self.rate, self.length.talk)
        self.figures.update({f"{prefix}{key}": value for key, value in found.items()})

    def _restart(self) -> None:
        lost = dict.fromkeys(_LOST, 0)
        for workers in (1, 2):
            with (
                TemporaryDirectory(prefix="sleap-rtc-bench-") as name,
                serving(Path(name), workers, one_address=True) as served,
            ):
                found = restart_under_peers(served, Path(name))
            lost = {what: lost[what] + found.lost[what] for what in _LOST}
        self.figures.update({f"restart_lost_{what}": number for what, number in lost.items()})
        self.figures["restart_away_s"] = found.away


def allow_files() -> None:
    """Let this process, and those that it starts, have a socket for each peer.

    Raises:
        BenchError: if the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), max(hard, FILES)))
    except (OSError, ValueError) as error:
        raise BenchError(f"a process may have {hard} open files here, and {FILES} are needed: ulimit -n") from error


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="watch for a shorter time")
    parser.add_argument("--json", action="store_true", help="one object with the figures as the last line")
    parser.add_argument("--peers", type=int, default=PEERS, metavar="N", help="how many are there")
    parser.add_argument("--rate", type=float, default=RATE, metavar="N", help="messages a second that are passed on")
    parser.add_argument("--only", default="one,two,restart", metavar="ROW,…", help="which rows to measure")
    options = parser.parse_args()
    end_when_interrupted()
    length = QUICK if options.quick else Length()
    bench = Bench(options.peers, options.rate, length, dict.fromkeys(KEYS))
    allow_files()
    for name in options.only.split(","):
        try:
            bench.rows[name]()
        except BenchError as error:
            sys.stdout.write(f"{name:12}no figure: {error}\n")
    for key in KEYS:
        figure = bench.figures[key]
        sys.stdout.write(f"{key:24}{'-' if figure is None else figure:>10}\n")
    if options.json:
        sys.stdout.write(json.dumps(bench.figures) + "\n")


if __name__ == "__main__":
    main()
