"""Disks that fill up, folders that vanish, workers that die in between: one odd job never ends the worker."""

import asyncio
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.errors import BusyError, ConflictError, StorageError
from sleap_rtc.jobs import files, intake
from sleap_rtc.jobs.board import BoardSettings, JobBoard
from sleap_rtc.jobs.events import Journal, read_events
from sleap_rtc.jobs.folder import ExitRecord, JobFolder
from sleap_rtc.jobs.gpus import Slot
from sleap_rtc.jobs.plan import Plan
from sleap_rtc.jobs.processes import ProcessRecord
from sleap_rtc.protocol.jobs import JobSpec, JobState, Notice
from sleap_rtc.protocol.training import TrainOptions

from .aftermath import assert_whole
from .conftest import (
    OWNER,
    FakeRunner,
    all_events,
    eventually,
    names_in,
    new_board,
    noted,
    running,
    submit,
)

DEAD = ProcessRecord(host="elsewhere", boot="x", pid=1, started=0, heartbeat=0)


async def receive(board: Any, job: str = "j_12345678") -> JobFolder:
    folder: JobFolder = await board.receive(
        job, owner=OWNER, name="test", manifest_digest="0" * 64, options=TrainOptions()
    )
    return folder


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def read_only(*_: object, **__: object) -> None:
    raise OSError(30, "Read-only file system")


