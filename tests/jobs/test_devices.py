"""Jobs of several devices: what their configs ask for, what they get, and that they train with as many processes."""

from pathlib import Path

import pytest

from sleap_rtc.jobs.gpus import Slot
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import JobState

from .conftest import (
    all_events,
    events_until,
    new_board,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)

TWO = [Slot("cpu0"), Slot("cpu1")]


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
    async with running(new_board(root, SupervisorSettings(), TWO)) as board:
        folder = await submit(board, package)
        await events_until(board, folder, lambda event: event.body.type == "step", 280)
        await board.command(folder, "stop")
        events = await all_events(board, folder, 280)
    assert of_type(events, "run_ended")[0].outcome == "stopped"
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert "one/best.ckpt" in {file.path for file in folder.results()}
    exit_record = folder.exit()
    assert exit_record is not None
    assert exit_record.runs[0].exit_code == 0
    assert "MEMBER: 2/2" in folder.log.read_text()
