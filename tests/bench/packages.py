"""Packages to upload: one of random bytes, and the versions of a labelled project that a user exports one by one.

Run as ``python -m tests.bench.packages OUT FRAMES`` it makes the versions ``base``, ``one_label`` and ``more_frames``,
so that a bench never imports sleap-io.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sleap_rtc.cli.demo import dataset
from tests.bench.processes import make_file

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LABELS = "labels.pkg.slp"
PICTURE = 384
VERSIONS = ("base", "one_label", "more_frames")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_LATER = 6
"""Every sixth frame is labelled only in the last version: 20 % more than there were, all over the video."""


def random_package(folder: Path, size: int) -> Path:
    """Make a package whose labels are `size` random bytes, which no store can know."""
    make_file(folder / LABELS, size, _HDF5)
    _add_config(folder)
    return folder


def _add_config(folder: Path) -> None:
    (folder / "single_instance.yaml").write_text(dataset._CONFIG.format(max_epochs=1))


def labelled_packages(out: Path, frames: int) -> None:
    """Make the versions of a labelled project, each exported from its video as SLEAP does it.

    Args:
        out: where; one folder a version.
        frames: how many the video has.
    """
    import h5py
    import sleap_io as sio

    with h5py.File(out / "video.h5", "w") as file:
        file.create_dataset("images", data=_pictures(frames))
    video = sio.Video.from_filename(str(out / "video.h5"), dataset="images")
    skeleton = sio.Skeleton(nodes=list(dataset.NODES), edges=list(dataset.EDGES), name="bench animal")
    points = _points(frames)
    early = [frame for frame in range(frames) if frame % _LATER != _LATER - 1]
    _export(out / "base", video, skeleton, points, early)
    moved = points.copy()
    moved[early[len(early) // 2], 0] += 2.5
    _export(out / "one_label", video, skeleton, moved, early)
    _export(out / "more_frames", video, skeleton, points, list(range(frames)))


def _pictures(frames: int) -> "npt.NDArray[np.uint8]":
    import numpy as np

    rng = np.random.default_rng(1)
    ground = 90 + 40 * np.sin(np.linspace(0, 6, PICTURE))[:, None] * np.cos(np.linspace(0, 5, PICTURE))
    noise = 12 * rng.standard_normal((frames, PICTURE, PICTURE), dtype=np.float32)
    pictures: npt.NDArray[np.uint8] = np.clip(ground + noise, 0, 255).astype(np.uint8)[..., None]
    return pictures


def _points(frames: int) -> dataset.Points:
    import numpy as np

    return np.random.default_rng(2).uniform(20, PICTURE - 20, (frames, len(dataset.NODES), 2))


def _export(folder: Path, video: Any, skeleton: Any, points: dataset.Points, frames: list[int]) -> None:
    import sleap_io as sio

    folder.mkdir()
    instances = {frame: sio.Instance.from_numpy(points[frame], skeleton=skeleton) for frame in frames}
    labelled = [sio.LabeledFrame(video=video, frame_idx=frame, instances=[instances[frame]]) for frame in frames]
    labels = sio.Labels(labelled, videos=[video], skeletons=[skeleton])
    labels.save(str(folder / LABELS), embed="user", verbose=False)
    _add_config(folder)


if __name__ == "__main__":
    labelled_packages(Path(sys.argv[1]), int(sys.argv[2]))
