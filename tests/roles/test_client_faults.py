"""Clients that are killed, that fall silent, or that say the same a hundred times: one job, and every event once."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import psutil

from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.files import ManifestRef
from sleap_rtc.protocol.jobs import JobAccepted, JobState, JobSubmit
from sleap_rtc.session.session import Session
from sleap_rtc.transfer.offering import Offering
from sleap_rtc.transfer.provider import Provider
from tests.jobs.aftermath import assert_whole
from tests.jobs.conftest import eventually
from tests.peak_memory import forget_peak, peak_memory
from tests.roles.conftest import Lab
from tests.roles.faults import DIE_AT_SUBMIT
from tests.roles.test_jobs_from_elsewhere import Jobs
from tests.roles.test_queue import folder_of
from tests.roles.typing_client import KILLED, MB, Command

MOST_MEMORY = 16 * MB
SILENCE = 800
"""Events that a silent client is behind: more than any buffer between journal and client would take up."""
JOB = "j_" + "c" * 26


def is_epoch(event: dict[str, Any]) -> bool:
    return bool(event["type"] == "epoch_ended")


def assert_gapless(command: Command) -> None:
    numbers = [event["seq"] for event in command.said("progress")]
    assert numbers == list(range(1, len(numbers) + 1))
    epochs = [event["epoch"] for event in command.said("progress") if is_epoch(event)]
    assert epochs == list(range(len(epochs)))


async def test_a_client_killed_at_its_submit_and_in_training_makes_one_job_and_misses_nothing(lab: Lab) -> None:
    await lab.start_worker("endless")
    user = Jobs(lab, "auto")
    user.package(1000)
    for point in ("written", "answered"):
        assert (await user.run(**{DIE_AT_SUBMIT: point})).code == KILLED
    async with user.typed() as command:
        await command.until("progress", is_epoch)
        command.kill()
    async with user.typed() as command:
        last = await command.until("progress", is_epoch)
        await command.until("progress", lambda event: is_epoch(event) and event["epoch"] > last["epoch"])
        (job,) = lab.jobs.glob("j_*")
        assert await user.stop(job.name) == 0
        assert await command.ended() == 0, command.errors
    assert_gapless(command)
    assert b"epoch" in user.model
    assert lab.starts() == ["single_instance"]


async def test_a_client_that_reads_nothing_costs_the_worker_nothing_and_misses_nothing(lab: Lab) -> None:
    await lab.start_worker("endless")
    user = Jobs(lab, "auto")
    user.package(1000)
    async with user.typed("--logs") as command:
        last = await command.until("progress", is_epoch)
        assert lab.process
        before = forget_peak(lab.process.pid)
        silent = psutil.Process(command.pid)
        silent.suspend()
        (job,) = lab.jobs.glob("j_*")
        async with lab.join() as worker:
            watched = await worker.job(job.name)
            watching = asyncio.Event()
            seen: list[int] = []

            def see(event: Any) -> None:
                seen.append(event.seq)
                if event.seq > last["seq"] + SILENCE:
                    watching.set()

            task = asyncio.ensure_future(watched.watch(see))
            await watching.wait()
            assert peak_memory(lab.process.pid) <= before + MOST_MEMORY
            silent.resume()
            await command.until("progress", lambda event: event["seq"] > last["seq"] + SILENCE)
            await watched.stop()
            assert await task is JobState.DONE
        assert await command.ended() == 0, command.errors
    assert seen == list(range(1, len(seen) + 1))
    assert_gapless(command)


async def test_the_same_submit_a_hundred_times_at_once_over_four_links_is_one_start(lab: Lab) -> None:
    await lab.start_worker()
    package = await lab.package(size=MB)
    message = JobSubmit(job=JOB, name="eager", manifest=ManifestRef.of(package.manifest))

    async def find(_: str) -> Offering:
        return package.offering

    async def say(session: Session) -> JobAccepted:
        return await session.request(message, JobAccepted, timeout=float("inf"))

    async with AsyncExitStack() as stack:
        sessions = []
        for _ in range(4):
            worker = await stack.enter_async_context(lab.join())
            sessions.append(await worker.link.session())
            sessions[-1]._producers = Provider(find).producers
        asked = await asyncio.gather(*(say(session) for session in sessions * 25), return_exceptions=True)
        # whoever is overtaken while the files come is told so; nobody is told anything worse
        assert all(isinstance(answer, JobAccepted | SleapRTCError) for answer in asked)
        accepted = await say(sessions[0])
        job = await worker.job(accepted.job.job)
        assert await job.watch(lambda event: None) is JobState.DONE
    assert lab.starts() == ["single_instance"]
    assert [path.name for path in lab.jobs.glob("j_*")] == [JOB]
    folder = folder_of(lab, job)
    await eventually(lambda: folder.state().state.ended)
    assert_whole(folder)
