"""The fake sleap-nn and the real one behave alike, as far as the jobs package can tell."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import Event
from tests.sandboxes import sandbox_if_any

from .conftest import (
    LABELS,
    FakeRunner,
    all_events,
    assert_stopped_well,
    events_until,
    new_board,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)

PATIENCE = 280


class Runner(NamedTuple):
    """What is started, the labels it can train on, whether the first run finds it warm, and whether it is real."""

    settings: SupervisorSettings
    labels: bytes
    warm: bool
    real: bool = False

    def board(self, root: Path) -> JobBoard:
        # the real one as workers run it: in a sandbox, where there is one
        sandbox = sandbox_if_any(root) if self.real else None
        return new_board(root, replace(self.settings, sandbox=sandbox), warm=self.warm)


# the real one: of a pair the first run is warm and the second cold
@pytest.fixture(params=["cold", "warm", pytest.param("real", marks=[pytest.mark.real, pytest.mark.timeout(600)])])
def runner(request: pytest.FixtureRequest, fake: FakeRunner) -> Runner:
    if request.param == "real":
        return Runner(SupervisorSettings(), request.getfixturevalue("real_labels"), warm=True, real=True)
    settings = replace(fake("good"), stop_grace=60, step_interval=0.0)
    return Runner(settings, LABELS, warm=request.param == "warm")


def log_rows(folder: JobFolder, run: str) -> list[dict[str, str]]:
    with (folder.models / run / "training_log.csv").open() as file:
        return list(csv.DictReader(file))


def shape(events: list[Event]) -> list[tuple[Any, ...]]:
    """What must be alike: everything but times, values, and how many steps fell into a second."""
    found: list[tuple[Any, ...]] = []
    for event in events:
        entry = (event.run, event.body.type, getattr(event.body, "state", getattr(event.body, "epoch", None)))
        if entry not in found:
            found.append(entry)
    return found


async def test_a_top_down_pair_trains_and_reports(root: Path, tmp_path: Path, runner: Runner) -> None:
    configs = {"a": training_config("centered_instance"), "b": training_config("centroid")}
    package = write_package(tmp_path / "package", configs, runner.labels)
    async with running(runner.board(root)) as board:
        folder = await submit(board, package)
        events = await all_events(board, folder, PATIENCE)
    assert shape(events) == [
        *((None, "state", state) for state in ("received", "staged")),
        *((None, "state", state) for state in ("queued", "starting", "running")),
        *(
            entry
            for run in ("b", "a")
            for entry in (
                (run, "run_started", None),
                *((run, kind, epoch) for epoch in (0, 1) for kind in ("epoch_started", "step", "epoch_ended")),
                (run, "run_ended", None),
            )
        ),
        *((None, "state", state) for state in ("finishing", "done")),
    ]
    paths = {file.path for file in folder.results()}
    for run in ("a", "b"):
        assert {f"{run}/best.ckpt", f"{run}/last.ckpt", f"{run}/training_config.yaml"} <= paths
        last = [event.body for event in events if event.run == run and event.body.type == "epoch_ended"][-1]
        assert last.metrics["val/loss"] == pytest.approx(float(log_rows(folder, run)[-1]["val/loss"]), rel=1e-6)
    first = of_type(events, "epoch_ended")[0].metrics
    assert "train/loss" not in first


# the real one is held to the same where it is stopped anyhow: in test_devices in its first epoch, in test_resume later
@pytest.mark.parametrize("runner", ["cold", "warm"], indirect=True)
async def test_stop_in_the_middle_of_an_epoch_brings_a_model_home(root: Path, tmp_path: Path, runner: Runner) -> None:
    # so long that only the stop can end it within the test's time
    config = training_config(max_epochs=3, train_steps_per_epoch=1_000_000, min_train_steps_per_epoch=1_000_000)
    package = write_package(tmp_path / "package", {"one": config}, runner.labels)
    async with running(runner.board(root)) as board:
        folder = await submit(board, package)
        await events_until(board, folder, lambda event: event.body.type == "step", PATIENCE)
        await board.command(folder, "stop")
        events = await all_events(board, folder, PATIENCE)
    assert_stopped_well(folder, events)


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_a_config_that_sleap_nn_refuses_fails_with_its_message(
    root: Path, tmp_path: Path, real_labels: bytes
) -> None:
    package = write_package(tmp_path / "package", {"one": training_config(optimizer_name="Magic")}, real_labels)
    async with running(new_board(root, SupervisorSettings())) as board:
        events = await all_events(board, await submit(board, package), PATIENCE)
    error = of_type(events, "state")[-1].error
    assert "optimizer_name must be one of: Adam, AdamW" in error.sentence
    assert "exit code 1" in error.sentence
