from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import ConfigError, PackageError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.making import ConversionRequest, PresetRequest
from sleap_rtc.jobs.plan import Plan
from sleap_rtc.jobs.train_plan import recipes, stage
from sleap_rtc.jobs.yaml_data import MAX_BYTES, MAX_OWN_BYTES, read_yaml, write_yaml
from sleap_rtc.protocol.jobs import JobSpec
from sleap_rtc.protocol.training import Override, Preset, TrainOptions

from .conftest import LABELS, OWNER, training_config, write_package


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    spec = JobSpec(job="j_12345678", owner=OWNER, name="test", manifest="0" * 64, submitted=0)
    return JobFolder.create(tmp_path / spec.job, spec)


def staged(folder: JobFolder, made: dict[str, str] | None = None, **options: Any) -> Plan:
    return stage(folder, TrainOptions(**options), made, cpus=2)


def configs_of(folder: JobFolder, plan: Plan) -> list[dict[str, Any]]:
    return [read_yaml((folder.path / run.config).read_bytes()) for run in plan.runs]


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
    assert run.config == "control/runs/a/config.yaml"
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


@pytest.mark.parametrize(
    "path", ["${name}.slp", "a/${trainer_config.run_name}/labels.slp", "${oc.env}.ckpt", "$${x}.yaml"]
)
def test_no_file_name_makes_sleap_nn_read_another_file(folder: JobFolder, path: str) -> None:
    # what OmegaConf makes of a path with "${name}" in it, the config's "name" decides
    write_package(folder.inputs, {"a": training_config() | {"name": "../../../secret"}})
    add(folder, path, LABELS)
    with pytest.raises(PackageError, match="which sleap-nn would replace"):
        staged(folder)
    assert not folder.configs.exists()


def test_a_folder_of_jobs_with_such_a_name_trains_nothing_else(tmp_path: Path) -> None:
    spec = JobSpec(job="j_12345678", owner=OWNER, name="test", manifest="0" * 64, submitted=0)
    (tmp_path / "${name}").mkdir()
    folder = JobFolder.create(tmp_path / "${name}" / spec.job, spec)
    write_package(folder.inputs, {"a": training_config()})
    with pytest.raises(
        ConfigError, match=r"In 'a\.yaml': The config as it would run is refused: it uses interpolation"
    ):
        staged(folder)


@pytest.mark.parametrize(
    "labels", ["a,/etc/passwd", "[a", "--help", "/etc/passwd", "../../x.slp", "lab:/a.slp", "~/x.slp"]
)
@pytest.mark.parametrize("how", ["config", "override", "jobs.yaml", "validation"])
def test_whatever_labels_are_called_only_files_of_the_package_are_read(
    folder: JobFolder, labels: str, how: str
) -> None:
    config = training_config()
    options: dict[str, Any] = {}
    if how == "config":
        config["data_config"]["train_labels_path"] = labels
    elif how == "validation":
        config["data_config"]["val_labels_path"] = [labels, "labels.pkg.slp"]
    elif how == "override":
        options["overrides"] = (Override(key="data_config.train_labels_path", value=labels),)
    else:
        add(folder, "jobs.yaml", {"training": [{"cfg": "a.yaml", "train_labels": labels}]})
    write_package(folder.inputs, {"a": config})
    try:
        plan = staged(folder, **options)
    except ConfigError:
        assert not folder.configs.exists()
        return
    (written,) = configs_of(folder, plan)
    assert written["data_config"]["train_labels_path"] == [str(folder.inputs / "labels.pkg.slp")]
    assert written["data_config"]["val_labels_path"] is None


def test_a_path_that_is_not_in_the_package_names_the_config(folder: JobFolder) -> None:
    config = training_config()
    config["data_config"]["val_labels_path"] = ["/home/alice/val.slp"]
    write_package(folder.inputs, {"a": config})
    with pytest.raises(ConfigError, match=r"In 'a.yaml': data_config.val_labels_path names 'val.slp'"):
        staged(folder)


def test_a_config_that_grows_when_it_is_written_can_still_be_run(folder: JobFolder) -> None:
    config = write_yaml(training_config() | {"description": "X"}).replace("X", "\u00e9" * 100_000)
    add(folder, "labels.slp", LABELS)
    add(folder, "a.yaml", config)
    (run,) = staged(folder).runs
    data = (folder.path / run.config).read_bytes()
    assert len(data) > MAX_BYTES
    assert read_yaml(data, MAX_OWN_BYTES)["description"] == "\u00e9" * 100_000


