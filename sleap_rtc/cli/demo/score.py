"""Score the demo's model on frames that it never saw.

Runs as ``python -m sleap_rtc.cli.demo.score MODEL DATA``: ``sleap-nn predict`` finds the nodes in the held-out frames
of DATA's video, sleap-io reads both sides, and one line of JSON says how far apart they are.
"""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from sleap_rtc.cli import output
from sleap_rtc.cli.demo.dataset import SIZE, TRUTH, VIDEO
from sleap_rtc.errors import JobFailedError, SleapRTCError

Poses = dict[int, npt.NDArray[np.float64]]
"""Frame number to the positions of its nodes (nodes x 2)."""

_MISS = SIZE * 2**0.5
_TAIL = 5


@dataclass(frozen=True)
class Score:
    """How far the predicted nodes are from the true ones, in pixels."""

    median: float
    worst: float
    frames: int
    missing: int


def score(truth: Poses, predicted: Poses) -> Score:
    """Compare `predicted` with `truth` node by node.

    A node that was not found counts as far away as the picture is wide from corner to corner: a model that finds
    nothing must not look good.
    """
    nothing: npt.NDArray[np.float64] = np.full_like(next(iter(truth.values())), np.nan)
    distances = np.array(
        [np.linalg.norm(predicted.get(frame, nothing) - nodes, axis=1) for frame, nodes in truth.items()]
    )
    missing = np.isnan(distances)
    distances[missing] = _MISS
    return Score(float(np.median(distances)), float(distances.max()), len(truth), int(missing.sum()))


def poses(labels: Any) -> Poses:
    """Read the first animal of each frame from sleap-io `labels`."""
    return {int(frame.frame_idx): frame[0].numpy()[:, :2].astype(float) for frame in labels if len(frame)}


def predict(model: Path, video: Path, frames: Sequence[int], destination: Path) -> None:
    """Run ``sleap-nn predict`` on `frames` of `video`.

    Raises:
        JobFailedError: with the last lines it wrote, if it failed.
    """
    command = [sys.executable, "-m", "sleap_nn.cli", "predict", "--data_path", str(video)]
    command += ["--model_paths", str(model), "--output_path", str(destination), "--device", "cpu"]
    # the best guess for every node, however unsure: one figure for good and bad models alike
    command += ["--frames", ",".join(map(str, frames)), "--peak_threshold", "0", "--batch_size", "32"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not destination.exists():
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_TAIL:])
        raise JobFailedError(f"sleap-nn could not run the trained model (exit code {done.returncode}):\n{tail}")


def score_model(model: Path, data: Path) -> Score:
    """Score the trained `model` folder on the held-out frames of the data set in `data`."""
    import sleap_io as sio

    truth = poses(sio.load_slp((data / TRUTH).as_posix()))
    with tempfile.TemporaryDirectory(prefix="sleap-rtc-score-") as folder:
        predictions = Path(folder) / "predictions.slp"
        predict(model, data / VIDEO, sorted(truth), predictions)
        return score(truth, poses(sio.load_slp(predictions.as_posix(), open_videos=False)))


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(model: Path, data: Path) -> None:
    """Score the folder MODEL on the data set DATA and print one line of JSON."""
    try:
        result = score_model(model, data)
    except SleapRTCError as error:
        sys.exit(output.fail(error))
    output.emit_json(
        {
            "median_px": result.median,
            "worst_px": result.worst,
            "frames": result.frames,
            "missing": result.missing,
        }
    )


if __name__ == "__main__":
    main()
