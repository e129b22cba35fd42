"""Inference as a job: its events, its end, and what comes of it when something goes wrong."""

from pathlib import Path
from typing import Any

import psutil
import pytest

from sleap_rtc.errors import ConfigError
from sleap_rtc.jobs.board import JobBoard
from sleap_rtc.jobs.progress import Progress
from sleap_rtc.protocol.inference import DataInput, TrackOptions
from sleap_rtc.protocol.jobs import Event, Frames, JobState
from sleap_rtc.protocol.models import RoomModel

from .conftest import (
    FakeRunner,
    all_events,
    ended_by,
    events_until,
    eventually,
    lives,
    new_board,
    noted,
    of_type,
    running,
    submit,
)
from .test_track_plan import model

OPTIONS = TrackOptions(model_folders=("models/single",), data=(DataInput(path="one.mp4"), DataInput(path="two.mp4")))
ONE = OPTIONS.model_copy(update={"data": OPTIONS.data[:1]})


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A model and two clips."""
    folder = tmp_path / "package"
    model(folder / "models/single", "single_instance")
    for name in ("one", "two"):
        (folder / f"{name}.mp4").write_bytes(b"a clip")
    return folder


def states(events: list[Event]) -> list[JobState]:
    return [body.state for body in of_type(events, "state")]


def is_frames(event: Event) -> bool:
    return isinstance(event.body, Frames)


async def test_each_input_leaves_its_predictions(root: Path, fake: FakeRunner, ledger: Path, package: Path) -> None:
    async with running(new_board(root, fake("good"))) as board:
        folder = await submit(board, package, options=OPTIONS)
        events = await all_events(board, folder)
    assert states(events)[-1] is JobState.DONE
    assert [run for run, _ in noted(ledger)] == ["one", "two"]
    started = of_type(events, "run_started")
    assert [(body.index, body.runs, body.verb) for body in started] == [(1, 2, "track"), (2, 2, "track")]
    last = of_type(events, "frames")[-1]
    assert (last.stage, last.done, last.total) == ("predict", 20, 20)
    assert [file.path for file in folder.results()] == ["one/one.predictions.slp", "two/two.predictions.slp"]


async def test_a_stop_leaves_whole_predictions_or_none(root: Path, fake: FakeRunner, package: Path) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await submit(board, package, options=OPTIONS)
        await events_until(board, folder, is_frames)
        events = await ended_by(board, folder, "stop")
    assert states(events)[-1] is JobState.CANCELLED
    assert folder.results() == []
    assert not list(folder.work.rglob("*.slp"))


async def test_a_run_that_does_not_hear_a_stop_is_ended(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    async with running(new_board(root, fake("stubborn"))) as board:
        folder = await submit(board, package, options=ONE)
        await events_until(board, folder, is_frames)
        await ended_by(board, folder, "cancel")
        ((_, pid),) = noted(ledger)
        await eventually(lambda: not lives(pid))
    assert folder.results() == []


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("raises", "the layers do not fit"),
        ("killed", "SIGKILL"),
        ("oom", "CUDA out of memory"),
        ("no-model", "ended without writing predictions"),
    ],
)
async def test_a_failed_run_says_why_and_leaves_nothing(
    root: Path, fake: FakeRunner, package: Path, behaviour: str, why: str
) -> None:
    async with running(new_board(root, fake(behaviour))) as board:
        folder = await submit(board, package, options=OPTIONS)
        events = await all_events(board, folder)
    (ended,) = of_type(events, "run_ended")
    assert (ended.outcome, ended.folder) == ("failed", None)
    assert why in ended.error.sentence
    assert folder.results() == []


async def test_a_resumed_job_looks_again_only_at_what_failed(
    root: Path, fake: FakeRunner, ledger: Path, package: Path
) -> None:
    (package / "two.mp4").rename(package / "2.mp4")
    options = OPTIONS.model_copy(update={"data": (DataInput(path="one.mp4"), DataInput(path="2.mp4"))})
    async with running(new_board(root, fake("second-fails"))) as board:
        folder = await submit(board, package, options=options)
        assert states(await all_events(board, folder))[-1] is JobState.FAILED
        assert [file.path for file in folder.results()] == ["one/one.predictions.slp"]
    async with running(new_board(root, fake("good"))) as board:
        await board.resume(folder)
        assert states(await all_events(board, folder))[-1] is JobState.DONE
    assert [run for run, _ in noted(ledger)] == ["one", "2", "2"]
    assert [file.path for file in folder.results()] == ["2/2.predictions.slp", "one/one.predictions.slp"]


async def test_a_model_of_the_room_is_brought_before_the_job_is_queued(
    root: Path, fake: FakeRunner, package: Path
) -> None:
    options = TrackOptions(model=RoomModel(digest="a" * 64, name="fly", version=3), data=OPTIONS.data[:1])
    board = new_board(root, fake("good"))
    async with running(board):
        with pytest.raises(ConfigError, match="keeps no models"):
            await submit(board, package, options=options)
    await _with_room_model(new_board(root, fake("good"), models=Shelf()), package, options)


async def _with_room_model(board: JobBoard, package: Path, options: TrackOptions) -> None:
    async with running(board):
        folder = await submit(board, package, "j_23456789", options=options)
        assert states(await all_events(board, folder))[-1] is JobState.DONE
    assert (folder.inputs / "room-model/fly/best.ckpt").is_file()


class Shelf:
    """One model, whatever is asked for."""

    async def place(self, digest: str, room: str, target: Path) -> None:
        assert (digest, room) == ("a" * 64, "r_lab12345")
        model(target / "fly", "single_instance")


async def test_the_next_runner_is_started_while_the_first_works(root: Path, package: Path, fake: FakeRunner) -> None:
    async with running(new_board(root, fake("endless"))) as board:
        folder = await submit(board, package, options=OPTIONS)
        await events_until(board, folder, is_frames)
        record = folder.supervisor()
        assert record is not None
        supervisor = psutil.Process(record.pid)
        await eventually(lambda: len(supervisor.children()) == 2)
        runners = supervisor.children()
        await ended_by(board, folder, "cancel")
        await eventually(lambda: not any(lives(runner.pid) for runner in runners))


def frames(**message: Any) -> dict[str, Any]:
    return {"event": "frames", "stage": "predict"} | message


def test_progress_tells_how_fast_frames_go_of_late() -> None:
    progress = Progress(1.0)
    assert progress.receive(frames(done=0, total=100), 0.0) == Frames(done=0, total=100)
    assert progress.receive(frames(done=20, total=100), 2.0) == Frames(done=20, total=100, rate=10.0, eta=8.0)
    assert progress.receive(frames(done=10, total=100), 3.0) is None
    again = progress.receive(frames(stage="track", done=1, total=100), 4.0)
    assert again == Frames(stage="track", done=1, total=100)


@pytest.mark.parametrize(
    "message",
    [{"done": -1}, {"done": True}, {"done": "1"}, {"done": 2**60}, {"done": 1, "stage": "x"}, {"done": None}],
)
def test_what_is_no_report_of_frames_makes_no_event(message: dict[str, Any]) -> None:
    assert Progress(1.0).receive(frames(**message), 0.0) is None


def test_frames_without_a_total_have_no_end() -> None:
    assert Progress(1.0).receive(frames(done=5, total=-1), 0.0) == Frames(done=5)