async def test_a_client_that_vanishes_while_its_job_is_accepted_loses_nothing(
    root: Path, fake: FakeRunner, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = new_board(root, fake("good"))
    folder = await receive(board)
    shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
    entered, go_on, real = threading.Event(), threading.Event(), intake.accept

    def slow(folder: JobFolder, plan: Plan | None) -> None:
        entered.set()
        assert go_on.wait(30)
        real(folder, plan)

    monkeypatch.setattr(intake, "accept", slow)
    caller = asyncio.ensure_future(board.accept(folder))
    await asyncio.to_thread(entered.wait, 30)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    second = asyncio.ensure_future(board.accept(folder))
    go_on.set()
    assert (await second).position == 1
    assert board.queued == 1


def test_a_new_folder_has_its_state_from_the_first_moment(root: Path) -> None:
    root.mkdir()
    spec = JobSpec(job="j_12345678", owner=OWNER, name="n", manifest="0" * 64, submitted=1)
    folder = JobFolder.create(root / spec.job, spec)
    assert [(found.job, state) for found, state in intake.unfinished(root)] == [(folder.job, JobState.RECEIVED)]


@pytest.mark.parametrize("damage", ["no-state", "torn-state", "torn-journal", "no-spec", "torn-devices"])
async def test_a_damaged_folder_leaves_the_others_alone(
    root: Path, fake: FakeRunner, package: Path, damage: str
) -> None:
    board = new_board(root, fake("good"))
    odd, good = await submit(board, package, "j_11111111"), await submit(board, package, "j_22222222")
    if damage == "no-state":
        (odd.control / "state.json").unlink()
        odd.events.unlink()
    elif damage == "torn-state":
        (odd.control / "state.json").write_bytes(b'{"sta')
    elif damage == "torn-journal":
        odd.events.write_bytes(b'{"seq": 1{"seq": 2\n')
    elif damage == "no-spec":
        (odd.path / "spec.json").unlink()
    else:
        odd.claim(DEAD)
        (odd.control / "devices.json").write_bytes(b'{"slo')
    async with running(new_board(root, fake("good"))) as board:
        await all_events(board, good)
        assert good.job in [summary.job for summary in board.summaries()]
        if damage == "torn-state":
            await all_events(board, odd)
            await eventually(lambda: odd.state().state is JobState.DONE)
    await eventually(lambda: good.state().state is JobState.DONE)


class Idle:
    """An executor whose supervisors live until they are told to be gone."""

    def __init__(self) -> None:
        self.living = True

    def start(self, folder: JobFolder, wandb_key: str | None = None) -> None:
        """Start nothing."""

    def alive(self, folder: JobFolder) -> bool:
        return self.living

    def clean_up(self, folder: JobFolder) -> None:
        """There is nothing to end."""

    def keep_warm(self, count: int) -> None:
        """There is nothing to warm."""

    def close(self) -> None:
        """There is nothing to end here either."""


def idle_board(root: Path, executor: Idle) -> JobBoard:
    return JobBoard(root, slots=[Slot("cpu")], executor=executor, settings=BoardSettings(poll=0.05, watch=0.02))


async def test_a_job_whose_folder_is_deleted_gives_its_slot_back(root: Path, package: Path) -> None:
    executor = Idle()
    board = idle_board(root, executor)
    running_job, waiting = await submit(board, package, "j_11111111"), await submit(board, package, "j_22222222")
    async with running(board):
        await eventually(lambda: board.busy == 1)
        shutil.rmtree(running_job.path)
        await board.refresh()
        assert board.busy == 1
        shutil.rmtree(waiting.path)
        executor.living = False
        async with asyncio.timeout(30):
            await board.idle()


@pytest.mark.parametrize(("error", "said"), [(full, "No space left"), (read_only, "Read-only file system")])
async def test_a_job_waits_while_the_disk_is_full_or_read_only(
    root: Path, fake: FakeRunner, package: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    error: Callable[..., None], said: str,
) -> None:  # fmt: skip
    board = new_board(root, fake("good"))
    folder = await submit(board, package)
    with monkeypatch.context() as patch:
        patch.setattr(files, "_write", error)
        async with running(board):
            await eventually(lambda: said in caplog.text)
            # it has just been tried, and is put back
            await eventually(lambda: (board.busy, board.queued) == (0, 1))
            # long enough for further looks, which say nothing new
            starts = caplog.text.count("devices.json")
            for _ in range(3):
                await board.refresh()
            await eventually(lambda: "exit.json" in caplog.text)
            assert caplog.text.count("devices.json") == starts == 1
    async with running(board):
        await all_events(board, folder)
        await board.idle()
    assert folder.state().state is JobState.DONE


async def test_an_end_that_cannot_be_written_is_written_later_and_holds_no_slot(
    root: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Idle()
    board = idle_board(root, executor)
    folder = await submit(board, package)
    async with running(board):
        await eventually(lambda: board.busy == 1)
        with monkeypatch.context() as patch:
            patch.setattr(files, "_write", full)
            executor.living = False
            await board.refresh()
            assert board.busy == 0
        await eventually(lambda: folder.state().state is JobState.LOST)


async def test_two_may_look_at_once(root: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, settled = Idle(), []
    board = idle_board(root, executor)
    folder = await submit(board, package)
    async with running(board):
        await eventually(lambda: board.busy == 1)
        monkeypatch.setattr(intake, "settle", lambda folder: settled.append(folder.job))
        executor.living = False
        await asyncio.gather(*(board.refresh() for _ in range(5)))
    assert settled == [folder.job]


def test_a_short_write_leaves_the_journal_whole(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "events.jsonl"
    with Journal(path) as journal:
        journal.append(Notice(text="one"))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size + 40, before[1]))
        try:
            with pytest.raises(StorageError, match="space"):
                journal.append(Notice(text="x" * 100))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        journal.append(Notice(text="two"))
    assert [(event.seq, event.body.text) for event in read_events(path)] == [(1, "one"), (2, "two")]  # type: ignore[union-attr]


def test_a_damaged_journal_is_told_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"seq": 1{"seq": 2\n')
    with pytest.raises(StorageError, match="is damaged"):
        read_events(path)


async def test_a_cancel_on_a_full_disk_wedges_nothing(
    root: Path, fake: FakeRunner, package: Path, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board = new_board(root, fake("good"))
    folder = await submit(board, package)
    with monkeypatch.context() as patch:
        patch.setattr(intake, "enter", full)
        with pytest.raises(OSError, match="No space"):
            await board.command(folder, "cancel")
    assert folder.supervisor() is None
    async with running(board):
        async with asyncio.timeout(30):
            await board.idle()
    assert folder.state().state is JobState.CANCELLED
    assert noted(ledger) == []


async def test_a_worker_that_died_while_it_cancelled_is_understood(root: Path, fake: FakeRunner, package: Path) -> None:
    folder = await submit(new_board(root, fake("good")), package)
    folder.send_command("cancel")
    folder.claim(DEAD)
    async with running(new_board(root, fake("good"))) as board:
        await all_events(board, folder)
        await board.idle()
    assert folder.state().state is JobState.CANCELLED


async def test_a_job_can_be_cancelled_while_its_files_arrive(root: Path, fake: FakeRunner, package: Path) -> None:
    board = new_board(root, fake("good"))
    folder = await receive(board)
    await board.command(folder, "cancel")
    assert folder.state().state is JobState.CANCELLED
    shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
    with pytest.raises(ConflictError, match="cancelled while"):
        await board.accept(folder)


async def test_a_job_that_was_staged_and_no_more_is_taken_up_again(
    root: Path, fake: FakeRunner, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    board, real = new_board(root, fake("good")), intake.enter
    folder = await receive(board)
    shutil.copytree(package, folder.inputs, dirs_exist_ok=True)

    def no_queue(folder: JobFolder, state: JobState, *rest: Any) -> None:
        if state is JobState.QUEUED:
            raise StorageError("The disk is full.")
        real(folder, state, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(intake, "enter", no_queue)
        with pytest.raises(StorageError):
            await board.accept(folder)
    assert folder.state().state is JobState.STAGED
    summary = await board.accept(folder)
    assert (summary.state, summary.position) == (JobState.QUEUED, 1)


async def test_a_client_that_is_back_while_a_restarted_worker_takes_its_job_up_queues_it_no_second_time(
    root: Path, fake: FakeRunner, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = await receive(new_board(root, fake("good")))
    shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
    plan = intake.prepare(folder)
    assert plan is not None
    folder.write_spec(folder.spec().model_copy(update={"runs": plan.runs}))
    intake.enter(folder, JobState.STAGED)
    entered, go_on, real = threading.Event(), threading.Event(), intake.resume

    def slow(folder: JobFolder, state: JobState) -> bool:
        entered.set()
        assert go_on.wait(30)
        return real(folder, state)

    monkeypatch.setattr(intake, "resume", slow)
    async with running(new_board(root, fake("good"))) as board:
        await asyncio.to_thread(entered.wait, 30)
        asking = asyncio.create_task(board.accept(folder))
        lock = board._schedule.lock(folder.job)
        await eventually(lambda: asking.done() or bool(lock._waiters))
        go_on.set()
        assert (await asking).state in (JobState.QUEUED, JobState.STARTING)
        await all_events(board, folder)
        await board.idle()
    assert folder.state().state is JobState.DONE
    assert_whole(folder)


async def test_what_a_supervisor_wrote_down_before_it_died_counts(root: Path, fake: FakeRunner, package: Path) -> None:
    folder = await submit(new_board(root, fake("good")), package)
    folder.claim(DEAD)
    intake.enter(folder, JobState.STARTING)
    intake.enter(folder, JobState.RUNNING)
    folder.write_exit(ExitRecord(state=JobState.DONE))
    intake.settle(folder)
    assert folder.state().state is JobState.DONE


async def test_uploads_that_nobody_went_on_with_are_removed(root: Path, fake: FakeRunner) -> None:
    board = new_board(root, fake("good"))
    old, fresh, touched = [await receive(board, f"j_1234567{number}") for number in range(3)]
    (touched.inputs / "part").touch()
    for folder in (old, touched):
        for path in [folder.path, *folder.path.rglob("*")]:
            if path.name != "part":
                os.utime(path, (0, 0))
    async with running(new_board(root, fake("good"))) as board:
        await board.idle()
    assert names_in(root) == [fresh.job, touched.job]


async def test_nobody_begins_more_than_eight_uploads(root: Path, fake: FakeRunner) -> None:
    board = new_board(root, fake("good"))
    for number in range(8):
        last = await receive(board, f"j_1234567{number}")
    with pytest.raises(BusyError, match="8 of your jobs"):
        await receive(board, "j_99999999")
    await board.command(last, "cancel")
    await receive(board, "j_99999999")


def test_a_folder_is_removed_however_deep_a_job_has_nested_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    doomed = tmp_path / "doomed"
    (doomed / "closed").mkdir(parents=True)
    (doomed / "closed" / "file").touch()
    (doomed / "closed").chmod(0)
    (doomed / "link").symlink_to(tmp_path / "kept")
    descriptor = os.open(doomed, os.O_RDONLY)
    # deeper than Python calls, and longer than a path may be
    for _ in range(1500):
        os.mkdir("folder", dir_fd=descriptor)
        above, descriptor = descriptor, os.open("folder", os.O_RDONLY, dir_fd=descriptor)
        os.close(above)
    os.close(descriptor)
    files.remove_tree(doomed)
    assert names_in(tmp_path) == ["kept"]
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    files.remove_tree(tmp_path / "link")
    assert names_in(tmp_path / "kept") == ["file"]


def test_a_worker_removes_what_a_self_test_left_long_ago(root: Path) -> None:
    for name, age in ((".selftest-old", intake.ABANDONED_AFTER + 60), (".selftest-new", 60)):
        (root / name / "j_selftest").mkdir(parents=True)
        then = time.time() - age
        os.utime(root / name, (then, then))
    intake.clear_leftovers(root)
    assert names_in(root) == [".selftest-new"]
