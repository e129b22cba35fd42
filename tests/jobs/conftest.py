import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psutil
import pytest

from sleap_rtc.jobs.board import BoardSettings, JobBoard
from sleap_rtc.jobs.checking import Preflight
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.gpus import Slot
from sleap_rtc.jobs.mounts import Mounts
from sleap_rtc.jobs.room_models import RoomModels
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.jobs import Event, Owner
from sleap_rtc.protocol.options import JobOptions
from sleap_rtc.protocol.training import TrainOptions
from tests.jobs.ending import end_jobs
from tests.jobs.fakes import FAKE, QUICK

OWNER = Owner(user="u_alice1234", name="Alice", room="r_lab12345")
STRANGER = Owner(user="u_mallory12", name="Mallory", room="r_lab12345")
HEADS = ("single_instance", "centroid", "centered_instance", "bottomup")
LABELS = b"\x89HDF\r\n\x1a\n" + bytes(100)


def training_config(head: str = "single_instance", **trainer: Any) -> dict[str, Any]:
    """A config that trains in seconds where the labels are real."""
    confmaps: dict[str, Any] = {"sigma": 2.5, "output_stride": 2}
    if head != "centroid":
        confmaps["part_names"] = ["head", "mid", "tail"]
    unet = {"in_channels": 1, "kernel_size": 3, "filters": 8, "filters_rate": 1.5, "max_stride": 8, "output_stride": 2}
    loader = {"batch_size": 4, "num_workers": 0}
    return {
        "data_config": {
            "train_labels_path": ["/home/alice/labels.pkg.slp"],
            "val_labels_path": None,
            "validation_fraction": 0.2,
            "preprocessing": {"scale": 1.0, "min_crop_size": 48},
            "use_augmentations_train": False,
        },
        "model_config": {
            "backbone_config": {"unet": unet},
            "head_configs": dict.fromkeys(HEADS) | {head: {"confmaps": confmaps}},
        },
        "trainer_config": {
            "train_data_loader": loader | {"shuffle": True},
            "val_data_loader": dict(loader),
            "max_epochs": 2,
            "train_steps_per_epoch": 5,
            "min_train_steps_per_epoch": 5,
            "optimizer": {"lr": 2e-3},
            "save_ckpt": True,
        }
        | trainer,
    }


def write_package(folder: Path, configs: dict[str, dict[str, Any]], labels: bytes = LABELS) -> Path:
    """A package: labels and a YAML file for each config."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.pkg.slp").write_bytes(labels)
    for name, config in configs.items():
        (folder / f"{name}.yaml").write_text(write_yaml(config))
    return folder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of one run, `one`."""
    return write_package(tmp_path / "package", {"one": training_config()})


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """What the fake trainer writes down: its starts, and what it left running."""
    path = tmp_path / "ledger"
    path.touch()
    return path


FakeRunner = Callable[[str], SupervisorSettings]


def fake_settings(ledger: Path, behaviour: str = "good") -> SupervisorSettings:
    """Settings with short times and a fake runner of the given behaviour."""
    return replace(QUICK, runner=(sys.executable, str(FAKE), "--behaviour", behaviour, "--ledger", str(ledger)))


@pytest.fixture
def fake(ledger: Path) -> FakeRunner:
    """Those settings, with the ledger of the test."""
    return partial(fake_settings, ledger)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder for jobs, of which nothing runs on after the test."""
    path = tmp_path / "jobs"
    yield path
    end_jobs(path)


def new_board(
    root: Path,
    settings: SupervisorSettings,
    slots: int | Sequence[Slot] = 1,
    preflight: Preflight | None = None,
    *,
    warm: bool = False,
    mounts: Mounts | None = None,
    min_free: int = 0,
    allow_wandb: bool = False,
    models: RoomModels | None = None,
) -> JobBoard:
    if isinstance(slots, int):
        slots = [Slot(f"slot{i}", (f"GPU-{i}",)) for i in range(slots)]
    return JobBoard(
        root,
        slots=slots,
        executor=LocalExecutor(settings, warm=warm),
        preflight=preflight,
        mounts=mounts,
        settings=BoardSettings(poll=0.05, watch=0.02),
        min_free=min_free,
        allow_wandb=allow_wandb,
        models=models,
    )


@asynccontextmanager
async def running(board: JobBoard) -> AsyncIterator[JobBoard]:
    """The board at work; leaving it is what a worker's end is to its jobs."""
    task = asyncio.ensure_future(board.run())
    try:
        yield board
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def submit(
    board: JobBoard,
    package: Path,
    job: str = "j_12345678",
    owner: Owner = OWNER,
    *,
    options: JobOptions = TrainOptions(),  # noqa: B008 - it cannot be changed
    wandb_key: str | None = None,
) -> JobFolder:
    folder = await board.receive(job, owner=owner, name="test", manifest_digest="0" * 64, options=options)
    shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
    await board.accept(folder, wandb_key=wandb_key)
    return folder


async def events_until(
    board: JobBoard, folder: JobFolder, wanted: Callable[[Event], bool], timeout: float = 30
) -> list[Event]:
    """The events up to the first one wanted."""
    found: list[Event] = []
    async with asyncio.timeout(timeout):
        async for events in board.watch(folder):
            for event in events:
                found.append(event)
                if wanted(event):
                    return found
    raise AssertionError(f"the job ended before: {[event.body for event in found]}")


async def all_events(board: JobBoard, folder: JobFolder, timeout: float = 30) -> list[Event]:
    async with asyncio.timeout(timeout):
        return [event async for events in board.watch(folder) for event in events]


async def in_an_epoch(
    board: JobBoard,
    package: Path,
    job: str = "j_12345678",
    *,
    options: TrainOptions = TrainOptions(),  # noqa: B008 - it cannot be changed
) -> JobFolder:
    """Submit a job, and wait until it trains and has a first model."""
    folder = await submit(board, package, job, options=options)
    await events_until(board, folder, is_epoch_end)
    return folder


async def ended_by(board: JobBoard, folder: JobFolder, command: Literal["stop", "cancel"]) -> list[Event]:
    """Tell a job to end, and return its whole history."""
    await board.command(folder, command)
    return await all_events(board, folder)


def of_type(events: list[Event], kind: str) -> list[Any]:
    return [event.body for event in events if event.body.type == kind]


def assert_stopped_well(folder: JobFolder, events: list[Event]) -> None:
    """The job's only run, `one`, was stopped in an epoch, went through its proper end, and its model can be fetched."""
    (ended,) = of_type(events, "run_ended")
    assert (ended.outcome, ended.folder) == ("stopped", "one")
    assert "val/loss" in ended.metrics
    assert of_type(events, "state")[-1].state == "done"
    assert "one/best.ckpt" in {file.path for file in folder.results()}
    exit_record = folder.exit()
    assert exit_record is not None
    assert exit_record.runs[0].exit_code == 0


def is_epoch_end(event: Event) -> bool:
    return event.body.type == "epoch_ended"


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def words(process: psutil.Process) -> list[str]:
    """Its command line; none of one that has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def noted(ledger: Path, kind: str = "start") -> list[tuple[str, int]]:
    """The (run, pid) of every start, or daemon, in the fake trainer's ledger."""
    lines = [line.split() for line in ledger.read_text().splitlines()]
    return [(run, int(pid)) for what, run, pid, *_ in lines if what == kind]


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait, for a bounded time, for something that another process does."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.02)


def surroundings(ledger: Path) -> dict[str, str]:
    """The environment in which the fake trainer was started last, with its working and temporary folders."""
    found: dict[str, str] = json.loads(ledger.with_suffix(".surroundings").read_text())
    return found


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []
