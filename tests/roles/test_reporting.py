"""What the service knows of a worker's jobs and models, whatever was away meanwhile."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import func, select

from signaling_server.models import JobSummary, RoomModel
from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.jobs import JobState
from sleap_rtc.protocol.reports import REPORT_BYTES, JobReport, size_of
from sleap_rtc.signaling.api import RememberedJob
from sleap_rtc.worker.reporting import pages
from tests.protocol.test_reports import job as job_fields
from tests.roles.bench import Bench, new_bench
from tests.roles.conftest import Lab
from tests.service.people import dev_service
from tests.service.running import RunningService


def ran(found: RememberedJob) -> bool:
    return found.state is JobState.RUNNING and (found.runs[0].epoch or 0) > 1


def is_over(found: RememberedJob) -> bool:
    return found.state.ended


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with new_bench(tmp_path) as bench:
        yield bench


async def until_over(folder: JobFolder) -> None:
    async with asyncio.timeout(60):
        while not (await asyncio.to_thread(folder.state)).state.ended:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.05)


async def test_a_job_appears_its_states_follow_and_its_models_are_told(bench: Bench) -> None:
    await bench.start_worker()
    job = await bench.submit("centroid", "centered_instance")
    found = await bench.until(job, is_over)
    assert (found.state, found.mine, found.user_id, found.user_name) == (
        JobState.DONE,
        True,
        bench.owner.user_id,
        "ada",
    )
    assert (found.worker_name, found.worker_online, found.attempt, found.error) == ("test-gpu", True, 1, None)
    assert found.created_at <= (found.started or 0) <= (found.ended or 0) == found.changed <= found.updated_at
    assert [(run.name, run.model_type, run.epoch, run.epochs, run.loss) for run in found.runs] == [
        ("centroid", "centroid", 2, 2, 0.5),
        ("centered_instance", "centered_instance", 2, 2, 0.5),
    ]
    # both belong together: one model
    (model,) = await bench.until_models(1)
    assert (sorted(model.types), model.job_id) == (["centered_instance", "centroid"], job)
    assert model.size > 0
    assert [holder.online for holder in model.holders] == [True]


async def test_a_worker_that_was_killed_tells_on_its_return_what_became_of_its_jobs(bench: Bench) -> None:
    await bench.start_worker("endless")
    job = await bench.submit()
    await bench.until(job, ran)
    await bench.lab.kill_worker()
    # its training goes on, and ends while nobody can tell
    folder = JobFolder(bench.lab.jobs / job)
    await asyncio.to_thread(folder.send_command, "stop")
    await until_over(folder)
    found = await bench.until(job, lambda found: not found.worker_online)
    assert found.state is JobState.RUNNING
    await bench.start_worker("endless")
    assert (await bench.until(job, is_over)).state is JobState.DONE


async def test_a_job_that_ended_while_the_service_was_away_is_told_to_the_next_one(
    bench: Bench, tmp_path: Path
) -> None:
    await bench.start_worker("endless")
    job, other = await bench.submit(), await bench.submit()
    await bench.until(job, ran)
    await bench.until(other, lambda found: found.state is JobState.QUEUED)
    port = int(bench.lab.service.url.rpartition(":")[2])
    await bench.lab.stop_service()
    folder = JobFolder(bench.lab.jobs / job)
    await asyncio.to_thread(folder.send_command, "stop")
    await until_over(folder)
    async with dev_service(tmp_path, port=port):
        assert (await bench.until(job, is_over)).state is JobState.DONE
        await bench.until(other, ran)
    with closing(sqlite3.connect(tmp_path / "service.db")) as database:
        database.execute("DELETE FROM job_summaries")
        database.commit()
    # nothing is news but that the service does not know it any more
    async with dev_service(tmp_path, port=port):
        await bench.until(job, is_over)
        await bench.until(other, ran)


async def test_a_worker_behind_a_session_string_tells_nothing(lab: Lab) -> None:
    await lab.start_worker()
    async with lab.join() as worker:
        job = await worker.submit(await lab.package())
        assert await job.watch(lambda event: None) is JobState.DONE
    assert await told_anything(lab.service) == (0, 0)


async def told_anything(service: RunningService) -> tuple[int, int]:
    async with service.service.database.transaction() as session:
        jobs, models = [
            await session.scalar(select(func.count()).select_from(table)) or 0 for table in (JobSummary, RoomModel)
        ]
    return jobs, models


def test_pages_fit_into_a_report_each() -> None:
    runs = [{"name": "r" * 64, "model_type": "m" * 128}] * 16
    large = [JobReport.model_validate(job_fields(n, facts={"runs": runs})) for n in range(100)]
    found = list(pages(large, 64))
    assert [each for page in found for each in page] == large
    assert len(found) > 2
    assert all(sum(map(size_of, page)) <= REPORT_BYTES for page in found)
    small = [JobReport.model_validate(job_fields(n)) for n in range(65)]
    assert [len(page) for page in pages(small, 64)] == [64, 1]
    assert list(pages([], 64)) == []
