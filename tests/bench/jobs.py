"""What training through us costs beside the same ``sleap-nn train`` typed by hand.

``python -m tests.bench.jobs [--quick] [--starts-only | --events-only] [--rounds N] [--json]`` trains the same package
in turn by hand and through service, worker and client, all on this machine, and compares them within the run:

- ``epoch_ratio``: seconds an epoch through us over those by hand, over at least 1,000 steps each (400 with --quick);
- ``overhead_s``: what the whole remote run takes beyond the one by hand, upload and download included. The client is
  new each round; the worker is not and has the package from the second round on, but that saves it 0.2 MB, a few
  milliseconds here;
- ``typed_to_started_s``: from typing the client command to the trainer's start, service and warm worker being up;
- ``warm_vs_cold``: seconds from the job's start to its first epoch on the warm worker, over those from the start of
  ``sleap-nn train`` by hand to its first epoch. ``--starts-only`` measures only these two, with 5 steps an epoch;
- ``events_per_s``: events a second from a job's journal to ``jobs watch`` over a link, with a fake trainer; see
  `events`. ``--events-only`` measures only that.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import zmq

from sleap_rtc.cli.demo.dataset import make_dataset
from tests.bench import events

STEPS = 250


@dataclass
class Runs:
    """One way of training: seconds of every timed epoch and whole run, from typing to start, from start to epoch."""

    epochs: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    first_epoch: list[float] = field(default_factory=list)


def read_epochs(model: Path) -> list[float]:
    """Seconds of training of each epoch that sleap-nn's own log has a time for."""
    with (model / "training_log.csv").open() as file:
        return [float(row["train/time"]) for row in csv.DictReader(file) if row["train/time"]]


def prepare(folder: Path, epochs: int, steps: int) -> Path:
    """Make the package as a folder, its epochs long enough to be timed."""
    package = make_dataset(folder / "data", seed=1, max_epochs=epochs).package
    unpacked = folder / "unpacked"
    with zipfile.ZipFile(package) as archive:
        archive.extractall(unpacked)
    config = unpacked / "single_instance.yaml"
    config.write_text(config.read_text().replace("steps_per_epoch: 40", f"steps_per_epoch: {steps}"))
    return unpacked


def by_hand(unpacked: Path, output: Path, runs: Runs) -> None:
    config = (unpacked / "single_instance.yaml").read_text()
    typed = unpacked.with_name("by-hand.yaml")
    typed.write_text(config.replace("  run_name:", f"  ckpt_dir: {output}\n  run_name:"))
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "sleap_nn.cli", "train", "--config", str(typed)],
        cwd=unpacked,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    runs.whole.append(time.perf_counter() - began)
    runs.epochs += read_epochs(output / "demo_single_instance")


def first_epoch_by_hand(unpacked: Path, output: Path, runs: Runs) -> None:
    """Time the first epoch in a run of its own: telling of it costs every step a little."""
    with zmq.Context() as context, context.socket(zmq.SUB) as progress:
        progress.subscribe(b"")
        port = progress.bind_to_random_port("tcp://127.0.0.1")
        config = (unpacked / "single_instance.yaml").read_text()
        typed = unpacked.with_name("first-epoch.yaml")
        zmq_lines = f"  zmq:\n    publish_port: {port}\n"
        typed.write_text(config.replace("  run_name:", f"{zmq_lines}  ckpt_dir: {output}\n  run_name:"))
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "sleap_nn.cli", "train", "--config", str(typed)],
            cwd=unpacked,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while b'"epoch_begin"' not in next_message(progress, process):
                continue
            runs.first_epoch.append(time.perf_counter() - began)
        finally:
            process.kill()
            process.wait()


def next_message(progress: "zmq.Socket[bytes]", process: "subprocess.Popen[bytes]") -> bytes:
    while not progress.poll(1000):
        if process.poll() is not None:
            raise SystemExit("sleap-nn ended before its first epoch")
    return progress.recv()


def first_times(output: bytes) -> Iterator[tuple[str, float]]:
    """When each state, and each type of event, came first."""
    # backwards, so that what came first is said last
    for line in reversed(output.splitlines()):
        event = json.loads(line)
        if event["event"] == "progress":
            yield event["state"] if event["type"] == "state" else event["type"], event["t"] / 1000


def wait_until_warm(worker: "subprocess.Popen[str]") -> None:
    """Wait until a runner of the worker's has imported everything, and does nothing any more."""
    while not any(map(is_warm, psutil.Process(worker.pid).children(recursive=True))):
        time.sleep(0.5)


def is_warm(process: psutil.Process) -> bool:
    try:
        worked = "sleap_rtc.jobs.runner" in process.cmdline() and process.cpu_times().user > 3
        return worked and process.cpu_percent(2.0) < 5
    except psutil.NoSuchProcess:
        return False


