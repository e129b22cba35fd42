import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.config_rules import load_config, model_type
from sleap_rtc.jobs.configs import JobPaths, prepare_config
from sleap_rtc.jobs.matching import match_file
from sleap_rtc.jobs.run_names import pick_run_name
from sleap_rtc.jobs.values import Config
from sleap_rtc.jobs.yaml_data import read_yaml, write_yaml

from .conftest import training_config

PATHS = JobPaths(
    files={
        "labels.pkg.slp": Path("/job/inputs/labels.pkg.slp"),
        "start/best.ckpt": Path("/job/inputs/start/best.ckpt"),
        "more/val.pkg.slp": Path("/job/inputs/more/val.pkg.slp"),
    },
    labels=["labels.pkg.slp"],
    models=Path("/job/work/models"),
    scratch=Path("/job/work/tmp"),
)


def prepared(config: Config, paths: JobPaths = PATHS, train_labels: str | None = None) -> tuple[Config, list[str]]:
    return prepare_config(config, run_name="r", paths=paths, cpus=4, train_labels=train_labels)


def changed(section: str, key: str, value: object) -> Config:
    config = training_config()
    config[section][key] = value
    return config


def test_numbers_and_words_are_read_by_the_rules_of_yaml_1_2() -> None:
    text = b"{a: 1e-4, b: on, c: 1_000, d: 2001-01-01, e: ~, f: 0o17, g: .5, h: '3', i: true, j: .inf}"
    found = read_yaml(text)
    assert found.pop("j") == math.inf
    assert found == {
        "a": 1e-4, "b": "on", "c": "1_000", "d": "2001-01-01", "e": None, "f": 15, "g": 0.5, "h": "3", "i": True,
    }  # fmt: skip


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc: #-\u00e9\u2028", max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text("abcdef", min_size=1), trees, max_size=5))
def test_what_is_written_reads_the_same(tree: dict[str, object]) -> None:
    assert (read_yaml(write_yaml(tree).encode()) or {}) == tree


@pytest.mark.parametrize("place", ["model_config: {a: [{b: '${oc.env:HOME}'}]}", "name: ${oc.env:HOME}",
                                   "trainer_config: {'${oc.env:X}': 1}", 'name: "\\x24{oc.env:X}"'])  # fmt: skip
def test_interpolation_is_refused_wherever_it_stands(place: str) -> None:
    with pytest.raises(ConfigError, match="interpolation"):
        load_config(place.encode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("defaults: [other]", "Hydra"),
        ("hydra: {searchpath: [file:///tmp]}", "Hydra"),
        ("model_config: {x: {_target_: os.system}}", "Hydra"),
        ("model_config: !!python/object/apply:os.system ['id']", "tag"),
        ("name: !!str x", "tag"),
        ("a: &x [1]\nname: *x", "anchor"),
        ("name: &x y", "anchor"),
        ("name: a\nname: b", "twice"),
        ("name: {a: 1, 'a': 2}", "twice"),
        ("name: a\n---\nname: b", "more than one document"),
        ("outputs: {}", "no section 'outputs'"),
        ("- a", "not a mapping"),
        ("model_config: 3", "not a mapping"),
        ("name: a\0b", "NUL"),
        ('name: "a\\0b"', "control"),
        ('name: "\\ud800"', "control"),
        ("name: [" * 17, "deeper"),
        ("[" * 100_000, "deeper"),
        ("name: " + "9" * 5000, "digits"),
        ("? [a]\n: b", "neither text"),
        ("name: [", "not YAML"),
        ("name: 'x' y", "not YAML at line 1"),
        ("#" * (256 * 1024 + 1), "256 KiB"),
    ],
)
def test_hostile_yaml_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_config(text.encode())


def test_text_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(b"name: \xff")


def test_a_config_as_sleap_nn_writes_it_is_taken() -> None:
    config = training_config() | {"name": "", "description": None, "sleap_nn_version": "0.3.5", "filename": ""}
    assert load_config(write_yaml(config).encode()) == config


def test_the_head_is_the_one_that_has_a_value() -> None:
    assert model_type(training_config("centroid")) == "centroid"
    with pytest.raises(ConfigError, match="no head"):
        model_type(changed("model_config", "head_configs", {"centroid": None}))
    with pytest.raises(ConfigError, match="several heads"):
        model_type(changed("model_config", "head_configs", {"centroid": {}, "bottomup": {}}))


@pytest.mark.parametrize(
    "asked",
    [["a,/etc/passwd"], "[a", ["--help"], ["/etc/passwd"], [], None, "C:\\data\\labels.pkg.slp", ["/x/labels.pkg.slp"]],
)
def test_training_labels_are_always_a_file_of_the_package(asked: object) -> None:
    config, _ = prepared(changed("data_config", "train_labels_path", asked))
    assert config["data_config"]["train_labels_path"] == ["/job/inputs/labels.pkg.slp"]


