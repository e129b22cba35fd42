"""How many events a second come from a job's journal to whoever watches it with ``jobs watch --json``.

``python -m tests.bench.events [--events N] [--json]`` writes events as fast as a disk takes them into the journal of a
job on a real worker, while the command watches it over a real link, and times the first one written to the last one
read. A training says a few events a second.
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

from sleap_rtc.jobs.events import Journal
from sleap_rtc.jobs.folder import JobFolder, StateRecord
from sleap_rtc.protocol.jobs import JobState, StateChanged, Step
from tests.bench.ours import BenchWorker, running_lab
from tests.bench.packages import random_package
from tests.bench.processes import BenchError, Process, end_when_interrupted, lines_of, now, python, spawned

EVENTS = 20_000
WATCHED = "j_watchedbybench"
_METRICS = ("loss", "head", "mid", "tail", "lr")


@contextmanager
def _typed(worker: BenchWorker, folder: Path, *words: object) -> Iterator[Process]:
    command = [*python("sleap_rtc"), *map(str, words), "-s", worker.string, "--json"]
    environment = {"SLEAP_RTC_HOME": str(folder / "home")}
    with spawned(command, cwd=folder, environment=environment, log=folder / "log.txt") as process:
        yield process


def _events(process: Process) -> Iterator[dict[str, Any]]:
    for line in lines_of(process):
        yield json.loads(line)


def _job_like(done: JobFolder) -> JobFolder:
    """A job of the same user that seems to run, and that no worker looks after: its journal is ours to write."""
    folder = JobFolder.create(done.path.with_name(WATCHED), done.spec().model_copy(update={"job": WATCHED}))
    with Journal(folder.events) as journal:
        for state in (JobState.STAGED, JobState.QUEUED, JobState.STARTING, JobState.RUNNING):
            event = journal.append(StateChanged(state=state), durable=True)
    folder.write_state(StateRecord(state=JobState.RUNNING, t=event.t))
    return folder


def _write(folder: JobFolder, count: int) -> None:
    with Journal(folder.events) as journal:
        for number in range(count):
            metrics = {name: 1.0 / (number + at + 2) for at, name in enumerate(_METRICS)}
            journal.append(Step(epoch=number // 200, batch=number % 200, metrics=metrics), "single_instance")
        journal.append(StateChanged(state=JobState.FINISHING), durable=True)
        event = journal.append(StateChanged(state=JobState.DONE), durable=True)
    folder.write_state(StateRecord(state=JobState.DONE, t=event.t))


def measure(worker: BenchWorker, folder: Path, count: int) -> float:
    """Events a second.

    Args:
        worker: one with a fake trainer.
        folder: where the client's things go.
        count: how many to write.

    Raises:
        BenchError: if the command ends early, or events are missing.
    """
    package = random_package(folder / "package", 0)
    with _typed(worker, folder, "client", "--new", "-p", package, "-o", folder / "models") as client:
        if not any(event["event"] == "finished" for event in _events(client)):
            raise BenchError(f"the client ended before its job: {(folder / 'log.txt').read_text()[-200:]}")
    (done,) = worker.jobs.glob("j_*")
    job = _job_like(JobFolder(done))
    with _typed(worker, folder, "jobs", "watch", job.job, "--no-fetch") as watch:
        told = _events(watch)
        while (seen := next(told, {}).get("state")) != JobState.RUNNING:
            if seen is not None and watch.poll() is not None:
                raise BenchError("the watch ended early")
        writer = threading.Thread(target=_write, args=(job, count))
        began = now()
        writer.start()
        steps = 0
        for event in told:
            steps += event.get("type") == "step"
            if steps == count:
                break
        seconds = now() - began
        writer.join()
    if steps < count:
        raise BenchError(f"only {steps} of {count} events came")
    return count / seconds


def run(count: int) -> dict[str, float]:
    """Start everything, measure, print a line, and return the figure under its key."""
    with TemporaryDirectory(prefix="sleap-rtc-bench-") as name, running_lab() as lab, lab.worker("auto") as worker:
        figures = {"events_per_s": round(measure(worker, Path(name), count))}
    sys.stdout.write(f"events from journal to watcher: {count}, events_per_s {figures['events_per_s']}\n")
    return dict(figures)


def main() -> None:
    """Measure and print."""
    end_when_interrupted()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = run(options.events)
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
