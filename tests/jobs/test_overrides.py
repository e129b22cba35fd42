from typing import Any

import pytest

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.overrides import merge_overrides, names_labels
from sleap_rtc.jobs.values import Config
from sleap_rtc.protocol.training import Override

from .conftest import training_config


def given(**values: Any) -> list[Override]:
    """Overrides, their dots written as two underscores."""
    return [Override(key=key.replace("__", "."), value=value) for key, value in values.items()]


def merged(config: Config, *overrides: Override, heads: tuple[str, ...] = ("single_instance",)) -> Config:
    assert merge_overrides(config, overrides, heads=heads) == []
    return config


def test_a_key_is_set_whether_or_not_the_config_has_it() -> None:
    config = merged(
        training_config(profiler=None),
        *given(trainer_config__max_epochs=50, trainer_config__seed=1, trainer_config__lr_scheduler__step_lr__gamma=0.1),
    )
    trainer = config["trainer_config"]
    assert (trainer["max_epochs"], trainer["seed"]) == (50, 1)
    assert trainer["lr_scheduler"] == {"step_lr": {"gamma": 0.1}}
    assert trainer["optimizer"] == {"lr": 2e-3}


def test_a_section_that_is_null_is_made() -> None:
    config = training_config()
    config["data_config"]["augmentation_config"] = None
    merged(config, *given(data_config__augmentation_config__geometric__rotation_p=1.0))
    assert config["data_config"]["augmentation_config"] == {"geometric": {"rotation_p": 1.0}}


def test_the_later_override_wins() -> None:
    config = merged(training_config(), *[Override(key="trainer_config.max_epochs", value=n) for n in (5, 7)])
    assert config["trainer_config"]["max_epochs"] == 7


def test_mappings_are_merged_and_lists_replaced() -> None:
    config = training_config()
    config["data_config"]["preprocessing"] = {"scale": 1.0, "crop_size": [1, 2]}
    merged(config, *given(data_config__preprocessing={"crop_size": [3], "tiling": {"enabled": True}}))
    assert config["data_config"]["preprocessing"] == {"scale": 1.0, "crop_size": [3], "tiling": {"enabled": True}}


def test_configs_of_a_job_share_no_value() -> None:
    overrides = given(trainer_config__train_data_loader={"num_workers": 9})
    first, second = merged(training_config(), *overrides), merged(training_config(), *overrides)
    first["trainer_config"]["train_data_loader"]["num_workers"] = 1
    assert second["trainer_config"]["train_data_loader"]["num_workers"] == 9


@pytest.mark.parametrize(
    "key",
    [
        "trainer_config.zmq",
        "trainer_config.zmq.publish_port",
        "trainer_config.zmq.control_port",
        "trainer_config.ckpt_dir",
        "trainer_config.enable_progress_bar",
        "trainer_config.model_ckpt.save_last",
        "trainer_config.wandb.api_key",
        "data_config.cache_img_path",
    ],
)
def test_what_is_the_workers_is_left_out_and_said(key: str) -> None:
    config = training_config()
    (notice,) = merge_overrides(config, [Override(key=key, value=9)], heads=[])
    assert notice.startswith(f"The override of {key} was left out: ")
    assert config == training_config()


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("hydra.run.dir", "/tmp", "Hydra"),
        ("model_config._target_", "os.system", "Hydra"),
        ("defaults", ["other"], "Hydra"),
        ("trainer_config", {"x": {"_target_": "os.system"}}, "Hydra"),
        ("trainer_config.run_name", "${oc.env:HOME}", "interpolation"),
        ("trainer_config", {"${x}": 1}, "interpolation"),
        ("trainer_config", None, "'trainer_config' is not a mapping"),
        ("outputs.zmq", 5, "no section 'outputs'"),
        ("max_epochs", 5, "no section 'max_epochs'"),
        ("trainer_config.max_epochs.more", 5, r"goes through trainer_config\.max_epochs, which is a value"),
        ("data_config.train_labels_path.0", "a.slp", r"goes through data_config\.train_labels_path"),
    ],
)
def test_what_no_config_may_have_is_refused(key: str, value: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        merge_overrides(training_config(), [Override(key=key, value=value)], heads=[])


def test_the_inside_of_a_head_concerns_only_the_config_that_trains_it() -> None:
    overrides = given(
        model_config__head_configs__centroid__confmaps__sigma=9.0,
        model_config__head_configs__centered_instance__confmaps__sigma=3.0,
    )
    heads = ("centroid", "centered_instance")
    for head, sigma in (("centroid", 9.0), ("centered_instance", 3.0)):
        config = merged(training_config(head), *overrides, heads=heads)
        chosen = {name: value for name, value in config["model_config"]["head_configs"].items() if value}
        assert {name: value["confmaps"]["sigma"] for name, value in chosen.items()} == {head: sigma}


def test_a_head_that_no_config_trains_can_be_chosen() -> None:
    config = merged(
        training_config(),
        *given(
            model_config__head_configs__single_instance=None,
            model_config__head_configs__centroid__confmaps__sigma=9.0,
        ),
    )
    assert config["model_config"]["head_configs"]["single_instance"] is None
    assert config["model_config"]["head_configs"]["centroid"] == {"confmaps": {"sigma": 9.0}}


def test_labels_are_named_by_their_key_or_with_its_section() -> None:
    assert names_labels(given(data_config__train_labels_path=["a.slp"]))
    assert names_labels(given(data_config={"train_labels_path": ["a.slp"]}))
    assert not names_labels(given(data_config__val_labels_path=["a.slp"], data_config={"provider": "x"}))
