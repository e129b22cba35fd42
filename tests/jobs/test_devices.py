"""Jobs of several devices: what their configs ask for, what they get, and that they train with as many processes."""

from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.devices import STRATEGIES, devices_of_job, set_devices
from sleap_rtc.jobs.gpus import Slot
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.jobs.yaml_data import read_yaml
from sleap_rtc.protocol.training import TrainOptions
from tests.sandboxes import sandbox_if_any

from .conftest import (
    FakeRunner,
    all_events,
    assert_stopped_well,
    events_until,
    names_in,
    new_board,
    noted,
    running,
    submit,
    surroundings,
    training_config,
    write_package,
)

SLOTS = [Slot("cpu0"), Slot("cpu1")]
NO_OPTIONS = TrainOptions()


@pytest.mark.parametrize(
    ("trainer", "devices"),
    [
        ({}, 1),
        ({"trainer_devices": "auto"}, 1),
        ({"trainer_devices": 0}, 1),
        ({"trainer_devices": 4}, 4),
        ({"trainer_devices": "4"}, 4),
        ({"trainer_devices": None, "trainer_device_indices": [0, 2]}, 2),
        ({"trainer_devices": 3, "trainer_device_indices": [1]}, 1),
        ({"trainer_devices": 2, "trainer_device_indices": []}, 2),
    ],
)
def test_a_config_asks_for_so_many_devices(trainer: dict[str, Any], devices: int) -> None:
    assert devices_of_job([training_config(**trainer)], NO_OPTIONS) == devices


@pytest.mark.parametrize(
    "trainer", [{"trainer_devices": -1}, {"trainer_devices": True}, {"trainer_device_indices": "0,1"}]
)
def test_what_is_no_number_of_devices_is_refused(trainer: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"trainer_device.* is no"):
        devices_of_job([training_config(**trainer)], NO_OPTIONS)


def test_a_job_takes_as_many_as_the_run_that_asks_for_most_unless_its_submitter_says() -> None:
    configs = [training_config(trainer_devices=devices) for devices in (1, 3, "auto")]
    assert devices_of_job(configs, NO_OPTIONS) == 3
    assert devices_of_job(configs, TrainOptions(devices=2)) == 2


@pytest.mark.parametrize(
    ("asked", "options", "used"),
    [("auto", NO_OPTIONS, 3), (2, NO_OPTIONS, 2), (8, TrainOptions(devices=3), 3), (1, TrainOptions(devices=3), 3)],
)
def test_a_run_uses_what_it_asks_for_or_all_that_the_job_has(asked: Any, options: TrainOptions, used: int) -> None:
    trainer = {"trainer_devices": asked}
    assert set_devices(trainer, 3, options)[0] == used
    assert trainer == {"trainer_devices": used, "trainer_device_indices": None, "trainer_strategy": "auto"}


def test_what_is_rewritten_is_said() -> None:
    _, said = set_devices({"trainer_device_indices": [0, 2]}, 2, NO_OPTIONS)
    assert said == [
        "The config asks for 2 devices: the job takes as many slots of this worker. "
        "Which ones they are is the worker's to say."
    ]
    assert set_devices({"trainer_devices": 4}, 2, TrainOptions(devices=2))[1] == [
        "--devices 2 goes before the config, which asks for 4."
    ]
    assert set_devices({"trainer_devices": 1, "trainer_device_indices": [0]}, 1, NO_OPTIONS)[1] == []


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_is_kept_where_there_are_several_devices(strategy: str) -> None:
    trainer = {"trainer_devices": 2, "trainer_strategy": strategy}
    set_devices(trainer, 2, NO_OPTIONS)
    assert trainer["trainer_strategy"] == strategy
    trainer = {"trainer_devices": 2, "trainer_strategy": "auto"}
    set_devices(trainer, 2, TrainOptions(strategy=strategy))
    assert trainer["trainer_strategy"] == strategy


def test_with_one_device_there_is_no_strategy_and_with_several_no_other_one() -> None:
    trainer = {"trainer_strategy": "ddp"}
    _, said = set_devices(trainer, 1, NO_OPTIONS)
    assert trainer["trainer_strategy"] == "auto"
    assert "'ddp' is for several devices" in said[0]
    with pytest.raises(ConfigError, match="The strategy 'ddp_spawn' does not run here"):
        set_devices({"trainer_devices": 2, "trainer_strategy": "ddp_spawn"}, 2, NO_OPTIONS)


async def test_a_config_takes_the_slots_it_asks_for_and_each_run_sees_its_own(
    root: Path, fake: FakeRunner, ledger: Path, tmp_path: Path
) -> None:
    configs = {
        "a": training_config("centroid"),
        "b": training_config("centered_instance", trainer_devices=2, trainer_strategy="ddp"),
    }
    configs["a"]["trainer_config"]["trainer_devices"] = 1
    package = write_package(tmp_path / "package", configs)
    async with running(new_board(root, fake("good"), 3)) as board:
        folder = await submit(board, package)
        await all_events(board, folder)
    assert folder.spec().devices == 2
    assert folder.devices()[1] == ("GPU-0", "GPU-1")
    assert surroundings(ledger)["CUDA_VISIBLE_DEVICES"] == "GPU-0,GPU-1"
    assert [run for run, _ in noted(ledger)] == ["a", "b"]
    written = read_yaml(folder.config_of("b").read_bytes())["trainer_config"]
    assert (written["trainer_devices"], written["trainer_strategy"]) == (2, "ddp")


async def test_a_config_that_asks_for_more_than_there_is_is_refused_before_the_queue(
    root: Path, fake: FakeRunner, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "package", {"one": training_config(trainer_devices=4)})
    async with running(new_board(root, fake("good"), 2)) as board:
        with pytest.raises(ConfigError, match="takes 4 GPUs at once, and this worker has 2 GPUs"):
            await submit(board, package)
    assert names_in(root) == []


@pytest.mark.real
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("e2e")
async def test_two_processes_train_and_a_stop_reaches_both(root: Path, tmp_path: Path, real_labels: bytes) -> None:
    config = training_config(
        trainer_devices=2,
        trainer_accelerator="cpu",
        trainer_strategy="ddp",
        max_epochs=3,
        train_steps_per_epoch=1_000_000,
        min_train_steps_per_epoch=1_000_000,
    )
    package = write_package(tmp_path / "package", {"one": config}, real_labels)
    async with running(new_board(root, SupervisorSettings(sandbox=sandbox_if_any(root)), SLOTS)) as board:
        folder = await submit(board, package)
        await events_until(board, folder, lambda event: event.body.type == "step", 280)
        await board.command(folder, "stop")
        events = await all_events(board, folder, 280)
    assert_stopped_well(folder, events)
    assert "MEMBER: 2/2" in folder.log.read_text()
