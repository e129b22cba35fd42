"""``kill -9``: of the worker in every state of a job, and of the training itself. Warm and cold."""

import asyncio
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.processes import this_process
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.training import TrainOptions

from .aftermath import assert_whole
from .board_process import ENDED, JOB
from .conftest import (
    OWNER,
    FakeRunner,
    all_events,
    ended_by,
    events_until,
    eventually,
    in_an_epoch,
    is_epoch_end,
    lives,
    new_board,
    noted,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)

WAYS = pytest.mark.parametrize("warm", ["cold", "warm"])
# before there is a supervisor, and once it needs none, it is all one whether it was warm
BEFORE_THE_START = [("received", "cold"), ("staged", "cold"), ("queued", "cold"), ("queued", "warm")]
AFTER_THE_START = [
    ("starting", "cold"), ("starting", "warm"), ("running", "cold"), ("running", "warm"), ("finishing", "cold"),
    (ENDED, "warm"),
]  # fmt: skip


async def killed_worker(root: Path, settings: str, package: Path, warm: str, state: str) -> JobFolder:
    """Let a worker take a job and be killed when the job is in a state."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.jobs.board_process", str(root), settings, str(package), warm, state
    )
    async with asyncio.timeout(60):
        assert await worker.wait() == -signal.SIGKILL
    return JobFolder(root / JOB)


@pytest.mark.parametrize(("state", "warm"), BEFORE_THE_START)
async def test_a_worker_killed_before_the_start_loses_nothing_and_starts_it_once(
    root: Path, fake: FakeRunner, package: Path, ledger: Path, warm: str, state: str
) -> None:
    folder = await killed_worker(root, fake("good").to_json(), package, warm, state)
    assert noted(ledger) == []
    async with running(new_board(root, fake("good"), warm=warm == "warm")) as board:
        # a client that dials again says the same once more
        again = await board.receive(JOB, owner=OWNER, name="test", manifest_digest="0" * 64, options=TrainOptions())
        if folder.state().state is JobState.RECEIVED:
            shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
        await board.accept(again)
        events = await all_events(board, folder)
        await board.idle()
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert len(noted(ledger)) == 1
    assert_whole(folder)


@pytest.mark.parametrize(("state", "warm"), AFTER_THE_START)
async def test_a_worker_killed_after_the_start_finds_the_same_training_again(
    root: Path, fake: FakeRunner, package: Path, ledger: Path, warm: str, state: str
) -> None:
    trains_on = state in ("starting", "running")
    settings = fake("endless" if trains_on else "good")
    folder = await killed_worker(root, settings.to_json(), package, warm, state)
    async with running(new_board(root, settings, warm=warm == "warm")) as board:
        if trains_on:
            await events_until(board, folder, is_epoch_end)
            ((_, trainer),) = noted(ledger)
            known = board.summary(folder).last_seq
            await events_until(board, folder, lambda event: event.seq > known and is_epoch_end(event))
            assert lives(trainer)
            assert (board.busy, board.queued) == (1, 0)
            await board.command(folder, "stop")
        events = await all_events(board, folder)
        await board.idle()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert len(noted(ledger)) == 1
    assert_whole(folder)
    assert "one/best.ckpt" in [file.path for file in folder.results()]


@pytest.mark.parametrize(
    ("behaviour", "warm", "said"),
    [
        ("killed", "cold", "sleap-nn was ended by signal 9 (SIGKILL)."),
        ("killed", "warm", "sleap-nn was ended by signal 9 (SIGKILL)."),
        ("oom", "cold", "CUDA out of memory (exit code 1)."),
    ],
)
async def test_a_training_that_is_killed_or_out_of_memory_is_explained_and_the_next_one_starts(
    root: Path, fake: FakeRunner, tmp_path: Path, ledger: Path, warm: str, behaviour: str, said: str
) -> None:
    package = write_package(tmp_path / "package", {"talks": training_config()})
    async with running(new_board(root, fake(behaviour), warm=warm == "warm")) as board:
        folders = [await submit(board, package, f"j_1234567{number}") for number in range(2)]
        for folder in folders:
            events = await all_events(board, folder)
            assert of_type(events, "state")[-1].error.sentence.startswith(f"Run 'talks' failed: {said}")
            quoted = of_type(events, "run_ended")[0].error.sentence.splitlines()[2:]
            assert len(quoted) == 50
            assert "line 59" in quoted
        await board.idle()
    assert len(noted(ledger)) == 2
    assert_whole(*folders)


@WAYS
async def test_a_training_killed_from_outside_fails_and_its_supervisor_killed_is_lost(
    root: Path, fake: FakeRunner, package: Path, ledger: Path, warm: str
) -> None:
    async with running(new_board(root, fake("endless"), warm=warm == "warm")) as board:
        for number, state in enumerate((JobState.FAILED, JobState.LOST)):
            folder = await in_an_epoch(board, package, f"j_1234567{number}")
            _, trainer = noted(ledger)[-1]
            record = folder.supervisor()
            assert record is not None
            psutil.Process(trainer if state is JobState.FAILED else record.pid).kill()
            last = of_type(await all_events(board, folder), "state")[-1]
            assert last.state is state
            assert ("SIGKILL" if state is JobState.FAILED else "sleap-rtc jobs resume") in last.error.sentence
            await eventually(lambda trainer=trainer: not lives(trainer))  # type: ignore[misc]
            await board.idle()
            assert_whole(folder)
    assert len(noted(ledger)) == 2


async def test_a_restart_of_the_machine_loses_the_attempt_and_one_command_goes_on(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
    record = folder.supervisor()
    assert record is not None
    psutil.Process(record.pid).kill()
    await eventually(lambda: not lives(noted(ledger)[0][1]))
    # after it another process has the number, and even the same start time: only the boot tells
    own = this_process()
    folder.heartbeat(record.model_copy(update={"pid": own.pid, "started": own.started, "boot": "the one before"}))
    async with running(new_board(root, fake("endless"))) as board:
        known = await all_events(board, folder)
        assert of_type(known, "state")[-1].state is JobState.LOST
        assert f"sleap-rtc jobs resume {folder.job}" in of_type(known, "state")[-1].error.sentence
        await board.resume(folder)
        await events_until(board, folder, lambda event: event.seq > len(known) and is_epoch_end(event))
        events = await ended_by(board, folder, "stop")
        await board.idle()
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    epochs = [body.epoch for body in of_type(events, "epoch_ended")]
    # from the last checkpoint on: an epoch may have been saved that nobody was told of any more
    assert epochs == sorted(set(epochs))
    assert epochs[-1] > 0
    assert folder.state().state is JobState.DONE
    assert len(noted(ledger)) == 2
