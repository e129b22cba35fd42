"""``kill -9`` of the service with fifty peers connected: nothing is lost, and nobody has to be told."""

import asyncio
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sleap_rtc.config.identity import Identity
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.jobs import JobList, JobListed
from sleap_rtc.protocol.signaling import WorkerPresence
from sleap_rtc.session.link import LinkSettings, accept, dial
from sleap_rtc.session.session import Session
from sleap_rtc.session.switchboard import Switchboard
from sleap_rtc.signaling.api import ServiceAPI
from sleap_rtc.signaling.client import Registration, SignalingClient
from sleap_rtc.transport.engines import new_peer
from tests.service.peers import INFO, Key
from tests.service.people import dev_service, join, person

pytestmark = pytest.mark.one_database

PROGRAM = "from sleap_rtc.cli.server import server; server()"
TIMEOUTS = Timeouts(reconnect_first=0.05, reconnect_most=0.5, connect=10, request=10, close=1)
OWNERS = ("ada", "grace", "mary", "edith", "rosa")
WORKERS, SOCKETS = 4, 3
"""Of each room: workers with one token, and sockets of its owner and of a member each. Fifty in all."""


@dataclass(frozen=True)
class Lab:
    """A room, and what its people hold."""

    room: str
    token: str
    owner: str
    member: str


async def prepared(folder: Path) -> list[Lab]:
    """Rooms of five owners; each is a member of the next one's room as well."""
    async with dev_service(folder) as service:
        people = [await person(service, name) for name in OWNERS]
        labs = []
        for owner, member in zip(people, [*people[1:], people[0]], strict=True):
            room = await owner.room()
            await join(service, member, room)
            token = await owner.worker_token(room, expires_days=None)
            labs.append(Lab(room.room_id, token.token, owner.token, member.token))
        return labs


@asynccontextmanager
async def service_process(folder: Path, port: int = 0) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The service as it is started in a shell, on the database of `prepared`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, "run", "--dev", "--port", str(port), "--database", str(folder / "service.db"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout
    try:
        async with asyncio.timeout(60):
            url = re.search(rb"http://127\.0\.0\.1:\d+", await process.stdout.readline())
        assert url is not None
        yield process, url.group().decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


def peers_of(url: str, number: int, lab: Lab) -> list[SignalingClient]:
    """Everybody who is in a room, its first worker first."""
    keys = [Key(1 + number * WORKERS + each) for each in range(WORKERS)]
    workers = [
        SignalingClient(
            url, lab.token, timeouts=TIMEOUTS, patient=True,
            registration=Registration(key.public, key.private.sign, f"gpu-{at}", INFO),
        )
        for at, key in enumerate(keys)
    ]  # fmt: skip
    people = [
        SignalingClient(url, token, room=lab.room, timeouts=TIMEOUTS, patient=True)
        for token in (lab.owner, lab.member)
        for _ in range(SOCKETS)
    ]
    return workers + people


async def answer(_: Session, message: JobList) -> Message:
    return JobListed(jobs=(), more=False)


@asynccontextmanager
async def linked(worker: SignalingClient, client: SignalingClient, key: Key) -> AsyncIterator[Session]:
    """A link between two of them over a real connection; the client's end of it."""
    settings = LinkSettings(
        lambda: new_peer("auto", ice_servers=[], timeouts=TIMEOUTS), timeouts=TIMEOUTS, handlers={JobList: answer}
    )
    boards = Switchboard(worker), Switchboard(client)

    async def serve() -> None:
        offer = await boards[0].offers.get()
        async with accept(boards[0], offer, Identity(key.private), settings) as session:
            await session.wait_closed()

    tasks = [asyncio.create_task(each) for each in (boards[0].run(), boards[1].run(), serve())]
    try:
        await client.welcome()
        async with dial(boards[1], client.principal, key.worker_id, settings) as session:
            yield session
        await tasks[2]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_fifty_peers_come_back_to_a_service_that_was_killed_and_links_do_not_notice(tmp_path: Path) -> None:
    labs = await prepared(tmp_path)
    async with AsyncExitStack() as stack:
        process, url = await stack.enter_async_context(service_process(tmp_path))
        rooms = [peers_of(url, number, lab) for number, lab in enumerate(labs)]
        everybody = [peer for room in rooms for peer in room]
        assert len(everybody) == 50
        for peer in everybody:
            await stack.enter_async_context(peer)
        async with asyncio.timeout(30):
            before = [await peer.welcome() for peer in everybody]
        first, *_, client = rooms[0]
        session = await stack.enter_async_context(linked(first, client, Key(1)))

        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert (await session.request(JobList(), JobListed)).jobs == ()
        await stack.enter_async_context(service_process(tmp_path, int(url.rpartition(":")[2])))
        async with asyncio.timeout(30):
            for room in rooms:
                for peer in room[WORKERS:]:
                    while len(await workers_seen(peer)) < WORKERS:  # noqa: ASYNC110 - they come back one by one
                        await asyncio.sleep(0.05)
        assert [(await peer.welcome()).room_name for peer in everybody] == [each.room_name for each in before]
        # the link of before is the link of now
        assert (await session.request(JobList(), JobListed)).jobs == ()
        for lab in labs:
            assert [token.name for token in await ServiceAPI(url, lab.owner).tokens(lab.room)] == ["gpu-1"]
            assert lab.room in {room.room_id for room in await ServiceAPI(url, lab.member).rooms()}


async def workers_seen(peer: SignalingClient) -> list[WorkerPresence]:
    """The workers in a client's room, as far as it and they are back."""
    try:
        return await peer.workers()
    except SleapRTCError:
        return []