def test_labels_under_another_name_are_told() -> None:
    _, notices = prepared(changed("data_config", "train_labels_path", ["/x/labels.v001.slp"]))
    assert notices == ["The labels are read from 'labels.pkg.slp', the package's only labels file."]
    assert prepared(changed("data_config", "train_labels_path", ["/x/labels.pkg.slp"]))[1] == []


def test_among_several_labels_the_config_or_the_listing_must_choose() -> None:
    names = ["a/one.slp", "b/one.slp", "two.slp"]
    paths = JobPaths({name: Path("/in", name) for name in names}, names, PATHS.models, PATHS.scratch)
    config, _ = prepared(changed("data_config", "train_labels_path", ["/home/x/b/one.slp", "two.slp"]), paths)
    assert config["data_config"]["train_labels_path"] == ["/in/b/one.slp", "/in/two.slp"]
    config, _ = prepared(changed("data_config", "train_labels_path", None), paths, "two.slp")
    assert config["data_config"]["train_labels_path"] == ["/in/two.slp"]
    for asked in (["one.slp"], ["three.slp"], None):
        with pytest.raises(ConfigError, match="3 labels files"):
            prepared(changed("data_config", "train_labels_path", asked), paths)


NAMED = replace(
    PATHS,
    files={name: Path("/in", name) for name in ("a/labels.slp", "b/labels.slp", "w/old.h5", "w/last.ckpt")},
    labels=["a/labels.slp", "b/labels.slp"],
    named={
        "labels.slp": "b/labels.slp",
        "~/day 1/labels.slp": "a/labels.slp",
        "day 1/labels.slp": "a/labels.slp",
        "/models/old": "w/old.h5",
        "run/last.ckpt": "w/last.ckpt",
    },
)
"""A package whose files a client placed, and what its user calls them."""


def test_a_path_that_the_submitter_named_means_that_file_and_no_other() -> None:
    config = training_config(resume_ckpt_path="run/last.ckpt")
    config["data_config"] |= {
        "train_labels_path": ["labels.slp", "~/day 1/labels.slp"],
        "val_labels_path": "day 1/labels.slp",
        "test_file_path": ["labels.slp"],
    }
    config["model_config"] |= {"pretrained_backbone_weights": "/models/old", "pretrained_head_weights": "/models/old"}
    prepared(config, NAMED)
    assert config["data_config"]["train_labels_path"] == ["/in/b/labels.slp", "/in/a/labels.slp"]
    assert config["data_config"]["val_labels_path"] == ["/in/a/labels.slp"]
    assert config["data_config"]["test_file_path"] == ["/in/b/labels.slp"]
    assert config["model_config"]["pretrained_backbone_weights"] == "/in/w/old.h5"
    assert config["model_config"]["pretrained_head_weights"] == "/in/w/old.h5"
    assert config["trainer_config"]["resume_ckpt_path"] == "/in/w/last.ckpt"


def test_a_named_file_that_holds_no_labels_cannot_be_trained_on() -> None:
    with pytest.raises(ConfigError, match="asks for 'old'"):
        prepared(changed("data_config", "train_labels_path", "/models/old"), NAMED)


def test_labels_that_were_chosen_for_all_runs_count_for_more_than_a_config() -> None:
    chosen = replace(NAMED, train=["a/labels.slp", "b/labels.slp"], validation=["a/labels.slp"])
    config = changed("data_config", "train_labels_path", "/nowhere/else.slp")
    config["data_config"]["val_labels_path"] = "/nowhere/val.slp"
    config, notices = prepared(config, chosen, train_labels="third.slp")
    assert config["data_config"]["train_labels_path"] == ["/in/a/labels.slp", "/in/b/labels.slp"]
    assert config["data_config"]["val_labels_path"] == ["/in/a/labels.slp"]
    assert notices == []


def test_validation_labels_come_with_the_package_or_not_at_all() -> None:
    assert prepared(training_config())[0]["data_config"]["val_labels_path"] is None
    config, _ = prepared(changed("data_config", "val_labels_path", ["/x/val.pkg.slp"]))
    assert config["data_config"]["val_labels_path"] == ["/job/inputs/more/val.pkg.slp"]


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ("data_config", "val_labels_path"),
        ("data_config", "test_file_path"),
        ("model_config", "pretrained_backbone_weights"),
        ("model_config", "pretrained_head_weights"),
        ("trainer_config", "resume_ckpt_path"),
    ],
)
def test_files_that_are_not_in_the_package_are_refused(section: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"{section}.{key} names 'evil.ckpt', which is not in the package"):
        prepared(changed(section, key, "/tmp/evil.ckpt"))
    config, _ = prepared(changed(section, key, "/tmp/start/best.ckpt"))
    assert config[section][key] in ("/job/inputs/start/best.ckpt", ["/job/inputs/start/best.ckpt"])


