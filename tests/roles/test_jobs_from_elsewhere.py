"""A job that was left to itself, reached again from other processes, by a session string and without one."""

import asyncio
import json
import os
import stat
import sys
from pathlib import Path

from sleap_rtc.client.client import enter_session
from sleap_rtc.client.room_jobs import find_worker, list_jobs
from sleap_rtc.protocol.ids import worker_id_from_key
from tests.roles.conftest import Lab
from tests.roles.times import TIMEOUTS
from tests.roles.typing_client import Command, Typing


class Jobs(Typing):
    """A user who also types ``sleap-rtc jobs …``."""

    async def watch(self, job: str) -> Command:
        """Watch a job; nothing says where to look."""
        return Command(await self._type("watch", job, "--json"))

    async def stop(self, job: str) -> int:
        """Stop a job."""
        process = await self._type("stop", job)
        await process.communicate()
        return process.returncode or 0

    async def _type(self, *words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sleap_rtc", "jobs", *words, cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"SLEAP_RTC_HOME": str(self.folder / "home")},
        )  # fmt: skip

    async def detach(self) -> str:
        """Send the package and leave the job there."""
        command = await self.run("--detach")
        assert command.code == 0, command.errors
        return str(command.said("detached")[0]["job"])


async def test_a_detached_job_outlives_its_worker_and_is_watched_without_a_gap(lab: Lab) -> None:
    await lab.start_worker("endless")
    user = Jobs(lab, "auto")
    user.package(1000)
    job = await user.detach()
    # the string is what leads back to the worker; it is kept where nobody else reads it
    (entry,) = (user.folder / "home" / "pending").glob("*.json")
    assert json.loads(entry.read_text())["session"].startswith("sleap-session:")
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    await lab.kill_worker()
    await lab.start_worker("endless")
    watching = await user.watch(job)
    await watching.until("progress", lambda event: event["type"] == "epoch_ended")
    assert await user.stop(job[:10]) == 0
    assert await watching.ended() == 0
    numbers = [event["seq"] for event in watching.said("progress")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert b"epoch" in user.model
    assert lab.starts() == ["single_instance"]
    # its models are home: the journal, and the string with it, forgets the job
    assert list((user.folder / "home" / "pending").glob("*.json")) == []
    # the string says itself which worker is meant: nothing has to be remembered
    assert not (user.folder / "home" / "known_workers").exists()


async def test_a_worker_that_cannot_be_reached_hides_the_jobs_of_no_other(lab: Lab) -> None:
    await lab.start_worker("endless")
    async with lab.join() as worker:
        job = await worker.submit(await lab.package())
    nowhere = "http://127.0.0.1:1"
    async with enter_session(lab.session_string, default_server=nowhere, timeouts=TIMEOUTS) as (client, present):
        key = bytes(32)
        gone = present.model_copy(
            update={"worker_id": worker_id_from_key(key), "public_key": key.hex(), "name": "gone"}
        )
        first, second = await list_jobs(client, [gone, present])
        assert (first.jobs, first.problem is None) == ((), False)
        assert ([summary.job for summary in second.jobs], second.problem) == ([job.id], None)
        found, summary = await find_worker(client, [gone, present], job.id[:10])
        assert (found.worker_id, summary.job) == (present.worker_id, job.id)


async def test_a_look_ends_where_the_job_stands(lab: Lab, tmp_path: Path) -> None:
    await lab.start_worker("endless")
    async with lab.join() as worker:
        job = await worker.submit(await lab.package())
        seen: list[int] = []
        while not seen:
            await job.look(lambda event: seen.append(event.seq), on_log=lambda text: None)
        assert seen == list(range(1, len(seen) + 1))
        assert not (await worker.job(job.id)).summary.state.ended
        assert [summary.job for summary in await worker.jobs()] == [job.id]
