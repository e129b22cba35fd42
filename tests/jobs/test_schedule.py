"""Several slots and several GPUs: who starts when, on what, and what those who wait are told."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs import intake
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.estimate import Pace, Wanted, start_times
from sleap_rtc.jobs.events import read_events
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.jobs.gpus import Gpu, at_most, chosen, slots_for
from sleap_rtc.jobs.processes import this_process
from sleap_rtc.jobs.settings import SupervisorSettings
from sleap_rtc.protocol.jobs import (
    EpochEnded,
    EpochStarted,
    Event,
    JobSpec,
    JobState,
    Queued,
    Run,
    RunEnded,
    RunStarted,
)
from sleap_rtc.protocol.training import TrainOptions

from .conftest import (
    OWNER,
    FakeRunner,
    all_events,
    events_until,
    in_an_epoch,
    is_epoch_end,
    new_board,
    noted,
    of_type,
    running,
    submit,
    training_config,
    write_package,
)

FIRST, SECOND, THIRD = "j_11111111", "j_22222222", "j_33333333"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "package", {"one": training_config(max_epochs=1000)})


@pytest.fixture
def slow(fake: FakeRunner) -> SupervisorSettings:
    """A training that ends by itself, but long after any test."""
    settings = fake("good")
    return replace(settings, runner=(*settings.runner, "--pace", "0.02"))


def places(folder: JobFolder) -> list[Queued]:
    return of_type(read_events(folder.events), "queued")


def slots_of(folder: JobFolder) -> tuple[str, ...]:
    return folder.devices()[0]


def is_queued(event: Event) -> bool:
    return isinstance(event.body, Queued)


def is_known(event: Event) -> bool:
    return isinstance(event.body, Queued) and event.body.starts_in is not None


def is_at(position: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event.body, Queued) and event.body.position == position


def has_ended(epoch: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event.body, EpochEnded) and event.body.epoch >= epoch


async def call_off(board: JobBoard, *folders: JobFolder) -> None:
    for folder in reversed(folders):
        await board.command(folder, "cancel")
    async with asyncio.timeout(30):
        await board.idle()


async def test_a_job_that_waits_is_told_its_place_whenever_it_changes(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        first, second, third = [await submit(board, package, job) for job in (FIRST, SECOND, THIRD)]
        await events_until(board, third, is_queued)
        assert [place.position for place in places(third)] == [2]
        await board.command(second, "cancel")
        await events_until(board, third, is_at(1))
        await events_until(board, first, is_epoch_end)
        await board.command(first, "stop")
        events = await events_until(board, third, is_epoch_end)
        assert {body.position for body in of_type(events, "queued")} == {1, 2}
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert [slots_of(folder) for folder in (first, third)] == [("slot0",)] * 2
        await call_off(board, third)
    assert places(first) == []
    assert len(noted(ledger)) == 2


async def test_a_place_that_is_no_news_is_not_told_again_after_a_restart(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        first, second = [await submit(board, package, job) for job in (FIRST, SECOND)]
        await events_until(board, second, is_known)
    before = places(second)
    async with running(new_board(root, fake("good"))) as board:
        third = await submit(board, package, THIRD)
        await events_until(board, third, is_queued)
        assert places(second) == before
        assert board.summary(second).position == 1
        await call_off(board, first, second, third)


async def test_the_time_until_a_start_is_known_once_an_epoch_has_ended(
    root: Path, slow: SupervisorSettings, package: Path
) -> None:
    async with running(new_board(root, slow)) as board:
        first, second, third = [await submit(board, package, job) for job in (FIRST, SECOND, THIRD)]
        assert board.summary(second).starts_in is None
        await events_until(board, second, is_known)
        await events_until(board, third, is_known)
        next_, last = places(second)[-1].starts_in, places(third)[-1].starts_in
        assert next_ is not None
        assert last is not None
        # the one behind also waits for the thousand epochs of the one before it
        assert 0 < next_ < last
        assert board.summary(third).starts_in is not None
        assert board.summary(first).starts_in is None
        await call_off(board, first, second, third)


async def test_where_nobody_says_how_many_epochs_there_are_nothing_is_guessed(
    root: Path, fake: FakeRunner, tmp_path: Path
) -> None:
    package = write_package(tmp_path / "open", {"one": training_config(max_epochs=None)})
    async with running(new_board(root, fake("endless"))) as board:
        first, second = [await submit(board, package, job) for job in (FIRST, SECOND)]
        await events_until(board, first, has_ended(1))
        third = await submit(board, package, THIRD)
        await events_until(board, third, is_queued)
        summary = board.summary(second)
        assert (summary.state, summary.position, summary.starts_in) == (JobState.QUEUED, 1, None)
        await call_off(board, first, second, third)


async def test_a_job_of_two_gpus_waits_for_both_and_is_not_overtaken(
    root: Path, fake: FakeRunner, package: Path, ledger: Path
) -> None:
    async with running(new_board(root, fake("endless"), slots=2)) as board:
        small = await submit(board, package, FIRST)
        large = await submit(board, package, SECOND, options=TrainOptions(devices=2))
        later = await submit(board, package, THIRD)
        await events_until(board, small, is_epoch_end)
        await events_until(board, later, is_at(2))
        # one slot is free all the time, and the last job would fit
        assert (board.busy, board.taken, board.queued) == (1, 1, 2)
        await board.command(small, "stop")
        await events_until(board, large, is_epoch_end)
        assert json.loads((large.control / "devices.json").read_text()) == {
            "slots": ["slot0", "slot1"],
            "devices": ["GPU-0", "GPU-1"],
        }
        assert (board.busy, board.taken, board.queued) == (1, 2, 1)
        await board.command(large, "stop")
        await events_until(board, later, is_epoch_end)
        await call_off(board, later)
    assert len(noted(ledger)) == 3


async def test_what_an_earlier_worker_gave_out_is_not_given_out_again(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    async with running(new_board(root, fake("endless"), slots=4)) as board:
        large = await in_an_epoch(board, package, FIRST, options=TrainOptions(devices=2))
    async with running(new_board(root, fake("endless"), slots=4)) as board:
        small = await in_an_epoch(board, package, SECOND)
        assert (slots_of(large), slots_of(small)) == (("slot0", "slot1"), ("slot2",))
        assert board.taken == 3
        await call_off(board, large, small)


async def test_more_gpus_than_there_are_is_refused_before_any_file_is_sent(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    board = new_board(root, fake("good"), slots=2)
    with pytest.raises(ConfigError, match="takes 3 GPUs at once, and this worker has 2 GPUs"):
        await board.receive(FIRST, owner=OWNER, name="test", manifest_digest="0" * 64, options=TrainOptions(devices=3))
    assert not (root / FIRST).exists()


async def test_a_job_that_fits_no_longer_is_explained_and_the_next_one_runs(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    board = new_board(root, fake("good"), slots=2)
    large = await submit(board, package, FIRST, options=TrainOptions(devices=2))
    small = await submit(board, write_package(package, {"one": training_config()}), SECOND)
    async with running(new_board(root, fake("good"))) as board:
        states = of_type(await all_events(board, large), "state")
        await all_events(board, small)
        await board.idle()
    assert states[-1].state is JobState.FAILED
    assert "takes 2 GPUs at once, and this worker has 1 GPU" in states[-1].error.sentence
    assert small.state().state is JobState.DONE


@pytest.mark.parametrize(
    ("free_in", "waiting", "starts"),
    [
        ([60], [(1, 30), (1, 30)], [60, 90]),
        ([60, 10], [(1, 30), (1, 30), (1, 5)], [10, 40, 60]),
        # a job of two waits for both, and the small one behind it waits with it
        ([60, 10], [(2, 30), (1, 30)], [60, 90]),
        ([60, 10, 5], [(2, 30), (1, 30), (3, 1)], [10, 40, 70]),
        ([inf, 10], [(1, 30), (2, 30), (1, 1)], [10, inf, inf]),
        ([10], [(1, inf), (1, 1)], [10, inf]),
        ([0, 0], [(1, 5)], [0]),
    ],
)
def test_a_start_follows_from_what_is_before_it(
    free_in: list[float], waiting: list[tuple[int, float]], starts: list[float]
) -> None:
    assert start_times(free_in, [Wanted(*job) for job in waiting]) == starts


def test_the_time_left_counts_the_epochs_of_all_runs_to_come() -> None:
    runs = tuple(Run(name=name, model_type="x", config="x", max_epochs=10) for name in ("one", "two"))
    spec = JobSpec(job=FIRST, owner=OWNER, name="", manifest="0" * 64, submitted=0, runs=runs)
    pace = Pace(spec)
    bodies = [RunStarted(index=1, runs=2, model_type="x", max_epochs=10), EpochStarted(epoch=0), EpochEnded(epoch=0)]
    for seq, body in enumerate(bodies, 1):
        assert pace.seconds_left(0) == inf
        pace.apply(Event(seq=seq, t=2000 * seq, run="one", body=body))
    assert pace.seconds_left(6000) == 9 * 2 + 10 * 2
    assert pace.seconds_left(7000) == 8 * 2 + 1 + 10 * 2
    # an epoch that takes longer than the others, or a clock that was set, makes it neither shorter nor longer
    assert pace.seconds_left(60_000) == 8 * 2 + 10 * 2
    assert pace.seconds_left(0) == 9 * 2 + 10 * 2
    pace.apply(Event(seq=4, t=9000, run="one", body=RunEnded(outcome="done")))
    assert pace.seconds_left(9000) == 10 * 2


GPUS = [Gpu("A", 1, "GPU-aa11"), Gpu("B", 2, "GPU-ab22"), Gpu("C", 3, "GPU-cc33")]


@pytest.mark.parametrize(
    ("listed", "names"), [("0", "A"), ("2, 0", "CA"), ("GPU-cc,GPU-aa11", "CA"), ("1,GPU-c", "BC")]
)
def test_gpus_are_listed_by_index_or_uuid(listed: str, names: str) -> None:
    assert "".join(gpu.name for gpu in chosen(GPUS, listed)) == names


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("3", "'3' is no GPU that this worker may use: there is 0 (A, GPU-aa11)"), ("GPU-a", "'GPU-a' is no GPU"),
        ("", "'' is no GPU"), ("0,", "'' is no GPU"), ("-1", "'-1' is no GPU"), ("\x1b[31m", "is no GPU"),
        ("0,GPU-aa", "GPU-aa11 is listed twice"),
    ],
)  # fmt: skip
def test_an_entry_that_names_no_gpu_is_a_sentence(listed: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chosen(GPUS, listed)
    assert words in caught.value.sentence
    assert "\x1b" not in caught.value.sentence


def test_slots_are_gpus_or_shares_of_the_processor() -> None:
    assert at_most(GPUS, None) == GPUS
    assert [gpu.name for gpu in at_most(GPUS, 2)] == ["A", "B"]
    with pytest.raises(ConfigError, match="4 jobs at once need as many GPUs, and this worker may use 3 GPUs"):
        at_most(GPUS, 4)
    assert at_most([], 4) == []
    assert [slot.name for slot in slots_for([], 2)] == ["cpu0", "cpu1"]


async def test_on_a_processor_a_job_of_two_devices_takes_two_slots(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("endless"), slots=slots_for([], 3))) as board:
        large = await in_an_epoch(board, package, FIRST, options=TrainOptions(devices=2))
        assert large.devices() == (("cpu0", "cpu1"), ())
    # started again with fewer, what still runs counts, whatever its slots were called
    async with running(new_board(root, fake("endless"), slots=slots_for([], 1))) as board:
        small = await submit(board, package, SECOND)
        await events_until(board, small, is_queued)
        await board.command(large, "stop")
        await events_until(board, small, is_epoch_end)
        await call_off(board, small)


async def test_a_folder_that_vanishes_while_others_wait_stops_nobody(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        first, second, third = [await submit(board, package, job) for job in (FIRST, SECOND, THIRD)]
        await events_until(board, third, is_queued)
        second.remove()
        await events_until(board, first, is_epoch_end)
        await board.command(first, "stop")
        await events_until(board, third, is_epoch_end)
        await call_off(board, third)


async def test_what_a_supervisor_of_an_earlier_worker_claims_meanwhile_is_looked_after(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    board = new_board(root, fake("good"))
    folder = await submit(board, package)
    folder.write_devices(("GPU-0",), ("slot0",))
    folder.claim(this_process())
    intake.enter(folder, JobState.STARTING)
    await board._schedule._start_waiting()
    assert (board.queued, board.taken) == (0, 1)
    await board.refresh()
    assert (board.busy, folder.state().state) == (1, JobState.STARTING)


async def test_a_job_that_fits_no_longer_is_not_resumed(root: Path, fake: FakeRunner, package: Path) -> None:
    folder = await submit(new_board(root, fake("good"), slots=2), package, options=TrainOptions(devices=2))
    intake.end(folder, JobState.LOST)
    with pytest.raises(ConfigError, match="takes 2 GPUs at once, and this worker has 1 GPU"):
        await new_board(root, fake("good")).resume(folder)
    assert folder.state().state is JobState.LOST