def test_the_worker_decides_where_is_written() -> None:
    config = changed("trainer_config", "ckpt_dir", "/etc")
    config["data_config"] |= {"cache_img_path": "/home/alice", "use_existing_imgs": True, "cache_workers": 64}
    config, notices = prepared(config)
    assert config["trainer_config"]["ckpt_dir"] == "/job/work/models"
    assert config["trainer_config"]["run_name"] == "r"
    assert config["data_config"]["cache_img_path"] == "/job/work/tmp/r/images"
    assert config["data_config"]["use_existing_imgs"] is False
    assert config["data_config"]["cache_workers"] == 4
    assert [notice.split()[0] for notice in notices] == [
        "data_config.cache_img_path",
        "Cached",
        "trainer_config.ckpt_dir",
    ]


def test_where_models_go_by_themselves_is_no_wish_to_be_told() -> None:
    for folder in (None, "", ".", "models"):
        assert prepared(training_config(ckpt_dir=folder))[1] == []


def test_zmq_ports_are_the_workers_and_told_where_they_were_set() -> None:
    config, notices = prepared(training_config(zmq={"publish_port": 9001, "controller_port": 9000}))
    assert config["trainer_config"]["zmq"] == {"controller_port": None, "publish_port": None}
    assert notices == ["trainer_config.zmq was left out: progress comes over the worker's own ports."]
    assert prepared(training_config(zmq={"publish_port": None}))[1] == []


def test_checkpoints_are_on_whatever_the_config_says() -> None:
    config, notices = prepared(changed("trainer_config", "save_ckpt", False))
    assert config["trainer_config"]["save_ckpt"] is True
    assert config["trainer_config"]["model_ckpt"]["save_last"] is True
    assert "save_ckpt" in notices[0]


def test_devices_are_the_workers() -> None:
    asked: Config = {
        "trainer_devices": 4,
        "trainer_device_indices": [2],
        "trainer_strategy": "ddp",
        "profiler": "advanced",
    }
    config, notices = prepared(training_config(**asked))
    trainer = config["trainer_config"]
    # of four, one device is what this job has
    assert (trainer["trainer_devices"], trainer["trainer_device_indices"]) == (1, None)
    assert (trainer["trainer_strategy"], trainer["profiler"], trainer["trainer_accelerator"]) == ("auto", None, "auto")
    assert len(notices) == 3
    assert prepared(training_config(trainer_devices="auto", trainer_accelerator="gpu"))[1] == []


def test_data_loading_workers_are_capped() -> None:
    config, notices = prepared(changed("trainer_config", "train_data_loader", {"num_workers": 1000}))
    assert config["trainer_config"]["train_data_loader"]["num_workers"] == 4
    assert len(notices) == 1


def test_nothing_is_reported_elsewhere() -> None:
    asked: Config = {"use_wandb": True, "wandb": {"api_key": "secret"}, "wandb_config": {}, "enable_progress_bar": True}
    config, notices = prepared(training_config(**asked, zmq={"control_port": 22, "publish_port": 9001}))
    trainer = config["trainer_config"]
    assert trainer["use_wandb"] is False
    assert trainer["enable_progress_bar"] is False
    assert "secret" not in write_yaml(config)
    assert trainer["zmq"] == {"controller_port": None, "publish_port": None}
    assert len(notices) == 5


@pytest.mark.parametrize(
    "backbone",
    [
        {"pretrained": {"model_name": "facebook/convnextv2-nano-22k-224"}},
        {"pretrained": {"weights": True}},
        {"convnext": {"pre_trained_weights": "ConvNeXt_Tiny_Weights"}},
        {"swint": {"pre_trained_weights": "Swin_T_Weights"}},
    ],
)
def test_weights_from_the_network_are_refused(backbone: Config) -> None:
    with pytest.raises(ConfigError, match="from the network, which a job has not"):
        prepared(changed("model_config", "backbone_config", backbone))


def test_backbones_without_weights_from_the_network_are_taken() -> None:
    prepared(
        changed("model_config", "backbone_config", {"convnext": {"pre_trained_weights": None}, "pretrained": None})
    )


