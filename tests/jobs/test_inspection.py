"""A package that is looked at: what a submit would train, or why not; and nothing of it stays."""

import asyncio
import shutil
import zipfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sleap_rtc.config.clock import utc_ms
from sleap_rtc.errors import BusyError, ConfigError, NotFoundError, SleapRTCError, StorageError
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.describing import settings_of
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.inspection import MAX_INSPECTED, Look
from sleap_rtc.protocol.inspecting import InspectedRun, RunSettings
from sleap_rtc.protocol.jobs import JobSpec, JobState, Owner
from sleap_rtc.protocol.training import Override, Preset, TrainOptions

from .conftest import (
    OWNER,
    STRANGER,
    FakeRunner,
    eventually,
    names_in,
    new_board,
    running,
    submit,
    training_config,
    write_package,
)
from .fakes import QUICK
from .test_checking import new_preflight

JOB = "j_12345678"


def spec_of(options: TrainOptions | None = None, job: str = JOB, owner: Owner = OWNER) -> JobSpec:
    return JobSpec(
        job=job, owner=owner, name="test", manifest="0" * 64, options=options or TrainOptions(), submitted=utc_ms()
    )


def bringing(package: Path) -> Callable[[JobFolder], Awaitable[None]]:
    async def receive(folder: JobFolder) -> None:
        shutil.copytree(package, folder.inputs, dirs_exist_ok=True)

    return receive


async def look(board: JobBoard, package: Path, options: TrainOptions | None = None) -> Look:
    return await board.inspect(spec_of(options), bringing(package))


async def test_it_tells_what_a_submit_would_train(root: Path, tmp_path: Path) -> None:
    package = write_package(
        tmp_path / "package",
        {"b": training_config("centered_instance", run_name="second"), "c": training_config("centroid")},
    )
    board = new_board(root, QUICK)
    seen = await look(board, package)
    common = {"devices": 1, "backbone": "unet", "max_epochs": 2, "batch_size": 4, "min_steps": 5, "scale": 1.0}
    assert seen.runs == (
        InspectedRun(name="c", model_type="centroid", config="c.yaml", learning_rate=2e-3, **common),
        InspectedRun(name="second", model_type="centered_instance", config="b.yaml", learning_rate=2e-3, **common),
    )
    assert seen.labels is None  # nobody could look into them
    assert names_in(root) == []
    # the same, as the job says it
    job = (await submit(board, package)).spec()
    assert [(run.name, run.model_type, run.max_epochs, run.devices) for run in job.runs] == [
        (run.name, run.model_type, run.max_epochs, run.devices) for run in seen.runs
    ]


async def test_overrides_and_devices_are_told_as_they_would_count(root: Path, package: Path) -> None:
    overrides = (
        Override(key="trainer_config.max_epochs", value=7),
        Override(key="trainer_config.train_data_loader.batch_size", value=2),
        Override(key="trainer_config.optimizer.lr", value=0.5),
        Override(key="trainer_config.min_train_steps_per_epoch", value=9),
        Override(key="data_config.preprocessing.scale", value=0.25),
        Override(key="trainer_config.ckpt_dir", value="/tmp/x"),
    )
    seen = await look(new_board(root, QUICK, 2), package, TrainOptions(overrides=overrides, devices=2))
    (run,) = seen.runs
    assert (run.max_epochs, run.batch_size, run.learning_rate, run.min_steps, run.scale) == (7, 2, 0.5, 9, 0.25)
    assert run.devices == 2
    assert any("ckpt_dir was left out" in notice for notice in seen.notices)


async def test_a_zip_is_opened(root: Path, tmp_path: Path, package: Path) -> None:
    (tmp_path / "sent").mkdir()
    with zipfile.ZipFile(tmp_path / "sent" / "training.zip", "w") as archive:
        for name in ("labels.pkg.slp", "one.yaml"):
            archive.write(package / name, f"exported/{name}")
    seen = await look(new_board(root, QUICK), tmp_path / "sent")
    assert [(run.name, run.config) for run in seen.runs] == [("one", "exported/one.yaml")]
    assert names_in(root) == []


