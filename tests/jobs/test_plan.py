from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.plan import Plan, stage
from sleap_rtc.jobs.yaml_data import MAX_BYTES, read_yaml, write_yaml
from sleap_rtc.protocol.jobs import JobSpec

from .conftest import LABELS, OWNER, training_config, write_package


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    spec = JobSpec(job="j_12345678", owner=OWNER, name="test", manifest="0" * 64, submitted=0)
    return JobFolder.create(tmp_path / spec.job, spec)


def staged(folder: JobFolder) -> Plan:
    return stage(folder, cpus=2)


def add(folder: JobFolder, path: str, content: dict[str, Any] | str | bytes) -> None:
    target = folder.inputs / path
    target.parent.mkdir(parents=True, exist_ok=True)
    text = write_yaml(content) if isinstance(content, dict) else content
    target.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_the_first_stage_of_a_top_down_pair_trains_first(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config("centered_instance"), "b": training_config("centroid")})
    plan = staged(folder)
    assert [(run.name, run.model_type, run.max_epochs) for run in plan.runs] == [
        ("b", "centroid", 2),
        ("a", "centered_instance", 2),
    ]


def test_jobs_yaml_decides_order_names_and_labels(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config(), "b": training_config(), "unlisted": training_config()})
    add(folder, "other.pkg.slp", LABELS)
    entries = [
        {"cfg": "b.yaml", "run_path": "models/second", "train_labels": "other.pkg.slp"},
        {"cfg": "a.yaml", "run_path": "", "train_labels": "labels.pkg.slp"},
    ]
    add(folder, "jobs.yaml", {"training": entries, "inference": []})
    plan = staged(folder)
    assert [run.name for run in plan.runs] == ["second", "a"]
    written = [read_yaml((folder.path / run.config).read_bytes())["data_config"] for run in plan.runs]
    labels = [config["train_labels_path"] for config in written]
    assert labels == [[str(folder.inputs / "other.pkg.slp")], [str(folder.inputs / "labels.pkg.slp")]]


def test_a_config_that_jobs_yaml_lists_must_be_there(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    add(folder, "jobs.yaml", {"training": [{"cfg": "../../etc/passwd"}]})
    with pytest.raises(PackageError, match="not in the package"):
        staged(folder)


def test_what_runs_is_below_work_and_names_only_the_jobs_own_paths(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    (run,) = staged(folder).runs
    assert run.config == "work/runs/a/config.yaml"
    config = read_yaml((folder.path / run.config).read_bytes())
    assert config["trainer_config"]["ckpt_dir"] == str(folder.models)


def test_notices_name_their_run(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config(save_ckpt=False)})
    assert staged(folder).notices[0].startswith("a: save_ckpt was off")


def test_files_that_are_no_configs_are_passed_over(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    add(folder, "environment.yml", "x: &a 1\ny: *a")
    add(folder, "train-script.sh", "rm -rf /")
    assert [run.name for run in staged(folder).runs] == ["a"]


def test_a_package_in_a_folder_of_its_own_is_taken(folder: JobFolder) -> None:
    write_package(folder.inputs / "labels.slp.training_job", {"centroid": training_config("centroid")})
    assert [run.name for run in staged(folder).runs] == ["centroid"]


def test_links_are_not_followed(folder: JobFolder, tmp_path: Path) -> None:
    outside = tmp_path / "outside.slp"
    outside.write_bytes(LABELS)
    (folder.inputs / "labels.slp").symlink_to(outside)
    add(folder, "a.yaml", training_config())
    with pytest.raises(PackageError, match="no labels"):
        staged(folder)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "empty"),
        ({"a.yaml": write_yaml(training_config())}, "holds no labels"),
        ({"labels.slp": LABELS}, "no training config"),
        ({"labels.slp": b"hello", "a.yaml": write_yaml(training_config())}, "does not hold HDF5"),
        ({"labels.slp": LABELS} | {f"{i}.yaml": write_yaml(training_config()) for i in range(17)}, "at most 16"),
    ],
)
def test_packages_that_cannot_be_trained_are_refused_in_a_sentence(
    folder: JobFolder, files: dict[str, Any], why: str
) -> None:
    for path, content in files.items():
        add(folder, path, content)
    with pytest.raises(PackageError, match=why):
        staged(folder)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.yaml", "model_config: {}\ntrainer_config: {}\nhydra: {}", "'a.yaml' is refused: .*Hydra"),
        ("a.yaml", "model_config: {}\nx: trainer_config", "no section 'x'"),
        ("a.yaml", "model_config: {head_configs: {centroid: {}}}\nname: trainer_config", "has no trainer_config"),
        ("a.yaml", "model_config: {}\ntrainer_config: {}", "names no head"),
        ("old.json", '{"model": {}, "optimization": {}}', "has to be made by sleap-nn, which this worker does not"),
        ("jobs.yaml", "training: [&a 1]", "jobs.yaml' is refused: .*anchor"),
    ],
)
def test_configs_that_are_refused_are_named(folder: JobFolder, name: str, content: str, why: str) -> None:
    add(folder, "labels.slp", LABELS)
    add(folder, name, content)
    with pytest.raises(ConfigError, match=why):
        staged(folder)


def test_a_path_that_is_not_in_the_package_names_the_config(folder: JobFolder) -> None:
    config = training_config()
    config["data_config"]["val_labels_path"] = ["/home/alice/val.slp"]
    write_package(folder.inputs, {"a": config})
    with pytest.raises(ConfigError, match=r"In 'a.yaml': data_config.val_labels_path names 'val.slp'"):
        staged(folder)


def test_a_config_that_grows_when_it_is_written_can_still_be_run(folder: JobFolder) -> None:
    config = write_yaml(training_config() | {"description": "X"}).replace(
        '"X"', "{a: " * 12 + "[" + "1," * 10_000 + "1]" + "}" * 12
    )
    add(folder, "labels.slp", LABELS)
    add(folder, "a.yaml", config)
    (run,) = staged(folder).runs
    data = (folder.path / run.config).read_bytes()
    assert len(data) > MAX_BYTES
    assert b"- 1" in data


def test_a_config_that_cannot_be_read_back_is_refused(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleap_rtc.jobs.plan.MAX_OWN_BYTES", 100)
    write_package(folder.inputs, {"a": training_config()})
    with pytest.raises(ConfigError, match=r"'a.yaml', written out, is refused: it is larger"):
        staged(folder)


def test_a_model_that_comes_along_is_not_trained_again(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    for name in ("initial_config.yaml", "training_config.yaml"):
        add(folder, f"start/{name}", training_config())
    add(folder, "start/best.ckpt", b"weights")
    assert [run.name for run in staged(folder).runs] == ["a"]


def test_what_a_desktop_leaves_behind_is_passed_over(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    for name in ("__MACOSX/labels.pkg.slp", "._labels.pkg.slp", "sub/.a.yaml"):
        add(folder, name, b"model_config trainer_config")
    assert [run.name for run in staged(folder).runs] == ["a"]
