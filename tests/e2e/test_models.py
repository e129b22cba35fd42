"""Models that a lab shares, with the real sleap-nn: trained by one member, found, run and pulled by another."""

import csv
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.cli.demo.score import poses, score
from sleap_rtc.jobs.yaml_data import write_yaml
from tests.e2e.rooms import Lab
from tests.jobs.conftest import training_config

pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]
PAIR = ("centroid", "centered_instance")
LABELS = "labels.pkg.slp"


def median_error(lab: Lab, predictions: Path) -> float:
    """How far predictions are from the truth, on frames that no training has seen."""
    import sleap_io as sio

    truth = poses(sio.load_slp(lab.dataset.truth.as_posix()))
    found = poses(sio.load_slp(predictions.as_posix(), open_videos=False))
    return score(truth, {frame: found[frame] for frame in truth if frame in found}).median


def test_a_model_trained_by_one_member_is_run_by_another(lab: Lab, seen: Path) -> None:
    assert median_error(lab, seen) <= 3

    lab.good("bob", "models", "pull", "fly", "-o", "pulled", "--room", "lab")
    record = json.loads((lab.folder / "bob/pulled/model.json").read_bytes())
    assert (record["name"], record["version"], record["made_by"]) == ("fly", 1, "ada")
    assert median_error(lab, lab.tracked("bob", "pulled.slp", "--model", "./pulled", "--new")) <= 3


def test_a_real_package_trains_and_others_pull_its_models_without_a_name(
    lab: Lab, real_labels: bytes, tmp_path: Path
) -> None:
    package = pack_pair(tmp_path / "fly day 3.export", real_labels)
    said = lab.good("ada", "train", "-p", str(package), "--room", "lab", "--auto-select", "-o", "pair", "--json")
    told = [json.loads(line) for line in said.splitlines()]
    assert_returned(told, lab.folder / "ada/pair")

    job = next(item["job"]["job"] for item in told if item["event"] == "job")
    lab.until_listed("bob", job)
    lab.good("bob", "models", "pull", job, "-o", "pair", "--room", "lab")
    assert {path.parent.name for path in (lab.folder / "bob/pair").rglob("best.ckpt")} == set(PAIR)
    # both are one version, and look at the package together
    lab.good("bob", "models", "push", job, "--name", "pair", "--room", "lab")
    track = ("track", "--room", "lab", "--auto-select", "--model", "pair@1", "-o", "p.slp")
    lab.good("bob", *track, "--data", str(labels_of(package, tmp_path)))
    import sleap_io as sio

    assert len(sio.load_slp((lab.folder / "bob/p.slp").as_posix(), open_videos=False).videos) == 1


def assert_returned(told: list[dict[str, Any]], models: Path) -> None:
    """What was told of the pair's training went on while it did, and agrees with the models that came home."""
    progress = [item for item in told if item["event"] == "progress"]
    assert [item["run"] for item in progress if item["type"] == "run_started"] == list(PAIR)
    for run in PAIR:
        of_run = [item for item in progress if item["run"] == run]
        ends = [index for index, item in enumerate(of_run) if item["type"] == "epoch_ended"]
        # row 2 of the log is written when the second epoch ends
        assert ends[1] >= 3
        assert (models / run / "best.ckpt").stat().st_size > 0
        with (models / run / "training_log.csv").open() as file:
            *_, last = csv.DictReader(file)
        assert of_run[ends[-1]]["metrics"]["val/loss"] == pytest.approx(float(last["val/loss"]), rel=1e-6)


def pack_pair(path: Path, labels: bytes) -> Path:
    """A zip as SLEAP exports it, its name no hint of what it is, with a top-down pair; of real labels if there are."""
    given = os.environ.get("SLEAP_RTC_TEST_PACKAGE")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(LABELS, Path(given).read_bytes() if given else labels)
        for head in PAIR:
            config = training_config(head)
            if given and head == "centered_instance":
                config["model_config"]["head_configs"][head]["confmaps"]["part_names"] = ["A", "B"]
            archive.writestr(f"{head}.yaml", write_yaml(config))
        archive.writestr("train-script.sh", "sleap-nn train\n")
    return path


def labels_of(package: Path, folder: Path) -> Path:
    """Unpack its labels."""
    with zipfile.ZipFile(package) as archive:
        return Path(archive.extract(LABELS, folder))
