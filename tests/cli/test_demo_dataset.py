"""The demo's data and figure; the whole demo is run by the end-to-end test."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from sleap_rtc.cli.demo.dataset import FRAMES, LABELLED, SIZE, draw, make_dataset, walk
from sleap_rtc.cli.demo.processes import Background, end_all, environment, interrupted_by_sigterm
from sleap_rtc.cli.demo.score import Poses, poses, score
from sleap_rtc.errors import DependencyError, UnreachableError

PRINT_HOME = "import os; print(os.environ['SLEAP_RTC_HOME'], flush=True)"
WAIT = "print('ready', flush=True); import threading; threading.Event().wait()"


def poses_of(seed: int, frames: int = 10) -> Poses:
    points = walk(np.random.default_rng(seed), frames)
    return dict(enumerate(points))


def test_the_animal_stays_in_the_picture_and_moves() -> None:
    for seed in range(20):
        points = walk(np.random.default_rng(seed))
        assert points.shape == (FRAMES, 3, 2)
        assert points.min() >= 4
        assert points.max() <= SIZE - 5
        assert np.linalg.norm(np.diff(points[:, 1], axis=0), axis=1).mean() > 1


def test_each_node_can_be_seen() -> None:
    rng = np.random.default_rng(1)
    points = walk(rng)
    pictures = draw(points, rng)
    assert pictures.shape == (FRAMES, SIZE, SIZE, 1)
    for picture, nodes in zip(pictures, points, strict=True):
        column, row = np.round(nodes).astype(int).T
        assert (picture[row, column, 0] > 2 * np.median(picture)).all()


@pytest.mark.filterwarnings("ignore")  # sleap-io's own; nothing of ours runs in here
def test_the_package_is_as_sleap_packs_it(tmp_path: Path) -> None:
    import sleap_io as sio

    made = make_dataset(tmp_path / "demo", seed=7, max_epochs=3)
    assert made.package.name == "labels.slp.training_job.zip"
    assert not set(made.labelled) & set(made.held_out)
    assert sorted(made.labelled + made.held_out) == list(range(FRAMES))
    with zipfile.ZipFile(made.package) as archive:
        assert sorted(archive.namelist()) == [
            "jobs.yaml",
            "labels.pkg.slp",
            "single_instance.yaml",
            "train-script.sh",
        ]
        config = archive.read("single_instance.yaml").decode()
        archive.extractall(tmp_path / "unpacked")
    assert "max_epochs: 3\n" in config
    assert not {path.name for path in made.package.parent.iterdir()} & {"labels.pkg.slp"}
    made.video.unlink()  # the package must stand alone, as it will on the worker
    labels = sio.load_slp(str(tmp_path / "unpacked" / "labels.pkg.slp"))
    assert len(labels) == LABELLED
    assert labels[0].image.shape == (SIZE, SIZE, 1)
    truth = poses(sio.load_slp(str(made.truth), open_videos=False))
    assert tuple(truth) == made.held_out
    points = walk(np.random.default_rng(7))
    assert all(np.allclose(nodes, points[frame]) for frame, nodes in truth.items())


def test_the_figure_is_the_median_over_all_nodes() -> None:
    truth = poses_of(1)
    shifted = {frame: nodes + np.array([3.0, 4.0]) for frame, nodes in truth.items()}
    assert score(truth, truth).median == 0
    result = score(truth, shifted)
    assert (result.median, result.worst) == pytest.approx((5.0, 5.0))
    assert (result.frames, result.missing) == (10, 0)


def test_a_model_that_finds_nothing_is_bad() -> None:
    truth = poses_of(1)
    result = score(truth, {})
    assert result.missing == 30
    assert result.median == pytest.approx(SIZE * 2**0.5)
    half = {frame: nodes.copy() for frame, nodes in truth.items()}
    half[3][1] = np.nan
    assert score(truth, half).missing == 1


def test_a_background_process_is_heard_and_ended(tmp_path: Path) -> None:
    started = Background("worker", [sys.executable, "-c", WAIT], env=environment(tmp_path / "home"), cwd=tmp_path)
    assert started.wait_for(re.compile("^(ready)$"), 30) == "ready"
    started.check()
    end_all([started.process], tmp_path)
    assert started.process.poll() is not None
    with pytest.raises(UnreachableError, match=r"The demo's worker ended early .*\n  ready"):
        started.check()


def test_a_process_that_dies_tells_why(tmp_path: Path) -> None:
    code = "import sys; print('port taken'); sys.exit(4)"
    started = Background("service", [sys.executable, "-c", code], env=environment(tmp_path), cwd=tmp_path)
    with pytest.raises(UnreachableError, match=r"service ended while it started. It said:\n  port taken"):
        started.wait_for(re.compile("(http://)"), 30)
    with pytest.raises(DependencyError, match=r"exit code 4"):
        started.output(30)


def test_a_supervisor_of_its_own_session_is_found_and_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WAIT, str(tmp_path / "jobs" / "j_0123456789")]
    # no pipe to its parent, as a supervisor has none
    code = (
        "import subprocess as s; child = s.Popen("
        f"{command!r}, start_new_session=True, stdout=s.DEVNULL, stderr=s.DEVNULL); print(child.pid)"
    )
    parent = Background("worker", [sys.executable, "-c", code], env=environment(tmp_path), cwd=tmp_path)
    child = psutil.Process(int(parent.output(30)))
    assert child.is_running()
    end_all([parent.process], tmp_path)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_settings_of_the_user_do_not_reach_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLEAP_RTC_SERVER", "https://elsewhere")
    env = environment(tmp_path)
    assert env["SLEAP_RTC_HOME"] == str(tmp_path)
    assert "SLEAP_RTC_SERVER" not in env
    started = Background("probe", [sys.executable, "-c", PRINT_HOME], env=env, cwd=tmp_path)
    assert started.output(30) == str(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_sigterm_counts_as_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), interrupted_by_sigterm():
        os.kill(os.getpid(), 15)


def test_the_demos_own_process_stays_light() -> None:
    code = (
        "import sys, json; from sleap_rtc.cli.demo import command;"
        "print(json.dumps(sorted({'numpy', 'sleap_io', 'torch', 'rich', 'fastapi'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