@pytest.mark.parametrize(
    ("path", "candidates", "meant"),
    [
        ("sub/labels.slp", ["labels.slp", "sub/labels.slp"], "sub/labels.slp"),
        ("C:\\data\\sub\\labels.slp", ["labels.slp", "pkg/sub/labels.slp"], "pkg/sub/labels.slp"),
        ("labels.slp", ["labels.slp", "sub/labels.slp"], "labels.slp"),
        ("/x/labels.slp", ["labels.slp", "sub/labels.slp"], None),
        ("/x/labels.slp", ["sub/labels.slp"], "sub/labels.slp"),
        ("/x/other.slp", ["sub/labels.slp"], None),
    ],
)
def test_the_longest_tail_of_a_path_decides(path: str, candidates: list[str], meant: str | None) -> None:
    assert match_file(path, candidates) == meant


@pytest.mark.parametrize(
    ("train", "others"),
    [
        (["/a/labels.pkg.slp", "/b/labels.pkg.slp"], {}),
        (["/a/labels.pkg.slp"], {"val_labels_path": ["/b/labels.pkg.slp"]}),
        (["/a/labels.pkg.slp"], {"test_file_path": "/b/labels.pkg.slp"}),
        (["/a/renamed.slp"], {"val_labels_path": ["/a/labels.pkg.slp"]}),
        (["/a/one.slp", "/a/two.slp"], {}),
        (None, {"val_labels_path": ["/a/labels.pkg.slp"]}),
    ],
)
def test_two_labels_never_become_one(train: object, others: Config) -> None:
    config = changed("data_config", "train_labels_path", train)
    config["data_config"] |= others
    with pytest.raises(ConfigError, match="are different files"):
        prepared(config)


def test_the_same_labels_may_be_named_twice_and_count_twice() -> None:
    config = changed("data_config", "train_labels_path", ["/a/labels.pkg.slp"] * 2)
    config["data_config"]["val_labels_path"] = "/a/labels.pkg.slp"
    data = prepared(config)[0]["data_config"]
    assert data["train_labels_path"] == ["/job/inputs/labels.pkg.slp"] * 2
    assert data["val_labels_path"] == ["/job/inputs/labels.pkg.slp"]


@pytest.mark.parametrize(("asked", "given"), [("1000000", 4), (" 2 ", 2), (3.0, 3), ("auto", 4), (None, 0), (0, 0)])
def test_counts_are_read_as_sleap_nn_reads_them(asked: object, given: int) -> None:
    config = changed("trainer_config", "train_data_loader", {"num_workers": asked})
    config["data_config"]["cache_workers"] = asked if asked != "auto" else 9
    config, _ = prepared(config)
    assert config["trainer_config"]["train_data_loader"]["num_workers"] == given
    assert config["data_config"]["cache_workers"] == given


@pytest.mark.parametrize("asked", ["many", "1e6", -1, 2.5, True, [1]])
def test_counts_that_are_none_are_refused(asked: object) -> None:
    for section, key in (("data_config", "cache_workers"), ("trainer_config", "val_data_loader")):
        value = asked if section == "data_config" else {"num_workers": asked}
        with pytest.raises(ConfigError, match="is no count"):
            prepared(changed(section, key, value))


def test_long_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match="256 characters"):
        read_yaml(b"? " + b"a" * 257 + b"\n: 1\n")


def test_keys_that_nobody_here_knows_are_left_to_sleap_nn() -> None:
    assert prepared(changed("trainer_config", "novelty", 3))[0]["trainer_config"]["novelty"] == 3


@pytest.mark.parametrize("name", ["../../../x", "a/b", "..", "a\\b", "\x1b[31m", "/", " "])
def test_run_names_that_are_paths_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="run_name"):
        pick_run_name(name, "centroid", set())


def test_a_run_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="no text"):
        pick_run_name(["a"], "centroid", set())


def test_run_names_are_tidied_unique_and_told() -> None:
    taken: set[str] = set()
    assert pick_run_name("good.name_1", "x", taken) == ("good.name_1", [])
    name, notices = pick_run_name("240101_1200.centroid.n=30", "x", taken)
    assert (name, len(notices)) == ("240101_1200.centroid.n-30", 1)
    assert pick_run_name(None, "centroid", taken)[0] == "centroid"
    assert pick_run_name("Centroid", "x", taken)[0] == "Centroid-2"
    assert pick_run_name("con", "x", taken)[0] == "run-con"
    assert pick_run_name("-x" * 60, "x", taken)[0] == ("x-" * 60)[:63]
    assert pick_run_name("\u00e9\u00e9", "x", taken)[0] == "run"


def test_the_config_that_runs_is_read_alike_by_yaml_1_1() -> None:
    yaml = pytest.importorskip("yaml")
    text = write_yaml(
        {"a": 1e-5, "b": "on", "c": "1e-4", "d": "no", "e": "\u2028\U0001f600", "f": [[], {}, [1]], "g": 1e16}
    )
    assert yaml.safe_load(text) == read_yaml(text.encode())
