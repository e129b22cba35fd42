"""Jobs that wait for a worker with one slot: what they are told, and what becomes of them when the worker ends."""

import asyncio
import signal
from collections.abc import Callable

import psutil
import pytest

from sleap_rtc.cli.serving import farewell
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.errors import BusyError, ConfigError
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.jobs import Event, JobState, Queued
from sleap_rtc.protocol.training import TrainOptions
from tests.jobs.conftest import eventually
from tests.roles.conftest import Lab
from tests.roles.test_jobs_over_links import Seen
from tests.roles.worker_process import DRAIN, GPUS


def places(events: list[Event]) -> list[int]:
    return [event.body.position for event in events if isinstance(event.body, Queued)]


def folder_of(lab: Lab, job: RemoteJob) -> JobFolder:
    return JobFolder(lab.jobs / job.id)


async def interrupt(lab: Lab, number: signal.Signals = signal.SIGINT) -> None:
    assert lab.process
    lab.process.send_signal(number)


async def ended(lab: Lab) -> int:
    assert lab.process
    async with asyncio.timeout(100):
        return await lab.process.wait()


async def test_the_second_job_waits_and_starts_by_itself_also_on_a_worker_killed_and_started_again(lab: Lab) -> None:
    await lab.start_worker("endless")
    first_seen, second_seen, third_seen = Seen(), Seen(), Seen()
    async with lab.join(first_seen.state) as worker:
        package = await lab.package()
        jobs = [await worker.submit(package, new=True) for _ in range(3)]
        watching = [
            asyncio.ensure_future(job.watch(seen.event))
            for job, seen in zip(jobs, (first_seen, second_seen, third_seen), strict=True)
        ]
        await first_seen.first_epoch.wait()
        await eventually(lambda: places(third_seen.events)[-1:] == [2])
        await lab.kill_worker()
        await first_seen.lost.wait()
        await lab.start_worker("good")
        await jobs[0].stop()
        async with asyncio.timeout(60):
            assert await asyncio.gather(*watching) == [JobState.DONE] * 3
    assert set(places(second_seen.events)) <= {1}
    # told once before the worker was killed and once when it moved up; the time it takes may be told beside that
    assert list(dict.fromkeys(places(third_seen.events))) == [2, 1]
    for seen in (first_seen, second_seen, third_seen):
        seen.assert_gapless()
    assert len(lab.starts()) == 3


async def test_two_gpus_are_given_to_two_jobs_also_by_a_worker_killed_in_between(lab: Lab) -> None:
    await lab.start_worker("endless", environment={GPUS: "2"})
    seen, later = Seen(), Seen()
    async with lab.join(seen.state) as worker:
        package = await lab.package()
        first = await worker.submit(package, new=True)
        watching = [asyncio.ensure_future(first.watch(seen.event))]
        await seen.first_epoch.wait()
        await lab.kill_worker()
        await seen.lost.wait()
        await lab.start_worker("endless", environment={GPUS: "2"})
        second = await worker.submit(package, new=True)
        watching.append(asyncio.ensure_future(second.watch(later.event)))
        await later.first_epoch.wait()
        # as each trainer saw them when it began
        assert [line.split()[3] for line in lab.ledger.read_text().splitlines()] == ["GPU-0", "GPU-1"]
        for job in (first, second):
            await job.cancel()
        assert await asyncio.gather(*watching) == [JobState.CANCELLED] * 2


async def test_a_job_of_more_gpus_than_the_worker_has_is_a_sentence_for_the_client(lab: Lab) -> None:
    await lab.start_worker()
    async with lab.join() as worker:
        with pytest.raises(ConfigError, match="takes 2 GPUs at once, and this worker has 1 GPU"):
            await worker.submit(await lab.package(), options=TrainOptions(devices=2))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_worker_that_is_asked_to_end_leaves_its_jobs_to_the_next_one(
    lab: Lab, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    await lab.start_worker("endless", environment={DRAIN: "no"})
    seen = Seen()
    async with lab.join() as worker:
        package = await lab.package()
        first, second = [await worker.submit(package, new=True) for _ in range(2)]
        watching = asyncio.ensure_future(first.watch(seen.event))
        await seen.first_epoch.wait()
        await interrupt(lab, number)
        assert await ended(lab) == 0
        assert "1 running job goes on without it, 1 waiting job stays on disk." in capfd.readouterr().err
        supervisor = folder_of(lab, first).supervisor()
        assert supervisor
        assert psutil.pid_exists(supervisor.pid)
        assert folder_of(lab, second).state().state is JobState.QUEUED
        await lab.start_worker("good", environment={DRAIN: "no"})
        await first.stop()
        assert await watching is JobState.DONE
        assert await second.watch(lambda event: None) is JobState.DONE
    assert len(lab.starts()) == 2


async def test_a_worker_that_drains_ends_after_what_runs_and_waits(lab: Lab, capfd: pytest.CaptureFixture[str]) -> None:
    await lab.start_worker("endless", environment={DRAIN: "yes"})
    async with lab.join() as worker:
        package = await lab.package()
        first, second = [await worker.submit(package, new=True) for _ in range(2)]
        firsts, seconds = Seen(), Seen()
        watching = [
            asyncio.ensure_future(first.watch(firsts.event)),
            asyncio.ensure_future(second.watch(seconds.event)),
        ]
        await firsts.first_epoch.wait()
        await interrupt(lab)
        await eventually(said(capfd, "the worker ends after 1 running and 1 waiting"))
        with pytest.raises(BusyError, match="shutting down and takes no new jobs"):
            await worker.submit(package, new=True)
        await first.stop()
        await seconds.first_epoch.wait()
        await second.stop()
        assert await asyncio.gather(*watching) == [JobState.DONE] * 2
        assert await ended(lab) == 0
    assert len(lab.starts()) == 2


async def test_ctrl_c_again_leaves_what_a_draining_worker_waits_for(
    lab: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    await lab.start_worker("endless", environment={DRAIN: "yes"})
    seen = Seen()
    async with lab.join() as worker:
        job = await worker.submit(await lab.package())
        watching = asyncio.ensure_future(job.watch(seen.event))
        await seen.first_epoch.wait()
        await interrupt(lab)
        await eventually(said(capfd, "Ctrl-C again ends it now"))
        await interrupt(lab)
        assert await ended(lab) == 0
        supervisor = folder_of(lab, job).supervisor()
        assert supervisor
        assert psutil.pid_exists(supervisor.pid)
        watching.cancel()


def said(capfd: pytest.CaptureFixture[str], words: str) -> Callable[[], bool]:
    text: list[str] = []

    def check() -> bool:
        text.append(capfd.readouterr().err)
        return words in "".join(text)

    return check


@pytest.mark.parametrize(
    ("running", "waiting", "words"),
    [
        (0, 0, "no job runs or waits."),
        (2, 0, "2 running jobs go on without it. The next 'sleap-rtc worker' here goes on with what it finds."),
        (0, 3, "3 waiting jobs stay on disk. The next"),
    ],
)
def test_the_last_line_of_a_worker_says_what_becomes_of_its_jobs(running: int, waiting: int, words: str) -> None:
    assert words in farewell(running, waiting)
