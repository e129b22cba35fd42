"""A job that was lost, failed or was stopped goes on where it was: same job, next attempt."""

import asyncio
import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from sleap_rtc.errors import BusyError, ConflictError, StorageError
from sleap_rtc.jobs import attempts
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.events import Journal, read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import Event, JobState
from tests.sandboxes import sandbox_if_any

from .conftest import (
    FakeRunner,
    all_events,
    assert_stopped_well,
    ended_by,
    events_until,
    eventually,
    fake_settings,
    in_an_epoch,
    is_epoch_end,
    names_in,
    new_board,
    noted,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)
from .ending import end_jobs

PATIENCE = 280


def kill_supervisor(folder: JobFolder) -> None:
    record = folder.supervisor()
    assert record is not None
    psutil.Process(record.pid).kill()


def epochs(events: list[Event], run: str = "one") -> list[int]:
    return [event.body.epoch for event in events if event.run == run and event.body.type == "epoch_ended"]


def states(events: list[Event]) -> list[tuple[int, JobState]]:
    return [(body.attempt, body.state) for body in of_type(events, "state")]


def logged_epochs(folder: JobFolder, run: str = "one") -> list[int]:
    with (folder.models / run / "training_log.csv").open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


async def lose(board: JobBoard, folder: JobFolder) -> None:
    """Kill the supervisor of a job that trains, and wait until the job is known to be lost."""
    await events_until(board, folder, lambda event: event.body.type == "epoch_ended" and event.body.epoch >= 2)
    kill_supervisor(folder)
    await all_events(board, folder)
    # the journal is written first
    await eventually(lambda: folder.state().state.ended)


async def stopped_job(root: Path, fake: FakeRunner, package: Path) -> JobFolder:
    """A job that was stopped in an epoch, which is a good end, and whose worker has left."""
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        assert states(await ended_by(board, folder, "stop"))[-1] == (1, JobState.DONE)
        await board.idle()
    return folder


async def resumed(board: JobBoard, folder: JobFolder) -> list[Event]:
    """Resume a job, and return its whole history when it is over again."""
    summary = await board.resume(folder)
    assert summary.state is JobState.QUEUED
    return await all_events(board, folder)


async def test_a_lost_job_goes_on_with_the_next_epoch(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await submit(board, package)
        await lose(board, folder)
        assert "sleap-rtc jobs resume j_12345678" in folder.state().error.sentence  # type: ignore[union-attr]
        before = epochs(read_events(folder.events))
        await board.resume(folder)
        last = board.summary(folder).last_seq
        await events_until(board, folder, lambda event: event.seq > last and is_epoch_end(event))
        events = await ended_by(board, folder, "stop")
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    found = epochs(events)
    # the epoch after the checkpoint's; of the last ones before the kill nothing may have been told
    assert noted(ledger, "resume") == [("one", found[len(before)])]
    assert found[len(before)] > before[-1]
    assert states(events)[-5:] == [
        (2, state)
        for state in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.FINISHING, JobState.DONE)
    ]
    assert logged_epochs(folder) == list(range(found[-1] + 1))
    assert names_in(folder.models) == ["one"]
    assert names_in(folder.control / "attempts/1") == ["commands", "devices.json", "exit.json", "supervisor.json"]
    assert len(noted(ledger)) == 2
    assert board.summary(folder).attempt == 2


async def test_runs_that_are_done_are_not_trained_again(
    root: Path, tmp_path: Path, fake: FakeRunner, ledger: Path
) -> None:
    package = write_package(
        tmp_path / "package", {"one": training_config("centroid"), "run2": training_config("centered_instance")}
    )
    async with running(new_board(root, fake("second-fails"))) as board:
        folder = await submit(board, package)
        assert states(await all_events(board, folder))[-1] == (1, JobState.FAILED)
        await board.idle()
    async with running(new_board(root, fake("good"))) as board:
        events = await resumed(board, folder)
    assert states(events)[-1] == (2, JobState.DONE)
    assert [run for run, _ in noted(ledger)] == ["one", "run2", "run2"]
    assert {file.path.split("/")[0] for file in folder.results()} == {"one", "run2"}
    record = folder.exit()
    assert record is not None
    assert [(run.name, run.outcome) for run in record.runs] == [("one", "done"), ("run2", "done")]


async def test_a_failed_run_goes_on_from_its_last_checkpoint(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("raises-once"))) as board:
        folder = await submit(board, package)
        assert states(await all_events(board, folder))[-1] == (1, JobState.FAILED)
        events = await resumed(board, folder)
    assert states(events)[-1] == (2, JobState.DONE)
    assert noted(ledger, "resume") == [("one", 1)]
    assert epochs(events) == [0, 1]
    assert logged_epochs(folder) == [0, 1]
    assert "goes on from its last checkpoint" in of_type(events, "notice")[-1].text


