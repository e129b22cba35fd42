"""Models that a lab shares, with the real sleap-nn: trained by one member, found, run and pulled by another."""

import json
import os
from pathlib import Path

import pytest

from sleap_rtc.cli.demo.score import poses, score
from sleap_rtc.jobs.yaml_data import write_yaml
from tests.e2e.rooms import Lab
from tests.jobs.conftest import training_config

pytestmark = [pytest.mark.real, pytest.mark.timeout(900), pytest.mark.xdist_group("e2e")]


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


def test_a_model_without_a_name_is_listed_to_the_others_and_can_be_pulled(lab: Lab, real_labels: bytes) -> None:
    package = write_pair(lab.folder / "pair", real_labels)
    told = lab.good("ada", "train", "-p", str(package), "--room", "lab", "--auto-select", "--json")
    job = next(item["job"]["job"] for item in map(json.loads, told.splitlines()) if item["event"] == "job")
    lab.until_listed("bob", job)
    lab.good("bob", "models", "pull", job, "-o", "pair", "--room", "lab")
    assert {path.parent.name for path in (lab.folder / "bob/pair").rglob("best.ckpt")} == {
        "centroid",
        "centered_instance",
    }
    # both are one version, and look at the package together
    lab.good("bob", "models", "push", job, "--name", "pair", "--room", "lab")
    given = os.environ.get("SLEAP_RTC_TEST_PACKAGE")
    labels = Path(given) if given else package / "labels.pkg.slp"
    lab.good(
        "bob", "track", "--room", "lab", "--auto-select", "--model", "pair@1", "--data", str(labels), "-o", "p.slp"
    )
    import sleap_io as sio

    assert len(sio.load_slp((lab.folder / "bob/p.slp").as_posix(), open_videos=False).videos) == 1


def write_pair(folder: Path, labels: bytes) -> Path:
    """A package that trains a top-down pair, on the real labels where there are some."""
    given = os.environ.get("SLEAP_RTC_TEST_PACKAGE")
    folder.mkdir()
    (folder / "labels.pkg.slp").write_bytes(Path(given).read_bytes() if given else labels)
    for head in ("centroid", "centered_instance"):
        config = training_config(head)
        if given and head == "centered_instance":
            config["model_config"]["head_configs"][head]["confmaps"]["part_names"] = ["A", "B"]
        (folder / f"{head}.yaml").write_text(write_yaml(config))
    return folder
