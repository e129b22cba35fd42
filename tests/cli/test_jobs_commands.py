"""``sleap-rtc jobs …`` and ``train --detach``, as several people of one room type them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.jobs.folder import JobFolder
from sleap_rtc.protocol.jobs import JobState
from tests.cli.room_lab import RoomLab, room_lab
from tests.cli.test_train_room import Terminal
from tests.forked import Result


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def detach(lab: RoomLab, name: str = "package", user: Path | None = None) -> str:
    """Send a package to the room's best worker and leave it there."""
    typed = ("train", "--room", "lab", "--auto-select", "-p", str(lab.package(name)), "--detach", "--json")
    result = await lab.run(*typed, user=user)
    assert result.code == 0, result.err
    last = json.loads(result.out.splitlines()[-1])
    assert last["event"] == "detached"
    return str(last["job"])


async def listed(lab: RoomLab, *options: str, user: Path | None = None) -> dict[str, dict[str, Any]]:
    result = await lab.run("jobs", "list", "--room", "lab", "--json", *options, user=user)
    assert result.code == 0, result.err
    return {each["job"]: each for each in json.loads(result.out)}


def complaint(result: Result) -> str:
    """What it says of an error; empty if there was none."""
    return "".join(result.err.partition("error: ")[1:])


async def until_over(folder: JobFolder) -> JobState:
    async with asyncio.timeout(60):
        while not (state := (await asyncio.to_thread(folder.state)).state).ended:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.05)
    return state


async def until_told(lab: RoomLab, job: str, state: JobState) -> None:
    """Wait until the service has been told that a job is in this state."""
    async with asyncio.timeout(60):
        while True:
            if (job, state) in [(each.job_id, each.state) for each in await lab.api.jobs(lab.room.room_id)]:
                return
            await asyncio.sleep(0.05)


async def until_epoch(folder: JobFolder) -> None:
    async with asyncio.timeout(60):
        while b"epoch_ended" not in await asyncio.to_thread(folder.events.read_bytes):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.05)


