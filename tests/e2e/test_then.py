"""A training that looks at data with its models, with the real sleap-nn, typed as a user types it."""

import json
from pathlib import Path

import pytest

from sleap_rtc.jobs.yaml_data import write_yaml
from tests.client.labels_on_videos import LABELLED, make_labels
from tests.e2e.conftest import Terminals
from tests.jobs.conftest import training_config

pytestmark = [pytest.mark.real, pytest.mark.timeout(600), pytest.mark.xdist_group("e2e")]
SUGGESTED = (5, 7)


def project(folder: Path) -> Path:
    """A training package without images, as a project is: labels on a video, with suggestions, and a config."""
    import sleap_io as sio

    (folder / "package").mkdir(parents=True)
    path = make_labels(folder / "package/flies.slp", folder / "a.mp4")
    labels = sio.load_slp(str(path))
    labels.suggestions = [sio.SuggestionFrame(video=labels.videos[0], frame_idx=index) for index in SUGGESTED]
    labels.save(str(path), verbose=False)
    (folder / "package/one.yaml").write_text(write_yaml(training_config(train_steps_per_epoch=20)))
    return path


def test_suggestions_are_predicted_and_merged_by_the_job_that_trains(terminals: Terminals, tmp_path: Path) -> None:
    import sleap_io as sio

    labels = project(tmp_path)
    before = labels.read_bytes()
    merged = tmp_path / "next.slp"
    # nothing is sure after so few steps: every peak counts
    words = ("--then", "track", "--on", "suggestions", "--on", str(tmp_path / "a.mp4"), "--peak-threshold", "0")
    output = ("--merge", str(labels), "--predictions", str(merged), "--json")
    done = terminals.client(tmp_path / "package", tmp_path / "models", *words, *output)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    runs = [item for item in said if item.get("type") == "run_started"]
    assert [(item["verb"], item["index"], item["runs"]) for item in runs] == [
        ("train", 1, 3), ("track", 2, 3), ("track", 3, 3),
    ]  # fmt: skip
    totals = {item["run"]: item["total"] for item in said if item.get("type") == "frames"}
    assert sorted(totals.values()) == [len(SUGGESTED), 12]
    assert [Path(each).name for each in said[-1]["folders"]] == ["one"]
    assert {Path(each).name for each in said[-1]["files"]} == {
        "flies.predictions.slp", "a.predictions.slp", "next.slp",
    }  # fmt: skip
    found = sio.load_slp(str(tmp_path / "flies.predictions.slp"), open_videos=False)
    assert {frame.frame_idx for frame in found if frame.predicted_instances} == set(SUGGESTED)
    # it names the user's own video, and not the copy with images that was made for the worker
    assert [Path(video.filename) for video in found.videos] == [tmp_path / "a.mp4"]
    assert labels.read_bytes() == before
    after = sio.load_slp(str(merged), open_videos=False)
    assert {frame.frame_idx for frame in after if frame.user_instances} == set(LABELLED)
    assert {frame.frame_idx for frame in after if frame.predicted_instances} >= set(SUGGESTED)
