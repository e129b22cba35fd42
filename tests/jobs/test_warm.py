"""Warm supervisors: ready before their job, used once, replaced, and never in the way of a job when they fail."""

import asyncio
import logging
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sleap_rtc.jobs import warm
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.training import TrainOptions

from .conftest import (
    OWNER,
    FakeRunner,
    all_events,
    ended_by,
    eventually,
    in_an_epoch,
    lives,
    new_board,
    noted,
    of_type,
    running,
    submit,
    surroundings,
)

KEEP_ONE = """
import sys, time
from sleap_rtc.jobs.executor import LocalExecutor
from sleap_rtc.jobs.settings import SupervisorSettings

executor = LocalExecutor(SupervisorSettings.from_json(sys.argv[1]), warm=True)
executor.keep_warm(1)
"""
WAIT = KEEP_ONE + "time.sleep(600)"
HAND_OVER_AND_DIE = (
    KEEP_ONE
    + """
import os, signal
from pathlib import Path
from sleap_rtc.jobs.folder import JobFolder

# stopped, so that the worker is gone before its supervisor has read what it was told
os.kill(executor._warm._waiting[0].pid, signal.SIGSTOP)
executor.start(JobFolder(Path(sys.argv[2])))
os.kill(os.getpid(), signal.SIGKILL)
"""
)


def processes(ledger: Path, *, of: str = "") -> list[psutil.Process]:
    """Those of this test, for their command lines name its ledger; only those that run the module `of`."""
    found = []
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            if str(ledger) in " ".join(line) and any(of in word for word in line[1:3]):
                found += [process] if process.status() != psutil.STATUS_ZOMBIE else []
        except psutil.NoSuchProcess:
            continue
    return found


def warm_ones(ledger: Path) -> list[psutil.Process]:
    """Supervisors that were started without a job."""
    found = []
    for each in processes(ledger, of="jobs.supervisor"):
        with suppress(psutil.NoSuchProcess):  # it may end between two looks
            found += [each] if "--settings" in each.cmdline()[3:4] else []
    return found


def runners(ledger: Path) -> list[psutil.Process]:
    return processes(ledger, of="fake_sleap_nn")


async def one_that_waits(ledger: Path) -> psutil.Process:
    """The warm supervisor, once its runner is started as well."""
    await eventually(lambda: bool(warm_ones(ledger) and runners(ledger)))
    return warm_ones(ledger)[0]


def none_left(ledger: Path) -> bool:
    return not processes(ledger)


async def test_a_job_takes_the_one_that_waits_and_it_is_replaced(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("good"), warm=True)) as board:
        waiting, (runner,) = await one_that_waits(ledger), runners(ledger)
        folder = await submit(board, package)
        events = await all_events(board, folder)
        record = folder.supervisor()
        assert record is not None
        assert record.pid == waiting.pid
        assert noted(ledger) == [("one", runner.pid)]
        assert of_type(events, "state")[-1].state is JobState.DONE
        await eventually(lambda: not lives(waiting.pid))
        await one_that_waits(ledger)
    assert none_left(ledger)


async def test_a_warm_runner_is_in_the_same_surroundings_as_a_cold_one(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    found = []
    for is_warm in (False, True):
        async with running(new_board(root, fake("good"), warm=is_warm)) as board:
            if is_warm:
                await one_that_waits(ledger)
            folder = await submit(board, package, f"j_1234567{is_warm:d}")
            await all_events(board, folder)
        text = {name: value.replace(folder.job, "JOB") for name, value in surroundings(ledger).items()}
        found.append(text | {"SLEAP_RTC_JOB": ""})
    assert found[0] == found[1]
    assert found[1]["CUDA_VISIBLE_DEVICES"] == "GPU-0"


async def test_one_that_dies_while_it_waits_is_replaced(root: Path, fake: FakeRunner, ledger: Path) -> None:
    async with running(new_board(root, fake("good"), warm=True)):
        first = await one_that_waits(ledger)
        first.kill()
        await eventually(lambda: any(each.pid != first.pid for each in warm_ones(ledger)))
        await eventually(lambda: len(runners(ledger)) == 1)
    assert none_left(ledger)


async def test_one_whose_runner_dies_leaves_and_says_why(
    root: Path, fake: FakeRunner, ledger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(new_board(root, fake("missing"), warm=True)):
        await eventually(lambda: "No module named 'sleap_nn'" in caplog.text)
    assert "A runner ended before it had a job (exit code 1)" in caplog.text
    assert none_left(ledger)


async def test_a_job_starts_cold_where_the_warm_one_died_before_its_claim(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("good"), warm=True)) as board:
        waiting = await one_that_waits(ledger)
        waiting.suspend()
        folder = await submit(board, package)
        await eventually(lambda: board.busy == 1)
        assert folder.supervisor() is None
        waiting.kill()
        events = await all_events(board, folder)
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert len(noted(ledger)) == 1


async def test_a_job_gets_another_runner_where_the_warm_one_had_died(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("good"), warm=True)) as board:
        waiting, (runner,) = await one_that_waits(ledger), runners(ledger)
        waiting.suspend()
        runner.kill()
        folder = await submit(board, package)
        await eventually(lambda: board.busy == 1)
        waiting.resume()
        events = await all_events(board, folder)
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert len(noted(ledger)) == 1


async def test_a_job_gets_another_runner_where_the_warm_one_dies_before_it_is_ready(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("slow-import"), warm=True)) as board:
        waiting, (runner,) = await one_that_waits(ledger), runners(ledger)
        folder = await submit(board, package)
        await eventually(lambda: folder.supervisor() is not None)
        runner.kill()
        ledger.with_suffix(".imported").touch()
        events = await all_events(board, folder)
        record = folder.supervisor()
    assert record is not None
    assert record.pid == waiting.pid
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert len(noted(ledger)) == 1


