"""Programs that are one service, on PostgreSQL and Redis: killed, replaced one by one, and nothing is lost."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from signaling_server import child
from signaling_server.child import serve_as_one
from signaling_server.inheritance import Inherited
from signaling_server.settings import Settings
from signaling_server.supervisor import MOST_SECONDS, Team, pause_after
from sleap_rtc.client.client import Client
from sleap_rtc.config.identity import load_identity
from sleap_rtc.errors import ConflictError, UnreachableError
from sleap_rtc.protocol.jobs import JobList, JobListed, JobState
from sleap_rtc.session.session import Session
from sleap_rtc.signaling.api import ServiceAPI
from sleap_rtc.signaling.client import SignalingClient
from tests.jobs.ending import end_jobs
from tests.roles.conftest import Lab as WorkerLab
from tests.roles.times import TIMEOUTS
from tests.roles.worker_process import TOKEN
from tests.service.databases import settings_for
from tests.service.peers import Key, link, peer, worker
from tests.service.running import RunningService
from tests.service.test_killed import PROGRAM, WORKERS, Lab, linked, peers_of, prepared, workers_seen

pytestmark = pytest.mark.postgres

Redis = tuple[str, str]
HEALED_WITHIN = 15 * 3
"""Three times as long as is promised."""
REPLACED_WITHIN = 120.0


class Program:
    """A service in a shell.

    Attributes:
        url: where it listens.
        process: the program; with several processes their parent.
    """

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process

    @property
    def port(self) -> str:
        return self.url.rpartition(":")[2]

    @property
    def children(self) -> set[int]:
        """The processes that serve."""
        return {child.pid for child in psutil.Process(self.process.pid).children()}

    @property
    def as_service(self) -> RunningService:
        """For what only asks where it is."""
        return cast(RunningService, _Address(self.url))


class _Address:
    def __init__(self, url: str) -> None:
        self.url = url
        self.ws_url = url.replace("http", "ws", 1) + "/api/v1/ws"


@asynccontextmanager
async def program(folder: Path, redis: Redis, *options: str) -> AsyncIterator[Program]:
    """The service as it is started in a shell, on the database of `prepared`."""
    given = settings_for(folder) | {"redis_url": redis[0], "redis_prefix": redis[1]}
    environment = os.environ | {f"SLEAP_RTC_SERVER_{name.upper()}": value for name, value in given.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "run", "--dev", *(options if "--port" in options else ("--port", "0", *options)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    assert process.stdout
    try:
        async with asyncio.timeout(120):
            url = re.search(rb"http://127\.0\.0\.1:\d+", await process.stdout.readline())
        assert url is not None
        yield Program(url.group().decode(), process)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(60):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
        process._transport.close()  # type: ignore[attr-defined]


async def until(true: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - nobody here is told when it happens
            await asyncio.sleep(0.1)


async def all_there(rooms: Sequence[Sequence[SignalingClient]]) -> bool:
    """Whether everybody in every room sees all its workers."""
    people = [each for room in rooms for each in room[WORKERS:]]
    return all(len(seen) == WORKERS for seen in await asyncio.gather(*map(workers_seen, people)))


@asynccontextmanager
async def crowd(url: str, labs: Sequence[Lab]) -> AsyncIterator[tuple[list[list[SignalingClient]], Session]]:
    """Everybody in some rooms, connected; and a link between two of them."""
    async with AsyncExitStack() as stack:
        rooms = [peers_of(url, number, lab) for number, lab in enumerate(labs)]
        for each in (each for room in rooms for each in room):
            await stack.enter_async_context(each)
        await until(lambda: all_there(rooms), 60)
        session = await stack.enter_async_context(linked(rooms[0][0], rooms[0][-1], Key(1)))
        yield rooms, session


async def test_a_job_trains_whose_client_is_at_another_process_than_its_worker(
    tmp_path: Path, shared_redis: Redis
) -> None:
    lab = (await prepared(tmp_path))[0]
    async with program(tmp_path, shared_redis) as one, program(tmp_path, shared_redis) as two:
        bench = WorkerLab(one.as_service, tmp_path, stop_service=lambda: asyncio.sleep(0))
        try:
            await bench.start_worker(environment={TOKEN: lab.token})
            key = await asyncio.to_thread(load_identity, tmp_path / "worker-home" / "identity")
            async with (
                Client.join(two.url, lab.owner, room=lab.room, timeouts=TIMEOUTS) as client,
                client.dial(key.worker_id) as gpu,
            ):
                job = await gpu.submit(await bench.package(), new=True)
                assert await job.watch(lambda event: None) is JobState.DONE
                folders = await job.fetch(tmp_path / "models")
            assert [(folder.name, (folder / "best.ckpt").is_file()) for folder in folders] == [
                ("single_instance", True)
            ]
            # what the worker told at one is known at the other
            api = ServiceAPI(two.url, lab.owner)

            async def told() -> bool:
                return [(each.job_id, each.state) for each in await api.jobs(lab.room)] == [(job.id, "done")]

            await until(told, 60)
        finally:
            await bench.kill_worker()
            for package in bench.packages:
                package.close()
            end_jobs(bench.jobs)


async def test_whoever_was_at_a_killed_process_is_gone_and_comes_back(tmp_path: Path, shared_redis: Redis) -> None:
    lab = (await prepared(tmp_path))[0]
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(program(tmp_path, shared_redis))
        two = await stack.enter_async_context(program(tmp_path, shared_redis))
        everybody = peers_of(one.url, 0, lab)[:WORKERS] + peers_of(two.url, 0, lab)[WORKERS:]
        for each in everybody:
            await stack.enter_async_context(each)
        await until(lambda: all_there([everybody]), 60)
        session = await stack.enter_async_context(linked(everybody[0], everybody[-1], Key(1)))
        async with (
            worker(one.as_service, lab.token, Key(99)),
            peer(two.as_service, lab.owner, room=lab.room) as dialing,
        ):
            await dialing.say("offer", link=link(), worker_id=Key(99).worker_id, sdp="v=0")
            one.process.kill()
            await one.process.wait()
            # nobody who died can say so: the other process notices, and who was dialing need not wait for long
            async with asyncio.timeout(HEALED_WITHIN):
                assert (await dialing.hear())["type"] == "gone"
                assert await workers_seen(everybody[-1]) == []
        assert (await session.request(JobList(), JobListed)).jobs == ()
        again = await stack.enter_async_context(program(tmp_path, shared_redis, "--port", one.port))
        await until(lambda: all_there([everybody]), HEALED_WITHIN)

        # and the other way round: the clients' process dies, the workers stay where they are
        two.process.kill()
        await two.process.wait()
        await stack.enter_async_context(program(tmp_path, shared_redis, "--port", two.port))
        await until(lambda: all_there([everybody]), HEALED_WITHIN)
        assert (await session.request(JobList(), JobListed)).jobs == ()
        assert again.process.returncode is None


async def test_a_process_of_several_that_is_killed_is_started_again(tmp_path: Path, shared_redis: Redis) -> None:
    labs = (await prepared(tmp_path))[:2]
    async with program(tmp_path, shared_redis, "--workers", "2") as service, crowd(service.url, labs) as (rooms, link_):
        before = service.children
        assert len(before) == 2
        os.kill(max(before), signal.SIGKILL)

        async def replaced() -> bool:
            return len(service.children) == 2 and max(before) not in service.children and await all_there(rooms)

        await until(replaced, HEALED_WITHIN)
        assert (await link_.request(JobList(), JobListed)).jobs == ()


async def test_all_processes_are_replaced_and_nothing_is_lost(tmp_path: Path, shared_redis: Redis) -> None:
    labs = (await prepared(tmp_path))[:2]
    async with program(tmp_path, shared_redis, "--workers", "2") as service, crowd(service.url, labs) as (rooms, link_):
        owner, guest = ServiceAPI(service.url, labs[0].owner), await ServiceAPI(service.url).login_dev("lise")
        invite = await owner.create_invite(labs[0].room)
        answers: list[Any] = []
        before = service.children
        service.process.send_signal(signal.SIGHUP)

        async def all_new() -> bool:
            # whoever comes meanwhile is served: the socket is listened to all the time
            answers.append(await ServiceAPI(service.url).health())
            return len(service.children) == 2 and not (before & service.children)

        await until(all_new, REPLACED_WITHIN)
        await until(lambda: all_there(rooms), HEALED_WITHIN)
        assert answers
        assert (await link_.request(JobList(), JobListed)).jobs == ()
        assert (await ServiceAPI(service.url, guest.access_token).redeem_invite(invite.code)).joined
        assert [token.name for token in await owner.tokens(labs[0].room)] == ["gpu-1"]
        service.process.send_signal(signal.SIGTERM)
        assert await service.process.wait() == 0
        assert (await link_.request(JobList(), JobListed)).jobs == ()


async def test_old_processes_stay_if_new_ones_do_not_start_and_none_outlives_the_parent(
    tmp_path: Path, shared_redis: Redis
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("workers = 2\n")
    async with program(tmp_path, shared_redis, "--settings", str(file)) as service:
        before = service.children
        assert len(before) == 2
        file.write_text("workers = many\n")
        service.process.send_signal(signal.SIGHUP)

        async def tried() -> bool:
            return len(service.children) == 3

        async def given_up() -> bool:
            return service.children == before

        await until(tried, 60)
        await until(given_up, 60)
        assert (await ServiceAPI(service.url).health()).service == "sleap-rtc"

        children = [psutil.Process(pid) for pid in before]
        service.process.kill()
        await service.process.wait()

        async def ended() -> bool:
            return not any(child.is_running() for child in children)

        await until(ended, 60)


async def test_processes_that_do_not_start_are_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        team = Team(2, listener, [sys.executable, "-c", "raise SystemExit(3)"])
        with pytest.raises(ConflictError, match="before it was ready"):
            await team.run(lambda: pytest.fail("nothing is ready"))


async def test_a_process_that_finds_no_redis_does_not_take_the_place_of_one_that_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "set_up", lambda settings: None)
    settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path / 'a.db'}", redis_url="redis://127.0.0.1:1/0")
    status, theirs = os.pipe()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(UnreachableError, match=r"Redis at redis://127\.0\.0\.1:1/0 does not answer"),
    ):
        await serve_as_one(settings, Inherited(listener.fileno(), theirs, -1))
    os.close(theirs)
    assert os.read(status, 1) == b""
    os.close(status)


_PYTHON = Path(sys.executable).resolve()
_SERVES = """
import os
_, status, leash = map(int, os.environ["SLEAP_RTC_SERVICE_PROCESS"].split(","))
os.write(status, b".")
os.read(leash, 1)
"""


async def test_a_program_that_is_just_not_there_ends_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    installed = tmp_path / "python"
    installed.symlink_to(_PYTHON)

    def serving() -> set[int]:
        found = set()
        for each in psutil.Process().children():
            with suppress(psutil.NoSuchProcess):  # others of these tests may end between two looks
                found |= {each.pid} if str(installed) in each.cmdline() else set()
        return found

    async def two() -> bool:
        return len(serving()) == 2

    with socket.create_server(("127.0.0.1", 0)) as listener:
        team, ready = Team(2, listener, [str(installed), "-ISc", _SERVES]), asyncio.Event()
        running = asyncio.create_task(team.run(ready.set))
        async with asyncio.timeout(60):
            await ready.wait()
        before = serving()
        installed.unlink()
        team.renew()

        async def tried() -> bool:
            return "the old ones stay" in caplog.text

        await until(tried, 60)
        assert serving() == before
        installed.symlink_to(_PYTHON)
        os.kill(max(before), signal.SIGKILL)

        async def replaced() -> bool:
            return await two() and max(before) not in serving()

        await until(replaced, 60)
        team.stop()
        await running


async def test_asked_to_replace_all_many_times_they_are_replaced_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        team, ready = Team(1, listener, [sys.executable, "-ISc", _SERVES]), asyncio.Event()
        running = asyncio.create_task(team.run(ready.set))
        async with asyncio.timeout(60):
            await ready.wait()
            team.renew()
            await asyncio.sleep(0)
            for _ in range(5):
                team.renew()
        while caplog.text.count(" serves") < 3:  # noqa: ASYNC110 - nobody here is told when it happens
            await asyncio.sleep(0.02)
        team.stop()
        await running
        assert caplog.text.count("all processes are replaced") == 2


def test_whoever_never_starts_is_tried_again_for_ever() -> None:
    pauses = [pause_after(failures) for failures in range(8)]
    assert pauses == [0, 1, 2, 4, 8, 16, MOST_SECONDS, MOST_SECONDS]
    assert pause_after(10_000) == MOST_SECONDS
