"""Labels that refer to videos instead of holding images, as SLEAP saves a project."""

from pathlib import Path
from typing import Any

import numpy as np
import sleap_io as sio

SKELETON = sio.Skeleton(nodes=["head", "mid", "tail"], edges=[("head", "mid"), ("mid", "tail")])
LABELLED = range(0, 12, 2)
PREDICTED = 3


def make_video(path: Path, seed: int, frames: int = 12) -> list[Any]:
    """A video of three blobs that move, and where they are."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:96, :96]
    points = random.uniform(24, 72, (frames, 3, 2))
    images = np.zeros((frames, 96, 96, 3), "uint8")
    for image, nodes in zip(images, points, strict=True):
        for (x, y), brightness in zip(nodes, (250, 170, 110), strict=True):
            blob = brightness * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18)
            image[...] = np.maximum(image, blob.astype("uint8")[..., None])
    path.parent.mkdir(parents=True, exist_ok=True)
    sio.save_video(images, str(path))
    return list(points)


def make_labels(path: Path, *videos: Path, called: tuple[str, ...] = ()) -> Path:
    """A project on these videos: every second frame labelled, one with a prediction alone.

    Args:
        path: where it is saved.
        videos: made where they are not.
        called: what the labels call them, if not their absolute paths.
    """
    frames = []
    for seed, file in enumerate(videos):
        points = make_video(file, seed)
        video = sio.load_video(str(file))
        for index in LABELLED:
            instance = sio.Instance.from_numpy(points[index], skeleton=SKELETON)
            frames.append(sio.LabeledFrame(video=video, frame_idx=index, instances=[instance]))
        guess = sio.PredictedInstance.from_numpy(points[PREDICTED], skeleton=SKELETON, score=0.9)
        frames.append(sio.LabeledFrame(video=video, frame_idx=PREDICTED, instances=[guess]))
    labels = sio.Labels(frames)
    for video, name in zip(labels.videos, called, strict=False):
        video.replace_filename(name, open=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    labels.save(str(path), verbose=False)
    return path