def test_a_config_that_cannot_be_read_back_is_refused(folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sleap_rtc.jobs.train_plan.MAX_OWN_BYTES", 100)
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


def test_only_the_configs_that_were_chosen_train_the_first_stage_first(folder: JobFolder) -> None:
    configs = {"a": training_config("centered_instance"), "b": training_config("centroid"), "c": training_config()}
    write_package(folder.inputs, configs)
    add(folder, "jobs.yaml", {"training": [{"cfg": "c.yaml"}]})
    plan = staged(folder, configs=("a.yaml", "b.yaml", "a.yaml"))
    assert [run.name for run in plan.runs] == ["b", "a"]


def test_a_config_that_was_chosen_may_lie_beside_a_model_and_have_any_name(folder: JobFolder) -> None:
    write_package(folder.inputs, {})
    add(folder, "start/best.ckpt", b"weights")
    add(folder, "start/training_config.yaml", training_config())
    add(folder, "sub/bottomup.cfg", training_config("bottomup"))
    plan = staged(folder, configs=("start/training_config.yaml", "sub/bottomup.cfg"))
    assert [run.name for run in plan.runs] == ["training_config", "bottomup"]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"configs": ("b.yaml",)}, "config 'b.yaml'"),
        ({"labels": ("b.slp",)}, "labels file 'b.slp'"),
        ({"val_labels": ("a.yaml",)}, "labels file 'a.yaml'"),
        ({"paths": {"~/b.ckpt": "b.ckpt"}}, "file 'b.ckpt'"),
    ],
)
def test_what_the_options_name_must_have_come(folder: JobFolder, options: dict[str, Any], what: str) -> None:
    write_package(folder.inputs, {"a": training_config()})
    with pytest.raises(PackageError, match=f"names the {what}, which is not in its package"):
        staged(folder, **options)


def test_labels_that_were_chosen_are_every_runs(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config(), "b": training_config()})
    add(folder, "more/labels.pkg.slp", LABELS)
    plan = staged(folder, labels=("more/labels.pkg.slp", "labels.pkg.slp"), val_labels=("labels.pkg.slp",))
    for config in configs_of(folder, plan):
        both = [str(folder.inputs / name) for name in ("more/labels.pkg.slp", "labels.pkg.slp")]
        assert config["data_config"]["train_labels_path"] == both
        assert config["data_config"]["val_labels_path"] == both[1:]


def test_overrides_reach_every_config_and_its_summary(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config("centroid"), "b": training_config("centered_instance")})
    overrides = [
        Override(key="trainer_config.max_epochs", value=7),
        Override(key="trainer_config.run_name", value="mice"),
        Override(key="trainer_config.zmq.control_port", value=9000),
    ]
    plan = staged(folder, overrides=overrides)
    assert [(run.name, run.max_epochs) for run in plan.runs] == [("mice", 7), ("mice-2", 7)]
    assert [config["trainer_config"]["max_epochs"] for config in configs_of(folder, plan)] == [7, 7]
    assert "mice: The override of trainer_config.zmq.control_port was left out" in plan.notices[0]