async def test_what_a_lost_warm_supervisor_left_behind_is_ended(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("daemon"), warm=True)) as board:
        waiting = await one_that_waits(ledger)
        folder = await in_an_epoch(board, package)
        ((_, daemon),) = noted(ledger, "daemon")
        waiting.kill()
        events = await all_events(board, folder)
        assert of_type(events, "state")[-1].state is JobState.LOST
        await eventually(lambda: not lives(daemon))


async def test_a_job_of_several_gpus_starts_cold(root: Path, fake: FakeRunner, ledger: Path, package: Path) -> None:
    async with running(new_board(root, fake("good"), slots=2, warm=True)) as board:
        await eventually(lambda: len(warm_ones(ledger)) == 2)
        waiting = {each.pid for each in warm_ones(ledger)}
        options = TrainOptions(devices=2)
        folder = await board.receive("j_12345678", owner=OWNER, name="test", manifest_digest="0" * 64, options=options)
        shutil.copytree(package, folder.inputs, dirs_exist_ok=True)
        await board.accept(folder)
        await all_events(board, folder)
        record = folder.supervisor()
    assert record is not None
    assert record.pid not in waiting


async def test_without_memory_nothing_is_kept_warm_and_that_is_said_once(
    root: Path, fake: FakeRunner, ledger: Path, package: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(warm, "WARM_MEMORY", 2**60)
    with caplog.at_level(logging.WARNING):
        async with running(new_board(root, fake("good"), warm=True)) as board:
            for job in ("j_11111111", "j_22222222"):
                await all_events(board, await submit(board, package, job))
    assert caplog.text.count("kept warm") == 1
    assert len(noted(ledger)) == 2


def test_one_that_cannot_start_is_tried_again_after_longer_and_longer_pauses(
    fake: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, pauses = [1000.0], []

    def refuse(*_: object) -> tuple[int, int]:
        pauses.append(now[0])
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(warm, "spawn", refuse)
    monkeypatch.setattr("sleap_rtc.jobs.warm.time.monotonic", lambda: now[0])
    pool = warm.WarmPool(fake("good"))
    for _ in range(400):
        pool.keep(2)
        now[0] += 1.0
    assert pauses == [1000.0 + at for at in (0, 1, 3, 7, 15, 31, 63, 127, 255)]


async def test_a_killed_worker_leaves_none_that_waits(fake: FakeRunner, ledger: Path) -> None:
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WAIT, fake("good").to_json())
    waiting = await one_that_waits(ledger)
    assert os.getsid(waiting.pid) == waiting.pid
    worker.kill()
    await worker.wait()
    await eventually(lambda: none_left(ledger))


@pytest.mark.parametrize("first", ["warm", "next worker"])
async def test_a_worker_killed_while_it_hands_over_starts_nothing_twice(
    root: Path, fake: FakeRunner, ledger: Path, package: Path, first: str
) -> None:
    folder = await submit(new_board(root, fake("good")), package)
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HAND_OVER_AND_DIE, fake("good").to_json(), str(folder.path)
    )
    assert await worker.wait() == -signal.SIGKILL
    assert folder.supervisor() is None
    (waiting,) = warm_ones(ledger)
    if first == "warm":
        waiting.resume()
    async with running(new_board(root, fake("good"))) as board:
        if first == "next worker":
            await eventually(lambda: folder.supervisor() is not None)
            waiting.resume()
        events = await all_events(board, folder)
        await board.idle()
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert len(noted(ledger)) == 1
    await eventually(lambda: none_left(ledger))


async def test_a_running_job_is_not_tied_to_the_worker_that_handed_it_over(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("endless"), warm=True)) as board:
        waiting = await one_that_waits(ledger)
        folder = await in_an_epoch(board, package)
    assert lives(waiting.pid)
    opened = {str(Path(f"/proc/{waiting.pid}/fd/{each}").readlink()) for each in (0, 1, 2)}  # noqa: ASYNC240
    assert opened == {"/dev/null", str(folder.supervisor_log)}
    async with running(new_board(root, fake("endless"))) as board:
        events = await ended_by(board, folder, "stop")
    assert of_type(events, "state")[-1].state is JobState.DONE
    assert len(noted(ledger)) == 1


def test_a_closed_executor_keeps_nothing_warm(fake: FakeRunner, ledger: Path) -> None:
    executor = LocalExecutor(fake("good"), warm=True)
    executor.keep_warm(1)
    executor.close()
    executor.keep_warm(1)
    assert none_left(ledger)


async def test_the_signal_that_ends_what_does_not_leave_reaches_it(
    fake: FakeRunner, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_LEAVES_WITHIN", 0.2)
    executor = LocalExecutor(fake("good"), warm=True)
    executor.keep_warm(1)
    # a process that has just been started has no command line for a moment
    await eventually(lambda: bool(processes(ledger)))
    (waiting,) = processes(ledger)
    os.kill(waiting.pid, signal.SIGSTOP)
    executor.close()
    assert not lives(waiting.pid)


def test_a_supervisor_that_is_gone_before_it_is_told_its_job_is_a_lost_job_and_no_error(
    root: Path, fake: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(command: list[str], _: int) -> tuple[int, int]:
        read, write = os.pipe()
        os.close(read)
        pids.append(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ))
        return pids[0], write

    pids: list[int] = []

    monkeypatch.setattr("sleap_rtc.jobs.executor.spawn", gone)
    folder = JobFolder(root / "j_12345678")
    folder.control.mkdir(parents=True)
    executor = LocalExecutor(fake("good"))
    executor.start(folder)
    os.waitid(os.P_PID, pids[0], os.WEXITED | os.WNOWAIT)
    assert not executor.alive(folder)