def through_us(unpacked: Path, output: Path, line: str, runs: Runs) -> None:
    """Type the client command, as somebody who never used it: its own files are in a new folder beside `output`."""
    environment = os.environ | {"SLEAP_RTC_HOME": str(output.with_name(f"{output.name}-home"))}
    command = [sys.executable, "-m", "sleap_rtc", "client", "--new", "-s", line, "-p", str(unpacked), "-o", str(output)]
    typed, began = time.time(), time.perf_counter()
    ended = subprocess.run([*command, "--json"], check=True, env=environment, stdout=subprocess.PIPE)
    runs.whole.append(time.perf_counter() - began)
    at = dict(first_times(ended.stdout))
    runs.started.append(at["run_started"] - typed)
    runs.first_epoch.append(at["epoch_started"] - at["starting"])
    runs.epochs += read_epochs(output / "demo_single_instance")


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"SLEAP_RTC_HOME": str(folder / f"home-{arguments[0]}")}
    command = [sys.executable, "-m", "sleap_rtc", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def wait_for(process: "subprocess.Popen[str]", mark: str) -> str:
    assert process.stdout
    for line in process.stdout:
        if mark in line:
            return next(word for word in line.split() if mark in word)
    raise SystemExit(f"the process ended without printing '{mark}'")


def main() -> None:
    """Run the comparison and print a table."""
    # torch's threads fight with whatever else runs, which would measure the neighbours instead of us
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--starts-only", action="store_true")
    parser.add_argument("--events-only", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = {} if options.events_only else train(options)
    if not options.starts_only:
        figures |= events.run(events.EVENTS // (4 if options.quick else 1))
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


def train(options: argparse.Namespace) -> dict[str, float]:
    """Train in turn by hand and through us; print the tables, and return their figures."""
    rounds, epochs = (1, 3) if options.quick else (options.rounds, 3)
    hand, ours = Runs(), Runs()
    with tempfile.TemporaryDirectory(prefix="sleap-rtc-bench-") as name:
        folder = Path(name)
        unpacked = prepare(folder, epochs, 5 if options.starts_only else STEPS)
        service = start(folder, "server", "run", "--port", "0", "--database", str(folder / "service.db"))
        worker = start(folder, "worker", "--warm", "--server", wait_for(service, "http://"))
        try:
            line = wait_for(worker, "sleap-session:")
            for turn in range(rounds):
                # first, for a runner that still warms up would be in the way of the others
                wait_until_warm(worker)
                first_epoch_by_hand(unpacked, folder / f"first-{turn}", hand)
                if not options.starts_only:
                    by_hand(unpacked, folder / f"hand-{turn}", hand)
                through_us(unpacked, folder / f"ours-{turn}", line, ours)
        finally:
            for process in (worker, service):
                process.terminate()
                process.wait()
    figures = {} if options.starts_only else compare_trainings(hand, ours)
    return figures | compare_starts(hand, ours)


def compare_trainings(hand: Runs, ours: Runs) -> dict[str, float]:
    """Print the table of epochs and whole runs, and return its figures."""
    figures = {
        "epoch_ratio": round(statistics.mean(ours.epochs) / statistics.mean(hand.epochs), 4),
        "overhead_s": round(statistics.mean(ours.whole) - statistics.mean(hand.whole), 2),
    }
    steps = len(hand.epochs) * STEPS
    sys.stdout.write(f"{'':12}{'s an epoch':>12}{'whole run, s':>14}   ({steps} timed steps each)\n")
    for label, runs in (("by hand", hand), ("sleap-rtc", ours)):
        sys.stdout.write(f"{label:12}{statistics.mean(runs.epochs):12.3f}{statistics.mean(runs.whole):14.2f}\n")
    sys.stdout.write(f"epoch_ratio {figures['epoch_ratio']}, overhead_s {figures['overhead_s']}\n")
    return figures


def compare_starts(hand: Runs, ours: Runs) -> dict[str, float]:
    """Print what passes before the first epoch, and return its figures."""
    cold, warm = statistics.mean(hand.first_epoch), statistics.mean(ours.first_epoch)
    figures = {
        "typed_to_started_s": round(statistics.mean(ours.started), 2),
        "warm_vs_cold": round(warm / cold, 4),
    }
    sys.stdout.write(f"start to first epoch: {cold:.2f} s by hand, {warm:.2f} s on a warm worker\n")
    sys.stdout.write(f"typed_to_started_s {figures['typed_to_started_s']}, warm_vs_cold {figures['warm_vs_cold']}\n")
    return figures


if __name__ == "__main__":
    main()
