"""A model that was trained by the real sleap-nn is exported by it, on a worker of a room, and looks at frames alike."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import end, environment, start, word_with
from tests.jobs.ending import end_jobs

pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]

FRAMES = 20
APART = 0.5
"""Pixels between the two predictions of a point, at most."""


class Lab:
    """A service for developers, a room with a worker, and ada, who is logged in."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder, self.server = folder, server

    def typed(self, *words: str) -> str:
        """Type a command, and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "sleap_rtc", *words],
            cwd=self.folder,
            env=environment(self.folder / "client") | {"SLEAP_RTC_SERVER": self.server},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def points(self, name: str, *options: str) -> np.ndarray:
        """Where a model sees the animal in the first frames of the video."""
        sio = pytest.importorskip("sleap_io")
        where = ("--room", "lab", "--auto-select", "-i", "data/video.mp4", "--frames", f"0-{FRAMES - 1}")
        self.typed("track", *where, "-m", "fly", "-o", name, *options)
        labels = sio.load_slp(str(self.folder / name), open_videos=False)
        found: np.ndarray = np.stack([frame.instances[0].numpy() for frame in labels])
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    service = start(tmp_path, "server", "run", "--dev", "--port", "0", "--database", str(tmp_path / "service.db"))
    worker: subprocess.Popen[str] | None = None
    try:
        lab = Lab(tmp_path, word_with(service, "http://"))
        lab.typed("login", "--name", "ada")
        lab.typed("room", "create", "--name", "lab")
        token = json.loads(lab.typed("token", "create", "-r", "lab", "-n", "gpu", "--json"))["token"]
        worker = start(tmp_path, "worker", "--server", lab.server, "--slots", "1", "--warm", "--api-key", token)
        word_with(worker, "w_")
        yield lab
    finally:
        for process in (worker, service):
            if process is not None:
                process.terminate()
                end(process)
        end_jobs(tmp_path / "worker" / "jobs")


def test_an_exported_model_sees_what_its_checkpoint_sees(lab: Lab) -> None:
    dataset = [sys.executable, "-m", "sleap_rtc.cli.demo.dataset", "data", "--seed", "0"]
    subprocess.run(dataset, cwd=lab.folder, env=environment(lab.folder / "client"), check=True, capture_output=True)
    train = ("train", "--room", "lab", "--auto-select", "-p", "data/labels.slp.training_job.zip")
    lab.typed(*train, "--register", "fly")
    assert lab.typed("models", "list", "--room", "lab", "--format", "onnx") == ""
    assert "fly@1 is there as onnx now." in lab.typed("models", "export", "fly@1", "--room", "lab", "--auto-select")
    (listed,) = json.loads(lab.typed("models", "list", "--room", "lab", "--format", "onnx", "--json"))
    assert (listed["ref"], sorted(listed["formats"])) == ("fly@1", ["onnx", "sleap-nn"])
    by_checkpoint, by_network = lab.points("a.slp"), lab.points("b.slp", "--runtime", "onnx")
    assert by_checkpoint.shape == by_network.shape == (FRAMES, 3, 2)
    apart = np.linalg.norm(by_checkpoint - by_network, axis=-1)
    assert np.array_equal(np.isnan(by_checkpoint), np.isnan(by_network))
    assert np.nanmax(apart) <= APART, apart