def test_labels_in_an_override_are_the_submitters_files(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    add(folder, "two/labels.pkg.slp", LABELS)
    add(folder, "jobs.yaml", {"training": [{"cfg": "a.yaml", "train_labels": "labels.pkg.slp"}]})
    wanted = Override(key="data_config.train_labels_path", value=["../x/labels.pkg.slp", "labels.pkg.slp"])
    paths = {"../x/labels.pkg.slp": "two/labels.pkg.slp"}
    (config,) = configs_of(folder, staged(folder, overrides=[wanted], paths=paths))
    names = ("two/labels.pkg.slp", "labels.pkg.slp")
    assert config["data_config"]["train_labels_path"] == [str(folder.inputs / name) for name in names]


def test_overrides_that_are_refused_name_their_config(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    with pytest.raises(ConfigError, match=r"In 'a.yaml': The config with its overrides is refused: .*interpolation"):
        staged(folder, overrides=[Override(key="name", value="${oc.env:HOME}")])
    with pytest.raises(ConfigError, match=r"In 'a.yaml': trainer_config.resume_ckpt_path names 'last.ckpt'"):
        staged(folder, overrides=[Override(key="trainer_config.resume_ckpt_path", value="/etc/last.ckpt")])


def test_an_override_too_deep_to_be_written_is_refused(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    value: Any = 1
    for _ in range(15):
        value = {"x": value}
    with pytest.raises(ConfigError, match="nested deeper"):
        staged(folder, overrides=[Override(key="trainer_config.a.b.c.d", value=value)])


OLD = b'{"data": {}, "model": {}, "optimization": {}}'


def wanted(folder: JobFolder, **options: Any) -> dict[str, Any]:
    return {recipe.path: recipe.request for recipe in recipes(folder, TrainOptions(**options))}


def test_old_configs_are_made_new_wherever_they_are_named(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    add(folder, "old.json", OLD)
    add(folder, "a.json", OLD)  # what a.yaml was made from
    add(folder, "metrics.json", "{}")
    add(folder, "start/best_model.h5", b"weights")
    add(folder, "start/training_config.json", OLD)
    old = ConversionRequest(path=str((folder.inputs / "old.json").absolute()), name="old.json")
    assert wanted(folder) == {"old.json": old}
    assert wanted(folder, configs=("old.json", "a.yaml")) == {"old.json": old}
    assert list(wanted(folder, configs=("a.json",))) == ["a.json"]
    add(folder, "jobs.yaml", {"training": [{"cfg": "old.json"}]})
    assert wanted(folder) == {"old.json": old}


def test_what_was_made_is_a_config_like_any_other(folder: JobFolder) -> None:
    write_package(folder.inputs, {})
    add(folder, "old.json", OLD)
    made = training_config(run_name="baseline", ckpt_dir="/home/alice/models")
    plan = staged(
        folder,
        {"old.json": write_yaml(made)},
        overrides=[Override(key="trainer_config.max_epochs", value=9)],
    )
    assert [(run.name, run.max_epochs) for run in plan.runs] == [("baseline", 9)]
    assert "baseline: sleap-nn converted 'old.json', a config of SLEAP 1.4 or older." in plan.notices
    with pytest.raises(ConfigError, match="interpolation"):
        staged(folder, {"old.json": "name: ${oc.env:HOME}"})


def test_a_preset_needs_labels_alone(folder: JobFolder) -> None:
    write_package(folder.inputs, {})
    preset = Preset(head="bottomup", backbone="unet_medium_rf", augment=("uniform_noise", "rotation", "scale"))
    ((path, request),) = wanted(folder, preset=preset).items()
    assert request == PresetRequest(
        head="bottomup", backbone="unet_medium_rf", intensity=("uniform_noise",), geometry=("rotation", "scale")
    )
    config = training_config("bottomup")
    config["data_config"]["train_labels_path"] = None
    plan = staged(folder, {path: write_yaml(config)}, preset=preset)
    assert [(run.name, run.model_type) for run in plan.runs] == [("bottomup", "bottomup")]
    assert plan.notices == ()
    (written,) = configs_of(folder, plan)
    assert written["data_config"]["train_labels_path"] == [str(folder.inputs / "labels.pkg.slp")]


@pytest.mark.parametrize(
    ("preset", "why"),
    [
        (Preset(head="topdown", backbone="unet"), "no preset 'topdown'. Choose among single_instance, centroid"),
        (Preset(head="bottomup", backbone="pretrained"), "no backbone 'pretrained'. Choose among unet, "),
        (
            Preset(head="bottomup", backbone="unet", augment=("rotation", "blur")),
            "no augmentation 'blur'. Choose .*flip",
        ),
    ],
)
def test_unknown_presets_are_refused_with_what_there_is(folder: JobFolder, preset: Preset, why: str) -> None:
    write_package(folder.inputs, {})
    with pytest.raises(ConfigError, match=why):
        wanted(folder, preset=preset)


def test_what_sleap_nn_adds_to_a_preset_is_told(folder: JobFolder) -> None:
    write_package(folder.inputs, {})
    preset = Preset(head="bottomup", backbone="unet", augment=("contrast",))
    ((path, _),) = wanted(folder, preset=preset).items()
    plan = staged(folder, {path: write_yaml(training_config("bottomup"))}, preset=preset)
    assert plan.notices == ("No geometric augmentation was named: sleap-nn's own default, rotation, is on.",)


def test_a_preset_and_configs_exclude_each_other(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    preset = Preset(head="bottomup", backbone="unet")
    with pytest.raises(ConfigError, match="not from both"):
        wanted(folder, preset=preset, configs=("a.yaml",))
