"""Jobs that attack the machine they run on: they are ended with a sentence, and nobody else notices."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import Event, JobState
from tests.sandboxes import sandbox_for

from .aftermath import assert_whole, processes_of
from .conftest import (
    all_events,
    ended_by,
    events_until,
    eventually,
    is_epoch_end,
    new_board,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)
from .fakes import QUICK

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is counted is counted on Linux alone")

MB = 1024 * 1024
HOSTILE = Path(__file__).with_name("hostile_sleap_nn.py")
MOST_GAP = 5.0
"""Seconds for which neither a worker nor a supervisor may be silent, whatever a job does: a promise."""
BYSTANDER = "j_00000000"
BOTH = pytest.mark.parametrize("sandbox", [False, True], ids=["none", "sandboxed"])
ENDED = "Run '{}' was ended: "
ANYWHERE: dict[str, str | None] = {
    "fork-bomb": ENDED + "it has started more than 100 processes",
    "memory-hog": ENDED + "it has taken ",
    "shared-memory-hog": ENDED + "it has taken ",
    "disk-filler": ENDED + "it has written ",
    "flood": None,
    "deaf": None,
}
IN_A_SANDBOX: dict[str, str | None] = {
    "shm-filler": ENDED + "it has taken ",
    "tmp-filler": "Run '{}' failed: the worker's disk is full",
}
"""What each attack comes to. Without a sandbox these folders are the machine's own."""


class Pulse:
    """The longest silences: of this process's event loop, and of the supervisors of some jobs while they run."""

    def __init__(self) -> None:
        self.loop, self.supervisors = 0.0, 0.0
        self._last: dict[str, float] = {}

    async def take(self, folders: Sequence[JobFolder]) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.02)
            now = time.monotonic()
            self.loop, last = max(self.loop, now - last), now
            for folder in folders:
                record = folder.supervisor()
                if record is not None:
                    before = self._last.setdefault(folder.job, record.heartbeat)
                    self.supervisors = max(self.supervisors, record.heartbeat - before)
                    self._last[folder.job] = record.heartbeat

    @asynccontextmanager
    async def over(self, folders: Sequence[JobFolder]) -> AsyncIterator[None]:
        task = asyncio.ensure_future(self.take(folders))
        try:
            yield
        finally:
            task.cancel()


def settings_here(root: Path, *, sandbox: bool) -> SupervisorSettings:
    """Bounds that none of the attacks keeps, and that a fake training does."""
    ledger = root.parent / "seen" / "ledger"
    ledger.parent.mkdir()
    ledger.touch()
    return replace(
        QUICK,
        quota_look=0.1,
        load_look=0.1,
        max_processes=100,
        max_memory=300 * MB,
        max_work=20 * MB,
        runner=(sys.executable, str(HOSTILE), "--ledger", str(ledger)),
        sandbox=sandbox_for(root, readable=(HOSTILE.parents[1],), writable=(ledger.parent,)) if sandbox else None,
    )


async def submit_run(board: JobBoard, tmp_path: Path, name: str, job: str) -> JobFolder:
    package = write_package(tmp_path / "packages" / name, {name: training_config()})
    return await submit(board, package, job)


@BOTH
async def test_attacks_end_themselves_alone(root: Path, tmp_path: Path, *, sandbox: bool) -> None:
    attacks = ANYWHERE | IN_A_SANDBOX if sandbox else ANYWHERE
    pulse = Pulse()
    async with running(new_board(root, settings_here(root, sandbox=sandbox), slots=len(attacks) + 1)) as board:
        bystander = await submit_run(board, tmp_path, "one", BYSTANDER)
        await events_until(board, bystander, is_epoch_end)
        jobs = {
            name: await submit_run(board, tmp_path, name, f"j_1111111{number}") for number, name in enumerate(attacks)
        }
        async with pulse.over([bystander, *jobs.values()]):
            await events_until(board, jobs["deaf"], is_epoch_end)
            await board.command(jobs["deaf"], "stop")
            ends = {name: await all_events(board, folder) for name, folder in jobs.items()}
        known = board.summary(bystander).last_seq
        await events_until(board, bystander, lambda event: event.seq > known and is_epoch_end(event))
        await ended_by(board, bystander, "stop")
        await board.idle()
    assert {name: said(events, attacks[name], name) for name, events in ends.items()} == {
        name: sentence and sentence.format(name) for name, sentence in attacks.items()
    }
    assert_whole(bystander, *jobs.values())
    assert bystander.state().state is JobState.DONE
    assert not any(folder.scratch.exists() for folder in jobs.values())
    assert pulse.loop <= MOST_GAP
    assert pulse.supervisors <= MOST_GAP
    assert max(silent_at_the_end(folder, ends[name]) for name, folder in jobs.items()) <= MOST_GAP


@BOTH
async def test_a_supervisor_that_is_killed_leaves_nothing_running(root: Path, tmp_path: Path, *, sandbox: bool) -> None:
    async with running(new_board(root, settings_here(root, sandbox=sandbox))) as board:
        folder = await submit_run(board, tmp_path, "lurking", BYSTANDER)
        await events_until(board, folder, is_epoch_end)
        record = folder.supervisor()
        assert record is not None
        # they are started just after the epoch's end was told
        await eventually(lambda: len(processes_of(folder)) > 4)
        psutil.Process(record.pid).kill()
        async with asyncio.timeout(MOST_GAP):
            await eventually(lambda: not processes_of(folder))
        last = of_type(await all_events(board, folder), "state")[-1]
        await board.idle()
    assert last.state is JobState.LOST
    assert not folder.scratch.exists()


def silent_at_the_end(folder: JobFolder, events: list[Event]) -> float:
    """Seconds from a supervisor's last beat to the end of its job."""
    record = folder.supervisor()
    assert record is not None
    return events[-1].t / 1000 - record.heartbeat


def said(events: list[Event], wanted: str | None, name: str) -> str | None:
    """What is told of a job's failure, as far as it is foreseen."""
    last = of_type(events, "state")[-1]
    if last.error is None:
        return None
    return str(last.error.sentence)[: len(wanted.format(name)) if wanted else None]