async def test_the_next_attempt_begins_with_the_config_that_was_checked_whatever_the_job_left_in_its_place(
    root: Path, fake: FakeRunner, package: Path, ledger: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "config.yaml"
    async with running(new_board(root, fake("raises-once"))) as board:
        folder = await submit(board, package)
        assert states(await all_events(board, folder))[-1] == (1, JobState.FAILED)
        found = folder.config_in_use("one")
        foreign.write_bytes(found.read_bytes().replace(b'"max_epochs": 2', b'"max_epochs": 9'))
        assert foreign.read_bytes() != found.read_bytes()
        found.unlink()
        found.symlink_to(foreign)
        events = await resumed(board, folder)
    assert states(events)[-1] == (2, JobState.DONE)
    assert epochs(events) == [0, 1]
    assert not found.is_symlink()
    assert b'"max_epochs": 9' in foreign.read_bytes()


async def test_a_run_without_a_checkpoint_begins_anew(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("no-model"))) as board:
        folder = await submit(board, package)
        assert states(await all_events(board, folder))[-1] == (1, JobState.FAILED)
        await board.idle()
    async with running(new_board(root, fake("good"))) as board:
        events = await resumed(board, folder)
    assert states(events)[-1] == (2, JobState.DONE)
    assert noted(ledger, "resume") == []
    assert "begins anew" in of_type(events, "notice")[-1].text


async def test_a_stopped_job_goes_on_and_a_finished_one_does_not(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    folder = await stopped_job(root, fake, package)
    stopped = logged_epochs(folder)
    assert len(folder.results()) > 0
    async with running(new_board(root, fake("good"))) as board:
        # so few epochs that the stopped run has had them all: its model is the result
        events = await resumed(board, folder)
        assert states(events)[-1] == (2, JobState.DONE)
        with pytest.raises(ConflictError, match="nothing to resume"):
            await board.resume(folder)
    assert noted(ledger, "resume") == [("one", stopped[-1] + 1)]
    assert logged_epochs(folder) == stopped
    assert {"one/best.ckpt", "one/last.ckpt"} <= {file.path for file in folder.results()}


async def test_a_stop_of_a_waiting_attempt_keeps_the_model(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    folder = await stopped_job(root, fake, package)
    board = new_board(root, fake("endless"))
    await board.resume(folder)
    await board.command(folder, "stop")
    async with running(board):
        events = await all_events(board, folder)
    assert states(events)[-1] == (2, JobState.DONE)
    assert "one/best.ckpt" in {file.path for file in folder.results()}
    assert len(noted(ledger)) == 1


@pytest.mark.parametrize("end", ["lost", "failed"])
async def test_a_model_that_could_be_fetched_still_can_be_after_a_worse_attempt(
    root: Path, tmp_path: Path, fake: FakeRunner, end: str
) -> None:
    package = write_package(tmp_path / "long", {"one": training_config(max_epochs=1_000_000)})
    folder = await stopped_job(root, fake, package)
    before = logged_epochs(folder)
    async with running(new_board(root, fake("endless" if end == "lost" else "raises"))) as board:
        await board.resume(folder)
        if end == "lost":
            last = board.summary(folder).last_seq
            await events_until(board, folder, lambda event: event.seq > last and is_epoch_end(event))
            kill_supervisor(folder)
        events = await all_events(board, folder)
    assert states(events)[-1] == (2, JobState(end))
    assert {"one/best.ckpt", "one/last.ckpt"} <= {file.path for file in folder.results()}
    assert logged_epochs(folder)[: len(before)] == before
    assert len(logged_epochs(folder)) > len(before)


async def test_a_cancelled_job_and_one_that_runs_are_not_resumed(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await in_an_epoch(board, package)
        with pytest.raises(ConflictError, match="jobs watch j_12345678"):
            await board.resume(folder)
        await ended_by(board, folder, "cancel")
        with pytest.raises(ConflictError, match="cancelled"):
            await board.resume(folder)
    assert states(read_events(folder.events))[-1] == (1, JobState.CANCELLED)


async def test_many_resumes_at_once_are_one_attempt(root: Path, fake: FakeRunner, package: Path, ledger: Path) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await submit(board, package)
        await lose(board, folder)
        summaries = await asyncio.gather(*(board.resume(folder) for _ in range(20)))
        assert {summary.attempt for summary in summaries} == {2}
        last = board.summary(folder).last_seq
        await events_until(board, folder, lambda event: event.seq > last and is_epoch_end(event))
        events = await ended_by(board, folder, "cancel")
    assert states(events).count((2, JobState.QUEUED)) == 1
    assert len(noted(ledger)) == 2
    assert not folder.models.exists()
    assert not folder.before.exists()


async def test_a_closed_board_resumes_nothing(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("raises"))) as board:
        folder = await submit(board, package)
        await all_events(board, folder)
        # the journal tells the end first
        await eventually(lambda: folder.state().state is JobState.FAILED)
        board.close_to_new()
        with pytest.raises(BusyError):
            await board.resume(folder)
    assert folder.state().state is JobState.FAILED


STEPS = ("promise_attempt", "set_aside", "append", "write_state", "keep_promise")


@dataclass(frozen=True)
class Failed:
    """A job that failed, in a folder that can be put back to how it was then."""

    folder: Path
    copy: Path

    @property
    def root(self) -> Path:
        return self.folder / "jobs"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    def put_back(self) -> JobFolder:
        end_jobs(self.root)
        shutil.rmtree(self.folder)
        shutil.copytree(self.copy, self.folder)
        return JobFolder(self.root / "j_12345678")


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Failed]:
    """What `raises-once` leaves behind, trained once for all who resume it."""
    above = tmp_path_factory.mktemp("failed")
    made = Failed(above / "now", above / "then")
    package = write_package(above / "package", {"one": training_config()})
    made.folder.mkdir()
    made.ledger.touch()

    async def fail() -> None:
        async with running(new_board(made.root, fake_settings(made.ledger, "raises-once"))) as board:
            await all_events(board, await submit(board, package))
            await board.idle()

    asyncio.run(fail())
    shutil.copytree(made.folder, made.copy)
    yield made
    end_jobs(made.root)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_at_any_step_leaves_the_old_end_or_the_next_attempt(
    failed: Failed, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    folder, good = failed.put_back(), fake_settings(failed.ledger)
    assert (folder.state().state, folder.state().attempt) == (JobState.FAILED, 1)
    with monkeypatch.context() as patch:
        owner = Journal if step == "append" else JobFolder
        real = getattr(owner, step)

        def crash(*args: object, **kwargs: object) -> None:
            if when == "after":
                real(*args, **kwargs)
            raise StorageError("The machine stopped here.")

        patch.setattr(owner, step, crash)
        with pytest.raises(StorageError):
            await new_board(failed.root, good).resume(folder)
    promised = (step, when) != ("promise_attempt", "before")
    async with running(new_board(failed.root, good)) as board:
        # the next start of the worker
        await eventually(lambda: folder.next_attempt() is None)
        await board.idle()
        if promised:
            await eventually(lambda: folder.state().attempt == 2 and folder.state().state is JobState.DONE)
        events = read_events(folder.events)
    if promised:
        assert states(events)[-5:] == [
            (2, state)
            for state in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING, JobState.FINISHING, JobState.DONE)
        ]
        assert len(noted(failed.ledger)) == 2
    else:
        assert states(events)[-1] == (1, JobState.FAILED)
        assert len(noted(failed.ledger)) == 1


async def test_a_watcher_of_a_resumed_job_sees_all_of_it(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("raises-once"))) as board:
        folder = await submit(board, package)
        first = await all_events(board, folder)
        early, late = await asyncio.gather(_resume_watched(board, folder, len(first)), resumed(board, folder))
        again = await all_events(board, folder)
    assert first + early == late == again


