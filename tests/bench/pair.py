"""Two uploads to one worker at once: whether memory stays flat however large they are.

``python -m tests.bench.pair [--size MiB] [--json]`` prints, for each tenth of the way, the memory of the worker and of
the larger of its two clients. It needs six times the size on the disk of ``TMPDIR``: each file, what the worker's store
keeps of it, and the job's copy.
"""

import argparse
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from tests.bench.ours import BenchWorker, running_lab
from tests.bench.packages import random_package
from tests.bench.processes import MIB, BenchError, Process, end_when_interrupted, lines_of, now, python, spawned


@contextmanager
def _client(worker: BenchWorker, folder: Path, name: str) -> Iterator[Process]:
    typed = ["client", "--json", "--new", "-s", worker.string, "-p", folder / name]
    environment = {"SLEAP_RTC_HOME": str(folder / f"{name}-home")}
    command = [*python("sleap_rtc"), *map(str, typed)]
    with spawned(command, cwd=folder, limit=7200, environment=environment, log=folder / f"{name}.log") as client:
        yield client


class _Following(threading.Thread):
    """Reads what a client says until the worker has accepted its job."""

    def __init__(self, client: Process) -> None:
        super().__init__(daemon=True)
        self._client = client
        self.share = 0.0
        self.accepted = False
        self.start()

    def run(self) -> None:
        for line in lines_of(self._client):
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "upload" and event["total"]:
                self.share = event["sent"] / event["total"]
            elif event["event"] == "job":
                self.accepted = True
                return


def measure(worker: BenchWorker, folder: Path) -> dict[str, Any]:
    """Upload both packages and note the memory at each tenth; MB everywhere.

    Raises:
        BenchError: if a client ends before the worker has its package.
    """
    rows: list[dict[str, float]] = []
    began = now()
    with _client(worker, folder, "one") as one, _client(worker, folder, "other") as other:
        following = [_Following(client) for client in (one, other)]
        pids = {"worker": worker.pid, "one": one.pid, "other": other.pid}
        peaks = dict.fromkeys(pids, 0.0)
        while any(each.is_alive() for each in following):
            for name, pid in pids.items():
                peaks[name] = max(peaks[name], psutil.Process(pid).memory_info().rss / 1e6)
            share = sum(each.share for each in following) / 2
            if share * 10 >= len(rows):
                memory = {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in pids.items()}
                rows.append({"share": share, "worker": memory["worker"], "client": max(memory["one"], memory["other"])})
                sys.stdout.write("{share:8.0%}{worker:10.0f}{client:10.0f}\n".format(**rows[-1]))
                sys.stdout.flush()
            following[0].join(0.2)
        if not all(each.accepted for each in following):
            raise BenchError("a client ended before the worker had its package")
        seconds = now() - began
        for client in (one, other):
            client.terminate()
    return {"seconds": round(seconds, 1), "peak_mb": {name: round(peak) for name, peak in peaks.items()}}


def main() -> None:
    """Measure and print."""
    end_when_interrupted()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=10 * 1024, help="MiB of each")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.stdout.write("   share worker MB client MB\n")
    with (
        TemporaryDirectory(prefix="sleap-rtc-bench-") as name,
        running_lab() as lab,
        lab.worker("auto", limit=7200) as worker,
    ):
        for package in ("one", "other"):
            random_package(Path(name) / package, options.size * MIB)
        found = measure(worker, Path(name))
    sys.stdout.write(f"{2 * options.size} MiB in {found['seconds']} s, peaks {found['peak_mb']}\n")
    if options.json:
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
