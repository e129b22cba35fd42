"""What looking at a video through us costs beside the same ``sleap-nn predict`` typed by hand.

``python -m tests.bench.inference [--quick] [--rounds N] [--json]`` trains a small model, then looks at one video in
turn by hand and through service, warm worker and client, all on this machine, and compares them within the run:

- ``warm_start_s``: from typing ``sleap-rtc track`` to the first frames that were looked at, on a warm worker;
- ``cold_start_s``: the same for ``sleap-nn predict`` by hand;
- ``fps_ratio``: frames a second through us over those by hand, as sleap-nn itself counts them.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sleap_rtc.cli.demo.dataset import draw, walk
from tests.bench.jobs import Runs, by_hand, prepare, start, wait_for, wait_until_warm

FRAMES = 6000
_SAID = re.compile(r"Inference complete \| frames=(\d+) .*elapsed=([0-9.]+)s")


@dataclass
class Looks:
    """One way of looking: seconds to the first frames, and frames a second, of each time."""

    starts: list[float] = field(default_factory=list)
    speeds: list[float] = field(default_factory=list)

    def take_speed(self, log: str) -> None:
        """Read off sleap-nn's log how fast it was."""
        found = _SAID.search(log)
        if found is None:
            raise SystemExit("sleap-nn's log does not say how fast it was")
        self.speeds.append(int(found[1]) / float(found[2]))


def write_video(path: Path, frames: int) -> Path:
    import sleap_io as sio

    rng = np.random.default_rng(3)
    sio.save_video(draw(walk(rng, frames), rng), path, fps=30, crf=10)
    return path


def look_by_hand(model: Path, video: Path, output: Path, looks: Looks) -> None:
    command = [sys.executable, "-m", "sleap_nn.cli", "predict", "--data_path", str(video), "--model_paths", str(model)]
    began = time.perf_counter()
    with (output.with_suffix(".log")).open("w+") as log:
        process = subprocess.Popen(
            [*command, "--output_path", str(output), "--device", "auto", "--gui"],
            stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
        assert process.stdout
        for line in process.stdout:
            if '"n_processed"' in line:
                looks.starts.append(time.perf_counter() - began)
                break
        process.communicate()
        log.seek(0)
        looks.take_speed(log.read())


def look_through_us(model: Path, video: Path, output: Path, line: str, looks: Looks) -> None:
    """Type the command, as somebody who never used it."""
    environment = os.environ | {"SLEAP_RTC_HOME": str(output.with_suffix(".home"))}
    words = ["track", "--new", "-s", line, "--model", str(model), "--data", str(video), "-o", str(output)]
    typed = time.time()
    command = [sys.executable, "-m", "sleap_rtc", *words, "--json", "--logs"]
    ended = subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE, text=True)
    told = [json.loads(each) for each in ended.stdout.splitlines()]
    looks.starts.append(next(each["t"] / 1000 for each in told if each.get("type") == "frames") - typed)
    looks.take_speed("".join(str(each.get("text", "")) for each in told if each["event"] == "log"))


def main() -> None:
    """Run the comparison and print a table."""
    # torch's threads fight with whatever else runs, which would measure the neighbours instead of us
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    hand, ours = Looks(), Looks()
    with tempfile.TemporaryDirectory(prefix="sleap-rtc-bench-") as name:
        compare(Path(name), 1 if options.quick else options.rounds, hand, ours)
    figures = {
        "warm_start_s": round(statistics.mean(ours.starts), 2),
        "cold_start_s": round(statistics.mean(hand.starts), 2),
        "fps_ratio": round(statistics.mean(ours.speeds) / statistics.mean(hand.speeds), 3),
    }
    sys.stdout.write(f"{'':12}{'first frames, s':>17}{'frames a second':>17}   ({FRAMES} frames)\n")
    for label, looks in (("by hand", hand), ("sleap-rtc", ours)):
        sys.stdout.write(f"{label:12}{statistics.mean(looks.starts):17.2f}{statistics.mean(looks.speeds):17.1f}\n")
    sys.stdout.write(f"fps_ratio {figures['fps_ratio']}\n")
    if options.json:
        sys.stdout.write(json.dumps(figures) + "\n")


def compare(folder: Path, rounds: int, hand: Looks, ours: Looks) -> None:
    """Look in turn by hand and through us."""
    video = write_video(folder / "video.mp4", FRAMES)
    by_hand(prepare(folder, 2, 20), folder / "models", Runs())
    model = folder / "models/demo_single_instance"
    service = start(folder, "server", "run", "--port", "0", "--database", str(folder / "service.db"))
    worker = start(folder, "worker", "--warm", "--server", wait_for(service, "http://"))
    try:
        line = wait_for(worker, "sleap-session:")
        for turn in range(rounds):
            # first, for a runner that still warms up would be in the way of the other
            wait_until_warm(worker)
            look_by_hand(model, video, folder / f"hand-{turn}.slp", hand)
            look_through_us(model, video, folder / f"ours-{turn}.slp", line, ours)
    finally:
        for process in (worker, service):
            process.terminate()
            process.wait()


if __name__ == "__main__":
    main()