async def _resume_watched(board: JobBoard, folder: JobFolder, since: int) -> list[Event]:
    await eventually(lambda: folder.state().attempt == 2)
    return [event async for events in board.watch(folder, since) for event in events]


async def test_whoever_reads_the_end_may_resume_at_once(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("raises-once"))) as board:
        folder = await submit(board, package)
        await all_events(board, folder)
        await board.idle()
        # as it is between the two writes of an end
        record = folder.state()
        folder.write_state(record.model_copy(update={"state": JobState.FINISHING, "error": None}))
        assert attempts.may_resume(folder)
        folder.write_state(record)


@pytest.mark.real
@pytest.mark.timeout(600)
async def test_the_real_sleap_nn_goes_on_with_the_next_epoch(root: Path, tmp_path: Path, real_labels: bytes) -> None:
    config = training_config(max_epochs=5, train_steps_per_epoch=20, min_train_steps_per_epoch=20)
    package = write_package(tmp_path / "package", {"one": config}, real_labels)
    async with running(new_board(root, SupervisorSettings(stop_grace=120, sandbox=sandbox_if_any(root)))) as board:
        folder = await submit(board, package)
        await events_until(board, folder, lambda event: getattr(event.body, "epoch", 0) == 1, PATIENCE)
        await board.command(folder, "stop")
        first = await all_events(board, folder, PATIENCE)
        assert_stopped_well(folder, first)
        await board.resume(folder)
        events = await all_events(board, folder, PATIENCE)
    assert states(events)[-1] == (2, JobState.DONE)
    assert epochs(first)[-1] < 4
    assert epochs(events) == list(range(5))
    assert logged_epochs(folder) == list(range(5))
    assert names_in(folder.models) == ["one"]
    paths = {file.path for file in folder.results()}
    assert {"one/best.ckpt", "one/last.ckpt", "one/metrics.val.0.npz"} <= paths
