"""What the sandbox costs: the same training inside and outside of it, in turn, and how long it takes to start one.

``python -m tests.bench.sandbox [--quick] [--rounds N] [--json]`` trains one package on a board of jobs, as workers do:

- ``overhead_ratio``: seconds an epoch inside over those outside, over 1,000 timed steps each (500 with --quick);
- ``start_s``: seconds from making a sandbox to a program in it that speaks and was shown its job, the median of ten.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.environment import python_command, runner_environment
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.gpus import Slot
from sleap_rtc.jobs.sandbox import bwrap
from sleap_rtc.jobs.sandbox.choosing import choose
from sleap_rtc.jobs.sandbox.settings import SandboxSettings
from sleap_rtc.jobs.sandbox.view import HOME
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import JobState, Owner, StateChanged
from sleap_rtc.protocol.training import TrainOptions
from tests.bench.jobs import STEPS, prepare, read_epochs

EPOCHS = 3
STARTS = 10
OWNER = Owner(user="u_bench1234", name="bench", room="r_bench1234")


@dataclass
class Level:
    """One way of running jobs: seconds of every timed epoch, and of every job from its start to its end."""

    sandbox: SandboxSettings | None
    epochs: list[float] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)


async def train(jobs: Path, package: Path, level: Level, job: str) -> None:
    """Run one job on a board of its own."""
    settings = SupervisorSettings(sandbox=level.sandbox)
    board = JobBoard(jobs, slots=[Slot("cpu")], executor=LocalExecutor(settings))
    running = asyncio.ensure_future(board.run())
    try:
        folder = await board.receive(job, owner=OWNER, name="bench", manifest_digest="0" * 64, options=TrainOptions())
        await asyncio.to_thread(shutil.copytree, package, folder.inputs, dirs_exist_ok=True)
        await board.accept(folder)
        states = [event async for events in board.watch(folder) for event in events]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    at = {event.body.state: event.t / 1000 for event in states if isinstance(event.body, StateChanged)}
    if JobState.DONE not in at:
        raise SystemExit(f"the training failed: {folder.state().error}")
    level.whole.append(at[JobState.DONE] - at[JobState.STARTING])
    level.epochs += read_epochs(folder.models / "demo_single_instance")


def time_starts(settings: SandboxSettings) -> list[float]:
    """Seconds from making a sandbox to a witness in it that has been shown a job."""
    took = []
    for turn in range(STARTS):
        job = f"j_start{turn:04}"
        for name in ("inputs", "work"):
            Path(settings.jobs, job, name).mkdir(parents=True)
        began = time.perf_counter()
        environment = runner_environment("bench", Path(HOME))
        inside = bwrap.start(settings, python_command("sleap_rtc.jobs.sandbox.witness"), environment)
        with inside.process as process:
            assert process.stdout is not None
            process.stdout.readline()
            inside.admit(job)
            took.append(time.perf_counter() - began)
            process.kill()
    return took


def main() -> None:
    """Run the comparison and print a table."""
    # torch's threads fight with whatever else runs, which would measure the neighbours instead of us
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sleap-rtc-bench-") as name:
        jobs = Path(name, "jobs")
        sandbox = choose("bwrap", jobs).settings
        assert sandbox is not None
        levels = {"outside": Level(None), "inside": Level(sandbox)}
        package = prepare(Path(name), EPOCHS, STEPS)
        for turn in range(1 if options.quick else options.rounds):
            # in another order each time: what the machine does beside must not always meet the same one
            for label in sorted(levels, reverse=bool(turn % 2)):
                asyncio.run(train(jobs, package, levels[label], f"j_{label:0<8}{turn}"))
        starts = time_starts(sandbox)
    figures = {
        "overhead_ratio": round(
            statistics.mean(levels["inside"].epochs) / statistics.mean(levels["outside"].epochs), 4
        ),
        "start_s": round(statistics.median(starts), 3),
    }
    steps = len(levels["inside"].epochs) * STEPS
    sys.stdout.write(f"{'':10}{'s an epoch':>12}{'whole job, s':>14}   ({steps} timed steps each)\n")
    for label, level in levels.items():
        sys.stdout.write(f"{label:10}{statistics.mean(level.epochs):12.3f}{statistics.mean(level.whole):14.2f}\n")
    sys.stdout.write(f"overhead_ratio {figures['overhead_ratio']}, start_s {figures['start_s']}\n")
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
