"""A model that the real sleap-nn has trained is exported by it, on a worker of a room, and looks at frames alike."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.e2e.rooms import Lab

pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]

APART = 0.5
"""Pixels between the two predictions of a point, at most.

Of a model that was not trained to its end they differ a little more: 0.64 pixels after five epochs of the demo's eight.
"""
ROOM = ("--room", "lab")


def points(predictions: Path) -> npt.NDArray[np.float64]:
    """Where a model saw the animal, frame by frame."""
    import sleap_io as sio

    labels = sio.load_slp(predictions.as_posix(), open_videos=False)
    return np.stack([frame.instances[0].numpy() for frame in sorted(labels, key=lambda each: int(each.frame_idx))])


def test_an_exported_model_sees_what_its_checkpoint_sees(lab: Lab, fly: str, seen: Path) -> None:
    assert lab.good("bob", "models", "list", *ROOM, "--format", "onnx") == ""
    said = lab.good("bob", "models", "export", fly, "--format", "onnx", *ROOM, "--auto-select")
    assert f"{fly} is there as onnx now." in said
    (listed,) = lab.told("bob", "models", "list", *ROOM, "--format", "onnx")
    assert (listed["ref"], sorted(listed["formats"])) == (fly, ["onnx", "sleap-nn"])
    by_checkpoint = points(seen)
    by_network = points(lab.tracked("bob", "network.slp", "--model", fly, "--runtime", "onnx"))
    assert by_checkpoint.shape == by_network.shape == (len(lab.dataset.held_out), 3, 2)
    assert np.array_equal(np.isnan(by_checkpoint), np.isnan(by_network))
    apart = np.linalg.norm(by_checkpoint - by_network, axis=-1)
    print(f"at most {np.nanmax(apart):.3f} px apart, {np.nanmedian(apart):.3f} px in the median")  # noqa: T201
    assert np.nanmax(apart) <= APART