def write(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda package: (package / name).write_bytes(data)


def only_a_broken_zip(package: Path) -> None:
    shutil.rmtree(package)
    package.mkdir()
    (package / "a.zip").write_bytes(b"PK\5\6" + bytes(18))


BAD: dict[str, Callable[[Path], object]] = {
    "no config": write("one.yaml", b"a: 1"),
    "no HDF5": write("labels.pkg.slp", b"text"),
    "interpolation": write("one.yaml", b"model_config: {}\ntrainer_config: {run_name: '${oc.env:HOME}'}\n"),
    "an archive that is none": only_a_broken_zip,
}


@pytest.mark.parametrize("spoil", BAD)
async def test_what_a_submit_would_refuse_is_refused_in_the_same_words(root: Path, package: Path, spoil: str) -> None:
    BAD[spoil](package)
    board = new_board(root, QUICK)
    with pytest.raises(SleapRTCError) as submitted:
        await submit(board, package)
    with pytest.raises(SleapRTCError) as inspected:
        await look(board, package)
    assert type(inspected.value) is type(submitted.value)
    assert inspected.value.sentence == submitted.value.sentence
    assert names_in(root) == []


async def test_what_the_worker_does_not_take_is_refused_before_a_byte_is_sent(root: Path, package: Path) -> None:
    async def never(folder: JobFolder) -> None:
        raise AssertionError

    board = new_board(root, QUICK)
    for options, words in ((TrainOptions(devices=2), "2 GPUs at once"), (TrainOptions(wandb=True), "Weights & Biases")):
        with pytest.raises(ConfigError, match=words):
            await board.inspect(spec_of(options), never)
    with pytest.raises(StorageError, match="takes new jobs only with"):
        await new_board(root, QUICK, min_free=2**62).inspect(spec_of(), never)
    board.close_to_new()
    with pytest.raises(BusyError, match="shutting down"):
        await board.inspect(spec_of(), never)
    assert names_in(root) == []


async def test_a_job_of_somebody_else_is_none_and_ones_own_is_as_it_was(root: Path, package: Path) -> None:
    board = new_board(root, QUICK)
    folder = await submit(board, package)
    before = folder.spec(), folder.state()
    with pytest.raises(NotFoundError, match=f"This worker has no job {JOB}"):
        await board.inspect(spec_of(owner=STRANGER), bringing(package))
    assert len((await look(board, package)).runs) == 1
    assert (folder.spec(), folder.state()) == before
    assert names_in(root) == [JOB]


async def test_it_is_never_a_job(root: Path, package: Path, fake: FakeRunner) -> None:
    """Neither while its files arrive nor while it is looked at, nor after a crash then."""
    board = new_board(root, fake("good"))
    crashed: Path | None = None

    async def receive(folder: JobFolder) -> None:
        nonlocal crashed
        await bringing(package)(folder)
        assert board.folders() == []
        assert board.summaries() == []
        assert board.jobs_of(OWNER.room) == []
        assert folder.path.parent == root
        crashed = root / f"{folder.path.name}1"
        shutil.copytree(folder.path, crashed)
        shutil.copytree(folder.path, root / f".{folder.path.name}")

    async with running(board):
        await board.inspect(spec_of(), receive)
        assert (board.busy, board.queued) == (0, 0)
    assert crashed is not None
    assert len(names_in(root)) == 2
    async with running(new_board(root, fake("good"))):
        await eventually(lambda: names_in(root) == [])


async def test_no_more_than_a_few_at_once_for_one_owner(root: Path, package: Path) -> None:
    board = new_board(root, QUICK)
    go, begun = asyncio.Event(), 0

    async def waiting(folder: JobFolder) -> None:
        nonlocal begun
        begun += 1
        await bringing(package)(folder)
        await go.wait()

    def ask(number: int, owner: Owner = OWNER) -> "asyncio.Task[Look]":
        return asyncio.create_task(board.inspect(spec_of(job=f"{JOB}{number}", owner=owner), waiting))

    asked = [ask(number) for number in range(MAX_INSPECTED)]
    await eventually(lambda: begun == MAX_INSPECTED)
    with pytest.raises(BusyError, match="looked at on this worker already"):
        await ask(9)
    asked.append(ask(10, STRANGER))
    go.set()
    assert [len(each.runs) for each in await asyncio.gather(*asked)] == [1] * (MAX_INSPECTED + 1)
    await ask(11)
    assert names_in(root) == []


async def test_a_link_that_ends_while_files_arrive_leaves_nothing(root: Path) -> None:
    board = new_board(root, QUICK)
    begun = asyncio.Event()

    async def waiting(folder: JobFolder) -> None:
        (folder.inputs / "half").write_bytes(b"half")
        begun.set()
        await asyncio.Event().wait()

    asking = asyncio.create_task(board.inspect(spec_of(), waiting))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert names_in(root) == []


async def test_a_link_that_ends_while_it_is_looked_at_costs_no_other_its_check(
    root: Path, package: Path, tmp_path: Path
) -> None:
    """The helper that is asked about it is not killed for it; the folder goes when it has answered."""
    starts = tmp_path / "starts"
    preflight = new_preflight(root.with_name("other"), starts, "good")
    board = new_board(root, QUICK, preflight=preflight)
    asking = asyncio.create_task(look(board, package))
    await eventually(lambda: any(name.startswith(".j_") for name in names_in(root)))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    async with preflight.at_work():
        await eventually(lambda: names_in(root) == [])
        seen = await look(board, package)
    assert "looked at" in seen.notices
    assert starts.read_text() == "start\n"


async def test_where_nobody_can_check_it_says_so(root: Path, package: Path, tmp_path: Path) -> None:
    preflight = new_preflight(root.with_name("other"), tmp_path / "starts", "broken")
    async with preflight.at_work():
        seen = await look(new_board(root, QUICK, preflight=preflight), package)
    assert len(seen.runs) == 1
    assert seen.notices[-1].startswith("This job could not be checked, because its helper does not start")


async def test_a_preset_without_a_helper_is_refused_as_a_submit_is(root: Path, package: Path) -> None:
    (package / "one.yaml").unlink()
    options = TrainOptions(preset=Preset(head="single_instance", backbone="unet"))
    board = new_board(root, QUICK)
    with pytest.raises(ConfigError) as submitted:
        await submit(board, package, options=options)
    with pytest.raises(ConfigError) as inspected:
        await look(board, package, options)
    assert inspected.value.sentence == submitted.value.sentence


ODD: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_of_settings_that_are_none_nothing_is_told(data: st.DataObject) -> None:
    """Whatever a config holds, what is told of it fits into a message."""
    config = training_config()
    places = [
        ("trainer_config",), ("trainer_config", "max_epochs"), ("trainer_config", "optimizer"),
        ("trainer_config", "optimizer", "lr"), ("trainer_config", "train_data_loader", "batch_size"),
        ("data_config", "preprocessing"), ("data_config", "preprocessing", "scale"),
        ("model_config", "backbone_config"),
    ]  # fmt: skip
    *above, last = data.draw(st.sampled_from(places))
    section: Any = config
    for name in above:
        section = section[name]
    section[last] = data.draw(ODD)
    told = settings_of(config)
    assert RunSettings.model_validate_json(told.model_dump_json()) == told


async def test_after_it_a_submit_is_as_always(root: Path, package: Path) -> None:
    board = new_board(root, QUICK)
    await look(board, package)
    await look(board, package, TrainOptions(overrides=(Override(key="trainer_config.max_epochs", value=7),)))
    folder = await submit(board, package)
    assert folder.state().state is JobState.QUEUED
    assert [run.max_epochs for run in folder.spec().runs] == [2]
