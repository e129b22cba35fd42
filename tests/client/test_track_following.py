"""An inference from its acceptance to its files, with a worker in memory that tells and offers what it would."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.cli.bringing import Home
from sleap_rtc.cli.following import BOTH as MODELS_TOO
from sleap_rtc.cli.following import Following, Results, predictions_into, results_of
from sleap_rtc.cli.progress import make_display
from sleap_rtc.client.package import Package
from sleap_rtc.client.pending import PendingJobs
from sleap_rtc.client.predictions import find_output
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.errors import JobFailedError, ProtocolError, SleapRTCError
from sleap_rtc.protocol.inference import DataInput, ThenTrack, TrackOptions
from sleap_rtc.protocol.jobs import JobSubmit, JobSummary
from sleap_rtc.protocol.models import RoomModel
from sleap_rtc.protocol.options import JobOptions
from sleap_rtc.protocol.training import TrainOptions
from sleap_rtc.session.session import Producers
from sleap_rtc.transfer.offering import Offering, make_offering
from sleap_rtc.transfer.provider import Provider
from sleap_rtc.transfer.source import FilesSource
from tests.client.hostile_worker import JOB, SUMMARY, Telling, client_of, event

RUNS = [{"name": name, "verb": "track", "config": "track.json"} for name in ("a", "b")]
STARTED = {"type": "run_started", "runs": 2, "verb": "track", "model_type": ""}


def told(*bodies: tuple[Any, str | None]) -> list[dict[str, Any]]:
    return [event(body, seq, run=run) for seq, (body, run) in enumerate(bodies, 1)]


A_DONE = (
    (STARTED | {"index": 1}, "a"),
    ({"type": "frames", "done": 10, "total": 10, "rate": 5.0, "eta": 0.0}, "a"),
    ({"type": "run_ended", "outcome": "done", "folder": "a"}, "a"),
)
B_DONE = ((STARTED | {"index": 2}, "b"), ({"type": "run_ended", "outcome": "done", "folder": "b"}, "b"))
B_STOPPED = ((STARTED | {"index": 2}, "b"), ({"type": "run_ended", "outcome": "stopped"}, "b"))
A_STOPPED = ((STARTED | {"index": 1}, "a"), ({"type": "run_ended", "outcome": "stopped"}, "a"))


def over(state: str) -> tuple[dict[str, str], None]:
    return {"type": "state", "state": state}, None


@asynccontextmanager
async def holding(folder: Path, files: Mapping[str, bytes]) -> AsyncIterator[Producers]:
    """What a worker that holds these results answers."""
    places = {name: folder / "worker" / name for name in files}
    for name, place in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(files[name])
    with closing(FilesSource(places)) as source:
        made = await make_offering(source)

        async def find(transfer: str) -> Offering:
            return made

        yield Provider(find).producers


async def follow(folder: Path, events: list[dict[str, Any]], files: Mapping[str, bytes], *, mine: bool = True) -> str:
    """Watch a job that looks at two clips; return what a script sees."""
    stream = io.StringIO()
    telling = Telling(events, summary=SUMMARY | {"runs": RUNS})
    async with holding(folder, files) as producers, client_of(telling.handlers, producers) as worker:
        job: RemoteJob = await worker.job(JOB)
        output = find_output(["x/clip.mp4", "y/clip.mp4"], folder / "out")
        layout = output.layout([run.name for run in job.summary.runs])
        results = predictions_into(output.folder, layout) if mine else results_of(job.summary, folder / "out")
        with make_display(json=True, stream=stream) as display:
            following = Following(job, display, asyncio.Queue(), results=results, logs=False)
            try:
                async with asyncio.timeout(30):
                    assert await following.run() == 0
            except JobFailedError as error:
                return error.sentence
    return stream.getvalue()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


BOTH = {"a/a.predictions.slp": b"1", "b/b.predictions.slp": b"2"}


async def test_predictions_come_home_in_the_order_of_the_inputs(tmp_path: Path) -> None:
    shown = await follow(tmp_path, told(*A_DONE, *B_DONE, over("done")), BOTH)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in names_in(tmp_path / "out")} == {
        "clip.predictions.slp": b"1", "clip-2.predictions.slp": b"2",
    }  # fmt: skip
    last = json.loads(shown.splitlines()[-1])
    assert [Path(each).name for each in last["files"]] == ["clip.predictions.slp", "clip-2.predictions.slp"]


async def test_another_command_brings_them_home_by_their_runs(tmp_path: Path) -> None:
    await follow(tmp_path, told(*A_DONE, *B_DONE, over("done")), BOTH, mine=False)
    assert names_in(tmp_path / "out") == ["a.predictions.slp", "b.predictions.slp"]


async def test_after_a_stop_comes_what_was_looked_at_to_its_end(tmp_path: Path) -> None:
    await follow(tmp_path, told(*A_DONE, *B_STOPPED, over("done")), {"a/a.predictions.slp": b"1"})
    assert names_in(tmp_path / "out") == ["clip.predictions.slp"]


async def test_a_job_that_left_nothing_leaves_nothing_here(tmp_path: Path) -> None:
    assert "ended as cancelled" in await follow(tmp_path, told(*A_STOPPED, over("cancelled")), {})
    assert not (tmp_path / "out").exists()


class _Noting(Telling):
    """Notes what is submitted."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[JobSubmit] = []

    async def _accept(self, session: Any, message: Any) -> Any:
        if isinstance(message, JobSubmit):
            self.submitted.append(message)
        return await super()._accept(session, message)


