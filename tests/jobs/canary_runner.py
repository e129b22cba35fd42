"""A runner whose trainer loads the checkpoint of its package as torch does by default: by unpickling it.

Whoever made the checkpoint runs code then. Tests make checkpoints that look for what a job must not get at.
"""

import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sleap_rtc.jobs.frame_report import Report
from sleap_rtc.jobs.runner import serve


class CarelessTrainer:
    def prepare(self) -> None:
        """Know nothing of the job."""

    def train(self, config: Path, heard: Callable[[float], bool], arguments: Sequence[str] = ()) -> int:
        inputs = Path.cwd().parent / "inputs"
        with (inputs / "weights.ckpt").open("rb") as checkpoint:
            pickle.load(checkpoint)
        return 0

    def track(self, arguments: Sequence[str], report: Report) -> int:
        raise NotImplementedError

    def export(self, arguments: Sequence[str]) -> int:
        raise NotImplementedError


if __name__ == "__main__":
    sys.exit(serve(CarelessTrainer()))
