"""What a config says about reporting, and what becomes of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs import waiting
from sleap_rtc.jobs.environment import supervisor_environment, wandb_environment
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.keys import Keys
from sleap_rtc.jobs.progress import Progress
from sleap_rtc.jobs.reporting import set_reporting
from sleap_rtc.jobs.waiting import Told, job_line
from sleap_rtc.jobs.yaml_data import read_yaml
from sleap_rtc.protocol.files import ManifestRef
from sleap_rtc.protocol.jobs import JobSubmit, Notice
from sleap_rtc.protocol.training import TrainOptions

from .conftest import OWNER, FakeRunner, all_events, new_board, of_type, running, submit, training_config, write_package

KEY = "k" * 40
REPORTED = TrainOptions(wandb=True)
KEPT = {
    "entity": "lab",
    "project": "flies",
    "name": "one",
    "save_viz_imgs_wandb": True,
    "viz_enabled": False,
    "viz_boxes": True,
    "viz_masks": True,
    "viz_box_size": 4.5,
    "viz_confmap_threshold": 0.2,
}


def test_what_the_documentation_lists_reaches_wandb() -> None:
    trainer: dict[str, Any] = {"use_wandb": True, "wandb": dict(KEPT)}
    assert set_reporting(trainer, REPORTED) == []
    assert trainer["use_wandb"] is True
    assert trainer["wandb"] == KEPT | {"delete_local_logs": True}


def test_the_documented_name_of_the_section_is_taken_and_said() -> None:
    trainer: dict[str, Any] = {"wandb_config": {"project": "mice", "entity": "lab"}, "wandb": {"project": "flies"}}
    (said,) = set_reporting(trainer, REPORTED)
    assert "wandb_config is read as trainer_config.wandb" in said
    assert "wandb_config" not in trainer
    assert trainer["wandb"]["project"] == "flies"
    assert trainer["wandb"]["entity"] == "lab"


@pytest.mark.parametrize("options", [REPORTED, TrainOptions()])
def test_a_key_in_a_config_is_taken_out_and_said(options: TrainOptions) -> None:
    trainer: dict[str, Any] = {"wandb": {"api_key": KEY}}
    (said,) = set_reporting(trainer, options)
    assert "WANDB_API_KEY" in said
    assert KEY not in str(trainer) + said


def test_what_has_no_effect_is_left_out_and_said() -> None:
    trainer: dict[str, Any] = {
        "wandb": {"wandb_mode": "offline", "host": "x", "delete_local_logs": None, "current_run_id": "a"}
    }
    said = set_reporting(trainer, REPORTED)
    assert [text.split()[0] for text in said] == ["trainer_config.wandb.wandb_mode", "trainer_config.wandb.host"]
    assert trainer["wandb"] == {"delete_local_logs": True}


@pytest.mark.parametrize(
    "section",
    [{"project": 3}, {"viz_boxes": "yes"}, {"viz_box_size": "big"}, {"name": "a\x1b[2J"}, {"entity": "x" * 300}],
)
def test_a_value_of_another_form_is_refused(section: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"trainer_config.wandb.{next(iter(section))} must be"):
        set_reporting({"wandb": section}, REPORTED)


def test_without_a_key_for_the_job_it_is_off_and_the_user_knows_why() -> None:
    trainer: dict[str, Any] = {"use_wandb": True, "wandb": dict(KEPT)}
    (said,) = set_reporting(trainer, TrainOptions())
    assert "Submit with --wandb" in said
    assert trainer["use_wandb"] is False
    assert "wandb" not in trainer


def test_the_key_is_shown_by_no_message_and_no_complaint_about_one() -> None:
    fields: dict[str, Any] = {
        "job": "j_12345678",
        "name": "x",
        "manifest": ManifestRef(digest="0" * 64, size=2),
    }
    assert KEY not in repr(JobSubmit(**fields, wandb_key=KEY))
    with pytest.raises(ValidationError) as caught:
        JobSubmit(**fields, wandb_key=f"{KEY} and more")
    assert KEY not in str(caught.value)


def test_a_warm_supervisor_is_told_the_key_with_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in (KEY, None):
        monkeypatch.setattr(waiting, "_read_line", lambda key=key: job_line(JobFolder(tmp_path), key))
        assert Told.read() == Told(tmp_path, key)
    monkeypatch.setattr(waiting, "_read_line", bytes)
    assert Told.read() is None


def test_only_what_the_job_needs_of_the_operators_environment_reaches_wandb() -> None:
    source = {"WANDB_BASE_URL": "http://10.0.0.1", "WANDB_API_KEY": "the operator's", "WANDB_ENTITY": "theirs"}
    assert not {"WANDB_API_KEY", "WANDB_ENTITY"} & set(supervisor_environment(source=source))
    found = wandb_environment(KEY, source=supervisor_environment(source=source))
    assert found["WANDB_API_KEY"] == KEY
    assert found["WANDB_BASE_URL"] == "http://10.0.0.1"
    assert "WANDB_ENTITY" not in found


def test_a_key_is_handed_out_once() -> None:
    keys = Keys()
    keys.keep("j_12345678", KEY)
    assert KEY not in repr(keys)
    assert keys.take("j_12345678") == KEY
    assert keys.take("j_12345678") is None


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://wandb.ai/lab/flies/runs/abc", True),
        ("http://127.0.0.1:8080/lab/flies/runs/abc", True),
        ("javascript:alert(1)", False),
        ("https://wandb.ai/a b", False),
        ("https://wandb.ai/\x1b]52;c;aGk=\x07", False),
        ("https://wandb.ai/" + "a" * 600, False),
        (17, False),
        (None, False),
    ],
)
def test_the_run_is_linked_if_that_is_a_web_address(url: object, shown: bool) -> None:
    body = Progress(1.0).receive({"event": "train_begin", "wandb_url": url}, 0.0)
    assert body == (Notice(text=f"W&B run: {url}") if shown else None)


async def test_a_job_whose_key_a_restart_took_trains_without_and_says_so(
    root: Path, fake: FakeRunner, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "package", {"one": training_config(wandb={"project": "flies"})})
    before = new_board(root, fake("good"), allow_wandb=True)
    folder = await submit(before, package, options=REPORTED, wandb_key=KEY)
    del before
    async with running(new_board(root, fake("good"), allow_wandb=True)) as board:
        events = await all_events(board, folder)
    assert [body.outcome for body in of_type(events, "run_ended")] == ["done"]
    assert any("Weights & Biases is off" in body.text for body in of_type(events, "notice"))
    assert read_yaml(folder.config_in_use("one").read_bytes())["trainer_config"]["use_wandb"] is False


async def test_a_key_without_the_option_reaches_no_job(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    board = new_board(root, fake("good"))
    package = write_package(tmp_path / "package", {"one": training_config()})
    folder = await submit(board, package, wandb_key=KEY)
    assert board._schedule.keys.take(folder.job) is None


async def test_the_key_of_a_job_that_is_called_off_is_forgotten(root: Path, fake: FakeRunner, tmp_path: Path) -> None:
    package = write_package(tmp_path / "package", {"one": training_config()})
    board = new_board(root, fake("good"), allow_wandb=True)
    folder = await submit(board, package, options=REPORTED, wandb_key=KEY)
    await asyncio.wait_for(board.command(folder, "cancel"), 30)
    assert board._schedule.keys.take(folder.job) is None


async def test_a_key_that_is_brought_again_while_the_job_still_waits_is_used(
    root: Path, fake: FakeRunner, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "package", {"one": training_config(wandb={"project": "flies"})})
    folder = await submit(new_board(root, fake("good"), allow_wandb=True), package, options=REPORTED, wandb_key=KEY)
    again = new_board(root, fake("good"), allow_wandb=True)
    again._schedule.enqueue(folder.job)  # as it is found when a worker starts
    await again.accept(folder, wandb_key=KEY)
    assert again._schedule.keys.take(folder.job) == KEY


async def test_a_worker_that_allows_it_no_longer_refuses_what_it_had_begun_to_receive(
    root: Path, fake: FakeRunner
) -> None:
    before = new_board(root, fake("good"), allow_wandb=True)
    folder = await before.receive("j_12345678", owner=OWNER, name="test", manifest_digest="0" * 64, options=REPORTED)
    with pytest.raises(ConfigError, match="does not let jobs report"):
        await new_board(root, fake("good")).accept(folder, wandb_key=KEY)
    assert not folder.path.exists()