FAR = DataInput(path="lab:/a.mp4", in_package=False)


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (TrackOptions(model_folders=("models/fly",), data=(FAR,)), "look at videos with a model"),
        (TrainOptions(then=ThenTrack(data=(FAR,))), "look at videos with a model"),
        (TrainOptions(start_from=RoomModel(digest="a" * 64)), "begin with a model of its room"),
    ],
)
async def test_a_worker_that_only_trains_is_sent_nothing_else(options: JobOptions, asked: str, tmp_path: Path) -> None:
    old = _Noting()
    offering = await make_offering(FilesSource({}))
    async with client_of(old.handlers) as worker:
        with pytest.raises(ProtocolError, match=f"too old to {asked}: upgrade it there"):
            await worker.submit(Package("clip", offering, options))
    assert old.submitted == []
    assert PendingJobs().all() == []


MIXED = [{"name": "a", "config": "a.yaml"}, {"name": "b", "verb": "track", "config": "track.json"}]
A_TRAINED = (
    ({"type": "run_started", "runs": 2, "index": 1, "model_type": "centroid"}, "a"),
    ({"type": "run_ended", "outcome": "done", "folder": "a"}, "a"),
)
A_CUT_SHORT = (A_TRAINED[0], ({"type": "run_ended", "outcome": "stopped", "folder": "a"}, "a"))


async def follow_both(folder: Path, events: list[dict[str, Any]], files: Mapping[str, bytes]) -> str:
    """Watch a job that trains a model and looks at a clip with it; return what a script sees."""
    stream = io.StringIO()
    telling = Telling(events, summary=SUMMARY | {"runs": MIXED})
    async with holding(folder, files) as producers, client_of(telling.handlers, producers) as worker:
        job: RemoteJob = await worker.job(JOB)
        home = Home([None], find_output(["clip.mp4"], folder / "out"), None, models=folder / "models")
        with make_display(json=True, stream=stream) as display:
            following = Following(job, display, asyncio.Queue(), results=Results(MODELS_TOO, home.bring), logs=False)
            try:
                async with asyncio.timeout(30):
                    assert await following.run() == 0
            except SleapRTCError as error:
                return error.sentence
    return stream.getvalue()


async def test_models_and_predictions_go_each_to_its_folder(tmp_path: Path) -> None:
    files = {"a/best.ckpt": b"1", "b/b.predictions.slp": b"2"}
    shown = await follow_both(tmp_path, told(*A_TRAINED, *B_DONE, over("done")), files)
    assert (names_in(tmp_path / "models"), names_in(tmp_path / "out")) == (["a"], ["clip.predictions.slp"])
    last = json.loads(shown.splitlines()[-1])
    assert (last["folders"], last["files"]) == (
        [str(tmp_path / "models/a")], [str(tmp_path / "out/clip.predictions.slp")],
    )  # fmt: skip


async def test_after_a_stop_in_training_the_model_comes_alone(tmp_path: Path) -> None:
    shown = await follow_both(tmp_path, told(*A_CUT_SHORT, over("done")), {"a/best.ckpt": b"1"})
    assert (names_in(tmp_path / "models"), names_in(tmp_path / "out")) == (["a"], [])
    last = json.loads(shown.splitlines()[-1])
    assert (last["folders"], last["files"]) == ([str(tmp_path / "models/a")], [])


@pytest.mark.parametrize("path", ["b/evil.sh", "b/deep/b.slp", "best.ckpt", "b/two.slp"])
async def test_a_worker_offers_what_its_runs_are_to_leave(path: str, tmp_path: Path) -> None:
    files = {"a/best.ckpt": b"1", "b/b.predictions.slp": b"2", path: b"3"}
    assert "Nothing was written" in await follow_both(tmp_path, told(*A_TRAINED, *B_DONE, over("done")), files)
    assert (names_in(tmp_path / "models"), names_in(tmp_path / "out")) == ([], [])


async def test_another_command_brings_both_home_by_their_runs(tmp_path: Path) -> None:
    summary = JobSummary.model_validate(SUMMARY | {"runs": MIXED})
    telling = Telling([], summary=SUMMARY | {"runs": MIXED})
    files = {"a/best.ckpt": b"1", "b/b.predictions.slp": b"2"}
    async with holding(tmp_path, files) as producers, client_of(telling.handlers, producers) as worker:
        results = results_of(summary, tmp_path / "all")
        assert results.bring is not None
        await results.bring(await worker.job(JOB), lambda done, total: None)
    assert names_in(tmp_path / "all") == ["a", "b.predictions.slp"]
    assert results_of(summary, None, leave=True).bring is None


def test_what_a_job_leaves_is_told_by_its_runs() -> None:
    training = JobSummary.model_validate(SUMMARY | {"runs": [{"name": "centroid", "config": "a.yaml"}]})
    inference = JobSummary.model_validate(SUMMARY | {"runs": RUNS})
    assert results_of(training, None).words.results == "models"
    assert results_of(inference, None).words.results == "predictions"
    assert results_of(inference, None, leave=True).bring is None
