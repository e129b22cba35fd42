"""``sleap-rtc train`` in sleap-nn's own words: what reaches the worker, and how the job is found again."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sleap_rtc.cli.training_request import find_wandb_key
from sleap_rtc.client.assembling import Wanted
from sleap_rtc.errors import UsageError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.training import TrainOptions
from tests.cli.room_lab import RoomLab, room_lab
from tests.cli.shell import make_shell
from tests.jobs.conftest import LABELS, training_config


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def test_configs_and_labels_reach_the_worker_and_are_found_again(lab: RoomLab) -> None:
    (lab.folder / "configs").mkdir()
    for head in ("centroid", "centered_instance"):
        (lab.folder / "configs" / f"{head}.yaml").write_text(write_yaml(training_config(head)))
    (lab.folder / "flies.pkg.slp").write_bytes(LABELS)
    train = ("train", "--room", "lab", "--auto-select")
    form = (
        "-d", "configs", "-c", "centered_instance", "-c", "centroid.yaml", "--max-epochs", "2", "--",
        "data_config.train_labels_path=[flies.pkg.slp]",
    )  # fmt: skip
    async with lab.worker("large", 80):
        sent = await lab.run(*train, "--detach", *form)
        assert sent.code == 0, sent.err
        (folder,) = [JobFolder(path) for path in lab.jobs_of("large").glob("j_*")]
        options = folder.spec().options
        assert isinstance(options, TrainOptions)
        assert options.configs == ("configs/centered_instance.yaml", "configs/centroid.yaml")
        assert options.paths == {"flies.pkg.slp": "labels/flies.pkg.slp"}
        assert {each.key: each.value for each in options.overrides} == {
            "trainer_config.max_epochs": 2,
            "data_config.train_labels_path": ["flies.pkg.slp"],
        }
        assert {path.relative_to(folder.inputs).as_posix() for path in folder.inputs.rglob("*.*")} == {
            *options.configs, "labels/flies.pkg.slp",
        }  # fmt: skip
        again = await lab.run(*train, *form)
        assert again.code == 0, again.err
        assert "going on with it" in again.err
        assert sorted(path.name for path in (lab.folder / "models").iterdir()) == ["centered_instance", "centroid"]
        # one word more makes it another job
        assert (await lab.run(*train, "--detach", *form, "trainer_config.seed=1")).code == 0
        assert len(list(lab.jobs_of("large").glob("j_*"))) == 2


async def test_what_only_a_config_names_is_said_when_it_is_sent(lab: RoomLab) -> None:
    config = training_config()
    config["data_config"]["train_labels_path"] = [str(lab.folder / "flies.pkg.slp")]
    (lab.folder / "flies.pkg.slp").write_bytes(LABELS)
    (lab.folder / "single.yaml").write_text(write_yaml(config))
    async with lab.worker("large", 80):
        result = await lab.run("train", "--room", "lab", "--auto-select", "single.yaml")
        assert result.code == 0, result.err
        assert f"The config names these files, and they are sent: {lab.folder / 'flies.pkg.slp'}" in result.err


def test_a_key_for_wandb_is_never_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = make_shell(tmp_path, monkeypatch, capsys)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    typed = shell.now("train", "--room", "lab", "-p", "package.zip", "--wandb")
    assert (typed.code, typed.out) == (2, "")
    assert "Set WANDB_API_KEY" in typed.err
    wanted = Wanted(options=TrainOptions(wandb=True))
    with pytest.raises(UsageError):
        find_wandb_key(wanted)
    monkeypatch.setenv("WANDB_API_KEY", "not-a-real-key")
    assert find_wandb_key(wanted) == "not-a-real-key"
    assert find_wandb_key(Wanted()) is None
    assert "not-a-real-key" not in json.dumps(wanted.options.model_dump())


@pytest.mark.parametrize("words", [["--preset", "bottomup"], ["-d", "configs", "-p", "x"], ["labels.slp"], []])
def test_a_contradiction_is_one_sentence_and_exit_code_2(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = make_shell(tmp_path, monkeypatch, capsys).now("train", "--room", "lab", *words)
    assert (typed.code, typed.err.count("error: ")) == (2, 1)
