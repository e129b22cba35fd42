"""Trainings that begin with a model of the room: with what of it, and when there is nothing to begin with."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import ConfigError, PackageError, UnreachableError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.train_plan import stage
from sleap_rtc.jobs.trained import ROOM_MODEL
from sleap_rtc.jobs.yaml_data import read_yaml, write_yaml
from sleap_rtc.protocol.jobs import JobSpec, JobState
from sleap_rtc.protocol.models import RoomModel
from sleap_rtc.protocol.training import Override, TrainOptions

from .conftest import OWNER, FakeRunner, all_events, new_board, of_type, running, submit, training_config, write_package
from .test_track_plan import model
from .test_train_plan import configs_of

FLY = RoomModel(digest="a" * 64, name="fly", version=3)
OPTIONS = TrainOptions(start_from=FLY)
WEIGHTS = ("pretrained_backbone_weights", "pretrained_head_weights")


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    spec = JobSpec(job="j_12345678", owner=OWNER, name="test", manifest="0" * 64, submitted=0)
    return JobFolder.create(tmp_path / spec.job, spec)


def weights_of(config: dict[str, Any]) -> set[str]:
    return {config["model_config"][key] for key in WEIGHTS}


def place(root: Path, *heads: str) -> None:
    """What the room's model is among a job's files."""
    for head in heads:
        model(root / f"run-{head}", head)
    (root / "model.json").write_text('{"optimization": "model", "model": "optimization"}')


def test_each_config_begins_with_the_part_that_finds_the_same(folder: JobFolder) -> None:
    write_package(folder.inputs, {head: training_config(head) for head in ("centroid", "centered_instance")})
    place(folder.inputs / ROOM_MODEL, "centered_instance", "centroid")
    plan = stage(folder, OPTIONS, cpus=2)
    assert [run.model_type for run in plan.runs] == ["centroid", "centered_instance"]
    for run, config in zip(plan.runs, configs_of(folder, plan), strict=True):
        assert weights_of(config) == {str(folder.inputs / ROOM_MODEL / f"run-{run.model_type}/best.ckpt")}


def test_what_is_not_named_comes_from_nowhere(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    place(folder.inputs / ROOM_MODEL, "single_instance")
    (config,) = configs_of(folder, stage(folder, TrainOptions(), cpus=2))
    assert not any(config["model_config"].get(key) for key in WEIGHTS)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("model_config.pretrained_backbone_weights", "best.ckpt", "and so does --from"),
        ("model_config.pretrained_head_weights", "best.ckpt", "and so does --from"),
        ("trainer_config.resume_ckpt_path", "last.ckpt", "goes on from a checkpoint"),
    ],
)
def test_a_config_says_nothing_else_to_begin_with(
    folder: JobFolder,
    key: str,
    value: str,
    why: str,
) -> None:
    write_package(folder.inputs, {"a": training_config()})
    place(folder.inputs / ROOM_MODEL, "single_instance")
    with pytest.raises(ConfigError, match=why):
        stage(folder, OPTIONS.model_copy(update={"overrides": (Override(key=key, value=value),)}), cpus=2)


def test_a_model_of_another_kind_is_nothing_to_begin_with(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config("bottomup")})
    place(folder.inputs / ROOM_MODEL, "centroid")
    with pytest.raises(ConfigError, match="finds centroid, and the config trains 'bottomup'"):
        stage(folder, OPTIONS, cpus=2)


def test_an_exported_model_has_no_weights_to_begin_with(folder: JobFolder) -> None:
    write_package(folder.inputs, {"a": training_config()})
    exported = folder.inputs / ROOM_MODEL / "onnx"
    exported.mkdir(parents=True)
    (exported / "model.onnx").write_bytes(b"network")
    (exported / "training_config.yaml").write_text(write_yaml(training_config()))
    with pytest.raises(PackageError, match=r"has no best\.ckpt"):
        stage(folder, OPTIONS, cpus=2)


class Shelf:
    """One model of the room, which can be out of reach."""

    def __init__(self, *, away: bool = False) -> None:
        self.away = away

    async def place(self, digest: str, room: str, target: Path) -> None:
        assert (digest, room) == (FLY.digest, "r_lab12345")
        if self.away:
            raise UnreachableError("No worker that has the model is online.")
        place(target, "single_instance")


def pack(package: Path, target: Path) -> None:
    """As simple peers send it: one archive, which is unpacked before anything is put beside it."""
    target.mkdir()
    with zipfile.ZipFile(target / "package.zip", "w") as archive:
        for path in package.iterdir():
            archive.write(path, path.name)
        archive.writestr(f"{ROOM_MODEL}/best.ckpt", b"of a stranger")


async def test_the_rooms_model_is_there_before_the_package_is_looked_at(
    root: Path, fake: FakeRunner, package: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    pack(package, packed)
    async with running(new_board(root, fake("good"), models=Shelf())) as board:
        made = await submit(board, packed, options=OPTIONS)
        assert of_type(await all_events(board, made), "state")[-1].state is JobState.DONE
    (config,) = [read_yaml(path.read_bytes()) for path in made.configs.rglob("config.yaml")]
    assert weights_of(config) == {str(made.inputs / ROOM_MODEL / "run-single_instance/best.ckpt")}
    assert not (made.inputs / ROOM_MODEL / "best.ckpt").exists()


async def test_a_job_waits_for_a_model_that_is_away_and_ends_where_there_are_none(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    shelf = Shelf(away=True)
    async with running(new_board(root, fake("good"), models=shelf)) as board:
        with pytest.raises(UnreachableError):
            await submit(board, package, options=OPTIONS)
        made = JobFolder(root / "j_12345678")
        assert made.state().state is JobState.RECEIVED
        shelf.away = False
        # the same command typed again
        await board.accept(made)
        assert of_type(await all_events(board, made), "state")[-1].state is JobState.DONE
    async with running(new_board(root, fake("good"))) as board:
        with pytest.raises(ConfigError, match="keeps no models"):
            await submit(board, package, "j_23456789", options=OPTIONS)
    assert not (root / "j_23456789").exists()