@asynccontextmanager
async def typed(lab: RoomLab, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A command that goes on while something else happens."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sleap_rtc", *arguments, cwd=lab.folder, env=lab.environment(),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_detached_job_is_listed_shown_and_fetched(lab: RoomLab) -> None:
    async with lab.worker("gpu", 8, behaviour="chatty"):
        job = await detach(lab)
        assert await until_over(JobFolder(lab.jobs_of("gpu") / job)) is JobState.DONE
        assert await listed(lab) == {}  # it is over
        found = (await listed(lab, "--all"))[job]
        assert (found["mine"], found["owner"], found["state"], found["worker"]) == (True, "ada", "done", "gpu")
        # found by the journal: no room is named
        shown = await lab.run("jobs", "show", job[:10])
        assert (shown.code, complaint(shown)) == (0, "")
        for words in (job, "package", "ada", "done since", "single_instance, epoch 2", "val/loss 0.5"):
            assert words in shown.out
        log = await lab.run("jobs", "logs", job)
        assert log.out.startswith("red and quiet\n")
        assert (await lab.run("jobs", "logs", job, "-f")).out == log.out
        fetched = await lab.run("jobs", "fetch", job, "-o", "here")
        assert fetched.code == 0, fetched.err
        assert (lab.folder / "here" / "single_instance" / "best.ckpt").is_file()


async def test_the_id_of_a_detached_job_is_all_a_script_reads(lab: RoomLab) -> None:
    async with lab.worker("gpu", 8, behaviour="endless"):
        typed = ("train", "--room", "lab", "--auto-select", "-p", str(lab.package()), "--detach")
        result = await lab.run(*typed)
        job = result.out.splitlines()[-1]
        assert (result.code, [path.name for path in lab.jobs_of("gpu").glob("j_*")]) == (0, [job])
        assert f"sleap-rtc jobs watch {job}" in result.err
        # the same package is the same job
        assert (await lab.run(*typed)).out.splitlines()[-1] == job


async def test_a_watch_from_another_process_sees_all_of_it_and_a_stop_brings_the_best_model_home(lab: RoomLab) -> None:
    async with lab.worker("gpu", 8, behaviour="endless"):
        job = await detach(lab)
        await until_epoch(JobFolder(lab.jobs_of("gpu") / job))
        running = await lab.run("jobs", "fetch", job)
        assert running.code == 2
        assert "still running" in running.err
        now = json.loads((await lab.run("jobs", "show", job, "--json")).out)
        assert now["state"] == "running"
        assert now["now"]["run"] == "single_instance"
        async with typed(lab, "jobs", "watch", job, "--json") as watching:
            assert watching.stdout
            async with asyncio.timeout(60):
                lines = [await watching.stdout.readline()]
                while b"epoch_ended" not in lines[-1]:
                    lines.append(await watching.stdout.readline())
            stopped = await lab.run("jobs", "stop", job)
            assert stopped.code == 0, stopped.err
            out, err = await watching.communicate()
            assert watching.returncode == 0, err
        events = [json.loads(line) for line in [*lines, *out.splitlines()]]
        numbers = [event["seq"] for event in events if event["event"] == "progress"]
        assert numbers == list(range(1, len(numbers) + 1))
        assert (lab.folder / "models" / "single_instance" / "best.ckpt").is_file()
        again = await lab.run("jobs", "stop", job, "--room", "lab")
        assert (again.code, "over already: done" in again.out) == (0, True)


async def test_members_see_each_others_jobs_and_act_on_their_own_alone(lab: RoomLab) -> None:
    async with lab.worker("gpu", 8, behaviour="endless"), lab.worker("small", 4, behaviour="endless"):
        bob, carol = await lab.user("bob"), await lab.user("carol")
        job = await detach(lab, user=bob)
        seen = await listed(lab, user=carol)
        assert (seen[job]["mine"], seen[job]["owner"], seen[job]["runs"]) == (False, "bob", [])
        for words in (["watch"], ["cancel", "--yes"]):
            foreign = await lab.run("jobs", *words, job, "--room", "lab", user=carol)
            unknown = await lab.run("jobs", *words, "j_abcdefgh", "--room", "lab", user=carol)
            assert (foreign.code, unknown.code) == (2, 2)
            assert complaint(foreign).replace(job, "") == complaint(unknown).replace("j_abcdefgh", "")
        # the room's owner may, and finds the worker that has it by asking both
        assert (await listed(lab))[job]["mine"]
        cancelled = await lab.run("jobs", "cancel", job[:12], "--room", "lab")
        assert cancelled.code == 0, cancelled.err
        assert await until_over(JobFolder(lab.jobs_of("gpu") / job)) is JobState.CANCELLED


async def test_a_jobs_worker_that_is_away_is_named(lab: RoomLab) -> None:
    async with lab.worker("gpu", 8, behaviour="endless"):
        job = await detach(lab)
    away = await lab.run("jobs", "show", job)
    assert away.code == 4
    assert f"The job {job} is on gpu, which is not online." in away.err
    async with lab.worker("small", 4):
        assert (await lab.run("jobs", "show", job)).code == 4


async def test_without_a_job_the_list_says_so(lab: RoomLab) -> None:
    nobody = await lab.run("jobs", "list", "--room", "lab", "--all")
    assert (nobody.code, nobody.out) == (4, "")
    async with lab.worker("small", 4):
        listing = await lab.run("jobs", "list", "--room", "lab", "--all")
        assert (listing.code, listing.out) == (0, "")
        assert "There are no jobs." in listing.err


async def test_jobs_of_a_worker_that_is_away_are_listed_as_it_last_told(lab: RoomLab) -> None:
    carol = await lab.user("carol")
    async with lab.worker("gpu", 8, behaviour="endless"):
        job = await detach(lab)
        await until_epoch(JobFolder(lab.jobs_of("gpu") / job))
        await until_told(lab, job, JobState.RUNNING)
    found = (await listed(lab))[job]
    assert (found["state"], found["owner"], found["mine"], found["worker"]) == ("running", "ada", True, "gpu")
    assert found["submitted"] <= found["changed"] <= found["as_of"]
    assert ([run["name"] for run in found["runs"]], found["name"]) == (["single_instance"], None)
    assert (await listed(lab, user=carol))[job]["runs"] == []
    async with lab.worker("small", 4, behaviour="endless"):
        other = await detach(lab, "more")
        await until_epoch(JobFolder(lab.jobs_of("small") / other))
        shown = await lab.run("jobs", "list", "--room", "lab")
        away, present = sorted(shown.out.splitlines()[1:], key=lambda line: other in line)
        assert "single_instance" in away
        assert "running, as of 20" in away
        assert away.endswith("gpu (away)")
        assert ("as of" in present, present.endswith("small")) == (False, True)
        assert set(await listed(lab, "--worker", "gpu")) == {job}
        assert (await lab.run("jobs", "list", "--room", "lab", "--worker", "no-such")).code == 4
        # a worker that is back knows better
        async with lab.worker("gpu", 8, behaviour="endless"):
            assert await until_over(JobFolder(lab.jobs_of("gpu") / job)) is JobState.LOST
            found = await listed(lab, "--all")
            assert [(found[each]["state"], found[each]["as_of"]) for each in (job, other)] == [
                ("lost", None),
                ("running", None),
            ]
            await until_told(lab, job, JobState.LOST)
    over = (await listed(lab, "--all"))[job]
    assert (over["state"], over["error"]) == ("lost", {"code": "job_failed"})


async def test_a_stranger_to_the_room_sees_nothing(lab: RoomLab) -> None:
    async with lab.worker("gpu", 8, behaviour="endless"):
        job = await detach(lab)
        mallory = await lab.user("mallory", member=False)
        for words in (["list"], ["show", job]):
            result = await lab.run("jobs", *words, "--room", lab.room.room_id, user=mallory)
            assert (result.code, result.out) == (2, "")


async def test_a_terminal_is_asked(lab: RoomLab) -> None:
    async with lab.worker("gpu", 8, behaviour="endless"):
        job = await detach(lab)
        folder = JobFolder(lab.jobs_of("gpu") / job)
        listing = await Terminal.open(lab, "jobs", "list", "--room", "lab")
        assert f"*  {job[:10]}  package" in await listing.until("gpu")
        assert await listing.code() == 0
        watching = await Terminal.open(lab, "jobs", "watch", job)
        await watching.until("single_instance")
        watching.type("\x03")
        await watching.until("what about the job?")
        watching.type("d\n")
        assert await watching.code() == 130
        cancelling = await Terminal.open(lab, "jobs", "cancel", job)
        await cancelling.until("Nothing of it is kept.")
        cancelling.type("n\n")
        assert await cancelling.code() == 130
        assert not folder.state().state.ended
