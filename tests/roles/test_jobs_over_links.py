"""A client, a worker and what happens between them when things go wrong."""

import asyncio
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from sleap_rtc.cli.jobs.resume import resume_job
from sleap_rtc.client.link import LinkState
from sleap_rtc.errors import ConfigError, ConflictError, JobFailedError, NotFoundError, PackageError, UnreachableError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.jobs import EpochEnded, Event, JobState, RunEnded
from tests.roles.conftest import Lab
from tests.roles.times import TIMEOUTS


class Seen:
    """What a watcher was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.log = ""
        self.first_epoch = asyncio.Event()
        self.links: list[LinkState] = []
        self.lost = asyncio.Event()

    def event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event.body, EpochEnded):
            self.first_epoch.set()

    def add_log(self, text: str) -> None:
        self.log += text

    def state(self, state: LinkState, _: str) -> None:
        self.links.append(state)
        if state is LinkState.LOST:
            self.lost.set()

    def assert_gapless(self) -> None:
        assert [event.seq for event in self.events] == list(range(1, len(self.events) + 1))


async def test_a_job_is_trained_watched_and_brought_home(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker("chatty")
    seen = Seen()
    async with lab.join() as worker:
        job = await worker.submit(await lab.package("centered_instance", "centroid"))
        state = await job.watch(seen.event, on_log=seen.add_log)
        folders = await job.fetch(tmp_path / "models")
    assert state is JobState.DONE
    seen.assert_gapless()
    assert lab.starts() == ["centroid", "centered_instance"]
    assert sorted(folder.name for folder in folders) == ["centered_instance", "centroid"]
    for folder in folders:
        assert (folder / "best.ckpt").is_file()
    assert seen.log.startswith("red and quiet\n")  # the log came too, and nothing in it steers a terminal
    assert [path.name for path in (tmp_path / "models").iterdir() if path.name.startswith(".")] == []


async def test_the_same_models_again_get_another_name(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker()
    async with lab.join() as worker:
        for expected in ("single_instance", "single_instance-2"):
            job = await worker.submit(await lab.package(), new=True)
            await job.watch(lambda event: None)
            assert [folder.name for folder in await job.fetch(tmp_path / "models")] == [expected]


async def test_submitting_again_finds_the_job_until_its_models_are_home(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker()
    package = await lab.package()
    async with lab.join() as worker:
        first = await worker.submit(package)
    async with lab.join() as worker:
        again = await worker.submit(package)
        assert again.id == first.id
        assert (await worker.submit(package, new=True)).id != first.id
        await again.watch(lambda event: None)
        await again.fetch(tmp_path / "models")
        assert (await worker.submit(package)).id != first.id


async def test_a_worker_killed_in_training_is_found_again_and_nothing_is_missing(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker("good")
    seen = Seen()
    async with lab.join(seen.state) as worker:
        job = await worker.submit(await lab.package(max_epochs=400))
        watching = asyncio.ensure_future(job.watch(seen.event, on_log=seen.add_log))
        await seen.first_epoch.wait()
        await lab.kill_worker()
        await seen.lost.wait()
        await lab.start_worker("good")
        await job.stop()
        assert await watching is JobState.DONE
        (folder,) = await job.fetch(tmp_path / "models")
    seen.assert_gapless()
    assert lab.starts() == ["single_instance"]  # one attempt: the trainer never noticed
    assert (folder / "best.ckpt").is_file()
    assert seen.links[:3] == [LinkState.CONNECTED, LinkState.LOST, LinkState.RESTORED]


async def test_an_upload_cut_by_a_killed_worker_goes_on(lab: Lab) -> None:
    await lab.start_worker()
    size = 48 * 1024 * 1024
    package = await lab.package(size=size)
    sent = 0
    halfway = asyncio.Event()
    seen = Seen()

    def count(so_far: int, total: int, already: int) -> None:
        nonlocal sent
        sent = max(sent, so_far)
        if so_far > total / 3:
            halfway.set()

    async with lab.join(seen.state) as worker:
        submitting = asyncio.ensure_future(worker.submit(package, on_bytes=count))
        await halfway.wait()
        await lab.kill_worker()
        await seen.lost.wait()
        await lab.start_worker()
        job = await submitting
        # counted over both links: what the first one brought over is not sent again
        assert sent <= package.manifest.total_size + 4 * 1024 * 1024
        assert await job.watch(lambda event: None) is JobState.DONE
    assert lab.starts() == ["single_instance"]


async def test_stop_brings_the_best_model_home_and_cancel_brings_nothing(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker("endless")
    async with lab.join() as worker:
        for command in ("stop", "cancel"):
            seen = Seen()
            job = await worker.submit(await lab.package(), new=True)
            watching = asyncio.ensure_future(job.watch(seen.event))
            await seen.first_epoch.wait()
            await (job.stop() if command == "stop" else job.cancel())
            state = await watching
            has_models = any(isinstance(event.body, RunEnded) and event.body.folder for event in seen.events)
            assert (state, has_models) == ((JobState.DONE, True) if command == "stop" else (JobState.CANCELLED, False))


async def test_a_worker_that_stays_away_is_given_up_with_a_sentence(lab: Lab) -> None:
    await lab.start_worker("endless")
    seen = Seen()
    async with lab.join(seen.state, timeouts=replace(TIMEOUTS, give_up=0.5)) as worker:
        job = await worker.submit(await lab.package())
        watching = asyncio.ensure_future(job.watch(seen.event))
        await seen.first_epoch.wait()
        await lab.kill_worker()
        with pytest.raises(UnreachableError, match="could not be reached again"):
            await watching


async def test_links_live_on_while_the_service_is_away(lab: Lab) -> None:
    await lab.start_worker("endless")
    seen = Seen()
    async with lab.join(seen.state) as worker:
        job = await worker.submit(await lab.package())
        watching = asyncio.ensure_future(job.watch(seen.event))
        await seen.first_epoch.wait()
        await lab.stop_service()
        await job.stop()
        assert await watching is JobState.DONE
    assert seen.links == [LinkState.CONNECTED]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"model_config: {}\ntrainer_config: {run_name: ${oc.env:HOME}}\n", ConfigError),
        (b"defaults: [x]\nmodel_config: {}\ntrainer_config: {}\n", ConfigError),
        (b"a: 1\n", PackageError),
    ],
)
async def test_a_package_the_worker_refuses_leaves_nothing_there(
    lab: Lab, content: bytes, error: type[Exception]
) -> None:
    await lab.start_worker()
    await lab.package()
    (lab.folder / "package" / "single_instance.yaml").write_bytes(content)
    from sleap_rtc.client.package import open_package

    async with lab.join() as worker:
        with pytest.raises(error), closing(await open_package(lab.folder / "package")) as package:
            await worker.submit(package)
    assert list(lab.jobs.glob("*")) == []


async def test_a_strangers_job_is_not_there(lab: Lab) -> None:
    from sleap_rtc.protocol.jobs import JobAccepted, JobShow

    await lab.start_worker("endless")
    async with lab.join() as worker:
        job = await worker.submit(await lab.package())
    owner = lab.jobs / job.id / "spec.json"
    os.chmod(owner, 0o600)  # noqa: PTH101
    owner.write_text(
        owner.read_text().replace('"user": "u_', '"user": "u_somebodyelse').replace('"user":"u_', '"user":"u_x')
    )
    async with lab.join() as worker:
        with pytest.raises(NotFoundError):
            await worker.link.call(lambda session: session.request(JobShow(job=job.id), JobAccepted))


async def test_a_lost_job_goes_on_over_the_link_and_its_package_finds_it(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await lab.start_worker("endless")
    package = await lab.package()
    seen = Seen()
    async with lab.join() as worker:
        job = await worker.submit(package)
        watching = asyncio.create_task(job.watch(seen.event))
        await seen.first_epoch.wait()
        record = JobFolder(lab.jobs / job.id).supervisor()
        assert record is not None
        psutil.Process(record.pid).kill()
        assert await watching is JobState.LOST
        job.forget()
        with pytest.raises(JobFailedError):
            await job.fetch(tmp_path / "models")
        await resume_job(job)
        assert (job.summary.attempt, job.summary.state) == (2, JobState.QUEUED)
        again = await worker.submit(package)
        assert again.id == job.id
        whole, more = Seen(), Seen()
        known = len(seen.events)
        watching = asyncio.create_task(again.watch(whole.event, since=0))
        rest = asyncio.create_task(again.watch(more.event, since=known))
        await more.first_epoch.wait()
        await again.stop()
        assert await watching is await rest is JobState.DONE
        folders = await again.fetch(tmp_path / "models")
    whole.assert_gapless()
    assert seen.events + more.events == whole.events
    assert [folder.name for folder in folders] == ["single_instance"]
    assert lab.starts() == ["single_instance"] * 2
    said = capsys.readouterr().out
    assert f"The job {job.id} goes on as attempt 2" in said
    assert f"sleap-rtc jobs watch {job.id}" in said


async def test_a_job_that_is_done_or_unknown_is_not_resumed(lab: Lab) -> None:
    await lab.start_worker()
    async with lab.join() as worker:
        job = await worker.submit(await lab.package())
        await job.watch(lambda event: None)
        with pytest.raises(ConflictError, match="nothing to resume"):
            await job.resume()
        with pytest.raises(NotFoundError):
            await worker.resume("j_87654321")


async def test_what_is_fetched_after_a_resume_is_the_new_attempts(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker("endless")
    async with lab.join() as worker:
        job = await worker.submit(await lab.package())
        logs = []
        for _ in range(2):
            seen = Seen()
            watching = asyncio.create_task(job.watch(seen.event, since=job.summary.last_seq))
            await seen.first_epoch.wait()
            await job.stop()
            assert await watching is JobState.DONE
            (folder,) = await job.fetch(tmp_path / "models")
            logs.append((folder / "training_log.csv").read_text().splitlines())
            await job.resume()
        await job.cancel()
    first, second = logs
    assert second[: len(first)] == first
    assert [row.split(",")[0] for row in second[1:]] == [str(epoch) for epoch in range(len(second) - 1)]
    assert len(second) > len(first)
