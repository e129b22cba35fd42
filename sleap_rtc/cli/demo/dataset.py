"""Make the demo's data: a short video of a moving three-node animal and the training package SLEAP would export.

Runs as ``python -m sleap_rtc.cli.demo.dataset OUT --seed N`` so that the demo itself never imports sleap-io. Half of
the frames are labelled and packed; the others, with the true positions, stay out of the package for `score`.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from sleap_rtc.cli import output

SIZE = 96
FRAMES = 60
LABELLED = 30
NODES = ("head", "thorax", "abdomen")
EDGES = (("head", "thorax"), ("thorax", "abdomen"))
PACKAGE = "labels.slp.training_job.zip"
VIDEO = "video.mp4"
TRUTH = "held_out.slp"
DEFAULT_EPOCHS = 8

Points = npt.NDArray[np.float64]
"""Positions in pixels: frames x nodes x (x, y)."""

_SEGMENT = 13.0
_MARGIN = 22.0
_GROUND = 0.08
# (brightness, radius) of each node: a single look must tell head from tail
_LOOKS = ((1.0, 3.0), (0.4, 4.0), (0.7, 6.0))

_CONFIG = """\
data_config:
  train_labels_path:
  - labels.pkg.slp
  val_labels_path: null
  validation_fraction: 0.1
  data_pipeline_fw: torch_dataset
  preprocessing:
    ensure_grayscale: true
    scale: 1.0
  use_augmentations_train: true
  augmentation_config:
    geometric:
      rotation_min: -180.0
      rotation_max: 180.0
      rotation_p: 1.0
      scale_p: 0.0
model_config:
  backbone_config:
    unet:
      in_channels: 1
      filters: 8
      filters_rate: 2.0
      max_stride: 8
      output_stride: 2
  head_configs:
    single_instance:
      confmaps:
        part_names: [head, thorax, abdomen]
        sigma: 2.5
        output_stride: 2
trainer_config:
  train_data_loader:
    batch_size: 4
    num_workers: 0
  val_data_loader:
    batch_size: 4
    num_workers: 0
  train_steps_per_epoch: 40
  min_train_steps_per_epoch: 40
  max_epochs: {max_epochs}
  seed: 42
  enable_progress_bar: false
  save_ckpt: true
  run_name: demo_single_instance
  optimizer_name: Adam
  optimizer:
    lr: 0.001
"""

_JOBS = """\
training:
- cfg: single_instance.yaml
  run_path: models/demo_single_instance
  train_labels: labels.pkg.slp
inference: []
"""

_SCRIPT = """\
#!/bin/bash
sleap-nn train --config-name single_instance.yaml --config-dir .
"""


@dataclass(frozen=True)
class Dataset:
    """What `make_dataset` left in its folder."""

    package: Path
    video: Path
    truth: Path
    labelled: tuple[int, ...]
    held_out: tuple[int, ...]


def walk(rng: np.random.Generator, frames: int = FRAMES) -> Points:
    """Let the animal walk through the picture: its three nodes in each frame, always inside the margins."""
    position = rng.uniform(_MARGIN, SIZE - _MARGIN, 2)
    heading, bend = rng.uniform(-np.pi, np.pi), 0.0
    points = np.empty((frames, len(NODES), 2))
    for frame in range(frames):
        heading += rng.normal(0.0, 0.35)
        bend = 0.7 * bend + rng.normal(0.0, 0.2)
        step = position + rng.uniform(2.0, 5.0) * _direction(heading)
        if np.any((step < _MARGIN) | (step > SIZE - _MARGIN)):  # turn towards the middle
            middle = SIZE / 2 - position
            heading = float(np.arctan2(middle[1], middle[0])) + rng.normal(0.0, 0.3)
        position = np.clip(step, _MARGIN, SIZE - _MARGIN)
        points[frame, 1] = position
        points[frame, 0] = position + _SEGMENT * _direction(heading + bend)
        points[frame, 2] = position - _SEGMENT * _direction(heading - bend)
    return points


def draw(points: Points, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Draw the animal of each frame as three soft blobs on a noisy ground: frames x height x width x 1."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    pictures = rng.normal(_GROUND, 0.02, (len(points), SIZE, SIZE))
    for picture, nodes in zip(pictures, points, strict=True):
        for (brightness, radius), (node_x, node_y) in zip(_LOOKS, nodes, strict=True):
            blob = brightness * np.exp(-((x - node_x) ** 2 + (y - node_y) ** 2) / (2 * radius**2))
            np.maximum(picture, blob, out=picture)
    drawn: npt.NDArray[np.uint8] = (np.clip(pictures, 0.0, 1.0) * 255).astype(np.uint8)[..., None]
    return drawn


def make_dataset(folder: Path, seed: int, max_epochs: int = DEFAULT_EPOCHS) -> Dataset:
    """Write video, training package and held-out truth into `folder`.

    Args:
        folder: made if it is not there.
        seed: the same seed gives the same animal and the same choice of frames.
        max_epochs: goes into the package's config.
    """
    import sleap_io as sio

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    points = walk(rng)
    sio.save_video(draw(points, rng), folder / VIDEO, fps=15, crf=10)
    video = sio.load_video((folder / VIDEO).as_posix())
    skeleton = sio.Skeleton(nodes=list(NODES), edges=list(EDGES), name="demo animal")
    labelled = tuple(sorted(int(frame) for frame in rng.permutation(FRAMES)[:LABELLED]))
    held_out = tuple(frame for frame in range(FRAMES) if frame not in labelled)
    embedded = folder / "labels.pkg.slp"
    _labels(video, skeleton, points, labelled).save(embedded.as_posix(), embed="user", verbose=False)
    _labels(video, skeleton, points, held_out).save((folder / TRUTH).as_posix(), embed=False, verbose=False)
    _pack(folder / PACKAGE, embedded, _CONFIG.format(max_epochs=max_epochs))
    embedded.unlink()
    return Dataset(folder / PACKAGE, folder / VIDEO, folder / TRUTH, labelled, held_out)


def _direction(angle: float) -> npt.NDArray[np.float64]:
    return np.array([np.cos(angle), np.sin(angle)])


def _labels(video: Any, skeleton: Any, points: Points, frames: tuple[int, ...]) -> Any:
    import sleap_io as sio

    labeled = [
        sio.LabeledFrame(
            video=video,
            frame_idx=frame,
            instances=[sio.Instance.from_numpy(points[frame], skeleton=skeleton)],
        )
        for frame in frames
    ]
    return sio.Labels(labeled, videos=[video], skeletons=[skeleton])


def _pack(package: Path, labels: Path, config: str) -> None:
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(labels, "labels.pkg.slp")
        archive.writestr("single_instance.yaml", config)
        archive.writestr("jobs.yaml", _JOBS)
        archive.writestr("train-script.sh", _SCRIPT)


@click.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Which animal to draw.")
@click.option("--max-epochs", type=click.IntRange(min=1), default=DEFAULT_EPOCHS, show_default=True)
def main(out: Path, seed: int, max_epochs: int) -> None:
    """Make the demo's data set in OUT and print one line of JSON about it."""
    made = make_dataset(out, seed, max_epochs)
    output.emit_json(
        {
            "package": str(made.package),
            "video": str(made.video),
            "truth": str(made.truth),
            "labelled": list(made.labelled),
            "held_out": list(made.held_out),
        }
    )


if __name__ == "__main__":
    main()
