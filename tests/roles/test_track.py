"""Inferences over real links, with a worker that is killed; only the trainer pretends."""

import asyncio
from pathlib import Path

import pytest

from sleap_rtc.client.link import LinkState
from sleap_rtc.client.package import Package
from sleap_rtc.client.predictions import PredictionFiles, find_output
from sleap_rtc.client.track_assembling import Tracked, assemble_track, find_meant
from sleap_rtc.errors import JobFailedError
from sleap_rtc.jobs.yaml_data import write_yaml
from sleap_rtc.protocol.jobs import Event, Frames, JobState, RunStarted, Verb
from tests.jobs.conftest import training_config
from tests.roles.conftest import Lab
from tests.roles.test_jobs_over_links import Seen


class Looking(Seen):
    """What a watcher of an inference was told."""

    def __init__(self) -> None:
        super().__init__()
        self.looking = asyncio.Event()

    def event(self, event: Event) -> None:
        super().event(event)
        if isinstance(event.body, Frames):
            self.looking.set()


async def package(lab: Lab, *names: str) -> Package:
    """A model, and videos of these names."""
    model = lab.folder / "fly"
    write(model / "best.ckpt", b"weights")
    write(model / "training_config.yaml", write_yaml(training_config()).encode())
    videos = tuple(str(write(lab.folder / "videos" / name, name.encode())) for name in names)
    tracked = Tracked(models=(str(model),), data=videos)
    unread = await assemble_track(tracked, find_meant(tracked.models), None)
    lab.packages.append(await unread.read())
    return lab.packages[-1]


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


async def test_each_input_is_a_run_and_its_predictions_come_home(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker()
    seen = Looking()
    async with lab.join() as worker:
        sent = await package(lab, "clip.mp4", "other.mp4")
        job = await worker.submit(sent)
        assert [(run.name, run.verb) for run in job.summary.runs] == [("clip", Verb.TRACK), ("other", Verb.TRACK)]
        assert (await worker.submit(sent)).id == job.id
        assert await job.watch(seen.event) is JobState.DONE
        output = find_output(["clip.mp4", "other.mp4"], tmp_path / "home")
        layout = output.layout([run.name for run in job.summary.runs])
        places = await job.fetch(output.folder, layout=layout)
        assert (await worker.submit(sent)).id != job.id
    assert [place.name for place in places] == ["clip.predictions.slp", "other.predictions.slp"]
    started = [event.body for event in seen.events if isinstance(event.body, RunStarted)]
    assert [(body.index, body.runs, body.verb) for body in started] == [(1, 2, Verb.TRACK), (2, 2, Verb.TRACK)]
    last = {event.run: event.body for event in seen.events if isinstance(event.body, Frames)}
    assert {run: (body.done, body.total) for run, body in last.items()} == {"clip": (20, 20), "other": (20, 20)}


async def test_a_worker_killed_while_frames_are_looked_at_is_found_again(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker("endless")
    seen = Looking()
    async with lab.join(seen.state) as worker:
        job = await worker.submit(await package(lab, "clip.mp4"))
        watching = asyncio.ensure_future(job.watch(seen.event))
        await seen.looking.wait()
        await lab.kill_worker()
        await seen.lost.wait()
        await lab.start_worker("endless")
        await job.stop()
        assert (await watching).ended
        with pytest.raises(JobFailedError, match="left no predictions"):
            await job.fetch(tmp_path / "home", layout=PredictionFiles())
    seen.assert_gapless()
    assert lab.starts() == ["clip"]  # one attempt: sleap-nn never noticed
    assert seen.links[:3] == [LinkState.CONNECTED, LinkState.LOST, LinkState.RESTORED]
    assert not (tmp_path / "home").exists()
