"""What happens at the same moment, again and again: a hundred submits, cancels beside ends, hundreds of jobs."""

import asyncio
import gc
import os
import random
import shutil
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from sleap_rtc.jobs import intake
from sleap_rtc.jobs.board import BoardSettings, JobBoard
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.gpus import Slot
from sleap_rtc.jobs.supervisor import Supervisor
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.training import TrainOptions

from .aftermath import assert_whole
from .conftest import (
    OWNER,
    FakeRunner,
    all_events,
    ended_by,
    events_until,
    is_epoch_end,
    new_board,
    noted,
    running,
    submit,
)
from .instant import InstantExecutor, InstantRun
from .instant import instant as instant

RACES = 500
CYCLES, AT_FIRST = 200, 40
MOST_GROWTH = 1.05


async def receive(board: JobBoard) -> JobFolder:
    return await board.receive("j_12345678", owner=OWNER, name="test", manifest_digest="0" * 64, options=TrainOptions())


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_the_same_submit_a_hundred_times_at_once_is_one_start(
    root: Path, fake: FakeRunner, package: Path, ledger: Path, *, warm: bool
) -> None:
    async with running(new_board(root, fake("good"), slots=4, warm=warm)) as board:
        folders = await asyncio.gather(*(receive(board) for _ in range(100)))
        shutil.copytree(package, folders[0].inputs, dirs_exist_ok=True)
        # it starts, and may even end, while many of them are still being answered
        summaries = await asyncio.gather(*(board.accept(folder) for folder in folders))
        await all_events(board, folders[0])
        await board.idle()
        assert (await board.accept(await receive(board))).state is JobState.DONE
    assert {summary.job for summary in summaries} == {"j_12345678"}
    assert len(noted(ledger)) == 1
    assert_whole(folders[0])


async def test_a_cancel_beside_the_end_leaves_one_end_five_hundred_times(
    tmp_path: Path, package: Path, instant: InstantExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose, root = random.Random(5), tmp_path / "jobs"
    first = await submit(JobBoard(root, slots=[Slot("cpu")], executor=instant), package, "j_10000000")
    folders = [_copy(first, f"j_2{number:07}") for number in range(RACES)]
    pauses = {folder.job: (choose.choice((0, 0, 0.001)), choose.choice((0, 0, 0.001))) for folder in folders}
    monkeypatch.setattr(InstantRun, "pauses", pauses)
    took = [0.01]
    interval = sys.getswitchinterval()
    # as if both were processes of their own: either may be held up between any two steps
    sys.setswitchinterval(1e-5)
    try:
        for folder in folders:
            # at any moment of it, and some time after, whatever it takes on this machine
            delay = choose.uniform(0, 1.3) * statistics.median(took[-20:])
            # a worker that cancels what waits may meet a supervisor that an earlier worker had started for it
            took.append(await asyncio.to_thread(_race, folder, delay, waiting=choose.random() < 0.5))
    finally:
        sys.setswitchinterval(interval)
    for folder in folders:
        assert_whole(folder)
        kept = [file.path for file in folder.results()]
        assert kept == (["one/best.ckpt"] if folder.state().state is JobState.DONE else [])
    ends = Counter(folder.state().state for folder in folders)
    # it was a race: both won, and often
    assert set(ends) == {JobState.DONE, JobState.CANCELLED}
    assert min(ends.values()) > RACES / 20


def _copy(first: JobFolder, job: str) -> JobFolder:
    folder = JobFolder(first.path.with_name(job))
    shutil.copytree(first.path, folder.path)
    spec = first.spec().model_copy(update={"job": job})
    folder.write_spec(spec)
    return folder


def _race(folder: JobFolder, delay: float, *, waiting: bool) -> float:
    """Run a job and cancel it a moment later, as two processes would; return the seconds that the job took."""
    at_once, took = threading.Barrier(2), 0.0

    def supervise() -> None:
        nonlocal took
        at_once.wait()
        began = time.perf_counter()
        Supervisor(folder, InstantExecutor.settings).run()
        took = time.perf_counter() - began

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    at_once.wait()
    time.sleep(delay)
    intake.command(folder, "cancel", waiting=waiting)
    supervisor.join()
    # what a worker does that finds a job without a supervisor
    intake.settle(folder)
    return took


async def test_real_trainings_that_are_cancelled_in_their_last_epoch_have_one_end(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("good"), slots=3)) as board:
        folders = [await submit(board, package, f"j_1234567{number}") for number in range(3)]

        async def cancel(folder: JobFolder, number: int) -> None:
            await events_until(board, folder, lambda event: is_epoch_end(event) and event.body.epoch == min(1, number))  # type: ignore[union-attr]
            await ended_by(board, folder, "cancel")

        await asyncio.gather(*(cancel(folder, number) for number, folder in enumerate(folders)))
        await board.idle()
    assert len(noted(ledger)) == 3
    for folder in folders:
        assert folder.state().state in (JobState.DONE, JobState.CANCELLED)
        assert bool(folder.results()) == (folder.state().state is JobState.DONE)
    assert_whole(*folders)


async def test_two_hundred_jobs_leave_the_worker_as_large_as_it_was(
    tmp_path: Path, package: Path, instant: InstantExecutor
) -> None:
    board = JobBoard(
        tmp_path / "jobs", slots=[Slot("cpu")], executor=instant, settings=BoardSettings(poll=0.01, watch=0.002)
    )
    me, sizes = psutil.Process(), []
    async with running(board):
        for number in range(CYCLES + AT_FIRST):
            folder = await submit(board, package, f"j_2{number:07}")
            await all_events(board, folder)
            if number % AT_FIRST == AT_FIRST - 1:
                await board.idle()
                gc.collect()
                sizes.append((len(os.listdir("/proc/self/fd")), me.memory_info().rss, len(asyncio.all_tasks())))  # noqa: PTH208
    (files, memory, tasks), *_, last = sizes
    assert last[0] <= files * MOST_GROWTH
    assert last[1] <= memory * MOST_GROWTH
    assert last[2] <= tasks


@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
async def test_no_job_leaves_a_file_open_in_the_worker(
    root: Path, fake: FakeRunner, package: Path, *, warm: bool
) -> None:
    opened: list[int] = []
    async with running(new_board(root, fake("good"), warm=warm)) as board:
        for number in range(3):
            await all_events(board, await submit(board, package, f"j_1234567{number}"))
            await board.idle()
            opened.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    # of warm ones another may wait by then: a pipe and its output
    assert max(opened[1:]) <= opened[0] + 2 * warm
