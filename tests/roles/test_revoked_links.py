"""Whose right to a room ends loses the links to its workers, at once or at the next look; jobs go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from signaling_server.signaling.members import Member
from sleap_rtc.client.client import Client
from sleap_rtc.client.package import Package, open_package
from sleap_rtc.client.remote import RemoteWorker
from sleap_rtc.client.remote_job import RemoteJob
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import AuthenticationError, UnreachableError
from sleap_rtc.protocol.jobs import EpochEnded, Event, JobState
from sleap_rtc.protocol.signaling import CLOSE_REVOKED
from sleap_rtc.session.session import Session
from sleap_rtc.signaling.client import ServiceState
from sleap_rtc.transport.engines import Engine
from tests.cli.room_lab import RoomLab, room_lab
from tests.jobs.conftest import LABELS, training_config, write_package
from tests.roles.times import TIMEOUTS
from tests.service.people import Person, join, leave, person
from tests.service.running import running_service

MB = 1024 * 1024
REMOVED = "You were removed from the room 'lab'."
WEBSOCKET_WITHIN, LINK_WITHIN = 3 * 2, 3 * 5
"""Three times as long as is promised."""


@dataclass
class User:
    """Somebody at a terminal of theirs."""

    client: Client
    worker: RemoteWorker
    sent_away: asyncio.Event

    async def session(self) -> Session:
        return await self.worker.link.session()


@asynccontextmanager
async def at_work(
    lab: RoomLab, somebody: Person, *, timeouts: Timeouts = TIMEOUTS, engine: Engine = "auto"
) -> AsyncIterator[User]:
    """Let somebody reach the only worker of the room."""
    sent_away = asyncio.Event()

    def hear(state: ServiceState) -> None:
        if state.final:
            sent_away.set()

    async with Client.join(
        lab.service.url, somebody.token, room=lab.room.room_id, engine=engine, timeouts=timeouts, on_service=hear
    ) as client:
        [present] = await client.workers()
        async with client.dial(present.worker_id) as worker:
            yield User(client, worker, sent_away)


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[RoomLab]:
    async with room_lab(tmp_path) as found:
        yield found


async def member(lab: RoomLab, name: str) -> Person:
    somebody = await person(lab.service, name)
    await join(lab.service, somebody, lab.room)
    return somebody


async def remove(lab: RoomLab, somebody: Person) -> None:
    await leave(lab.service, somebody, lab.room)
    await lab.service.service.hub.end_all(REMOVED, CLOSE_REVOKED, room=lab.room.room_id, user=somebody.user_id)


def worker_here(lab: RoomLab) -> Member:
    """The connection of the only worker, inside the service."""
    hub = lab.service.service.hub
    [found] = hub._workers[lab.room.room_id].values()  # type: ignore[attr-defined]
    made: Member = found
    return made


async def package(lab: RoomLab, size: int = 0) -> Package:
    folder = lab.folder / f"package-{size}"
    write_package(folder, {"single_instance": training_config()}, LABELS + bytes(range(256)) * (size // 256))
    return await open_package(folder)


@pytest.mark.parametrize("engine", ["libwebrtc", "aiortc"])
async def test_a_member_removed_while_they_upload(lab: RoomLab, engine: Engine) -> None:
    grace, mary = await member(lab, "grace"), await member(lab, "mary")
    underway = asyncio.Event()

    def count(sent: int, total: int, already: int) -> None:
        if sent > total / 8:
            underway.set()

    steady = replace(TIMEOUTS, dead=10.0)
    with closing(await package(lab, 16 * MB)) as labels:
        async with lab.worker("gpu", 8, timeouts=steady), at_work(lab, mary, timeouts=steady, engine=engine) as other:
            async with at_work(lab, grace, timeouts=steady, engine=engine) as user:
                session = await user.session()
                submitting = asyncio.ensure_future(user.worker.submit(labels, on_bytes=count))
                await underway.wait()
                await remove(lab, grace)
                async with asyncio.timeout(WEBSOCKET_WITHIN):
                    await user.sent_away.wait()
                async with asyncio.timeout(LINK_WITHIN):
                    assert isinstance(await session.wait_closed(), AuthenticationError)
                with pytest.raises(AuthenticationError, match="were removed from the room"):
                    await submitting
                with pytest.raises(AuthenticationError, match="were removed from the room"):
                    await user.worker.jobs()
            # what had come is in nobody's way: another one sends the same files, and trains
            job = await other.worker.submit(labels)
            assert await job.watch(lambda event: None) is JobState.DONE


async def test_a_job_of_who_was_removed_goes_on_and_stays_on_the_worker(lab: RoomLab, tmp_path: Path) -> None:
    grace = await member(lab, "grace")
    epoch = asyncio.Event()

    def see(event: Event) -> None:
        if isinstance(event.body, EpochEnded):
            epoch.set()

    with closing(await package(lab)) as labels:
        async with lab.worker("gpu", 8, behaviour="endless"):
            async with at_work(lab, grace) as user:
                job = await user.worker.submit(labels)
                watching = asyncio.ensure_future(job.watch(see))
                await epoch.wait()
                await remove(lab, grace)
                with pytest.raises(AuthenticationError, match=r"were removed.*goes on"):
                    await watching
                with pytest.raises(AuthenticationError):
                    await job.fetch(tmp_path / "models")
            await lab.until_load("gpu", busy=1, queued=0)
            assert not (tmp_path / "models").exists()


async def test_a_logout_ends_the_links_of_one_device(lab: RoomLab) -> None:
    laptop = await member(lab, "grace")
    desktop = await person(lab.service, "grace")
    async with lab.worker("gpu", 8), at_work(lab, laptop) as one, at_work(lab, desktop) as other:
        session = await one.session()
        await laptop.api.logout()
        async with asyncio.timeout(LINK_WITHIN):
            assert "You logged out" in str(await session.wait_closed())
        assert await other.worker.jobs() == []
        assert (await other.session()).close_reason is None


async def test_a_revoked_worker_token_ends_the_links_of_its_workers(lab: RoomLab) -> None:
    grace = await member(lab, "grace")
    [token] = await lab.api.tokens(lab.room.room_id)
    async with lab.worker("gpu", 8), at_work(lab, grace) as user:
        session = await user.session()
        await lab.api.revoke_token(lab.room.room_id, token.token_id)
        async with asyncio.timeout(LINK_WITHIN):
            reason = await session.wait_closed()
        assert "The worker had to leave the room. The token 'gpu' was revoked" in str(reason)
        with pytest.raises(AuthenticationError, match="had to leave"):
            await user.worker.jobs()


async def test_a_deleted_room_ends_its_links(lab: RoomLab) -> None:
    grace = await member(lab, "grace")
    async with lab.worker("gpu", 8), at_work(lab, grace) as user:
        session = await user.session()
        await lab.api.delete_room(lab.room.room_id)
        async with asyncio.timeout(LINK_WITHIN):
            assert "was deleted" in str(await session.wait_closed())
            await user.sent_away.wait()


async def test_a_message_that_was_missed_is_made_good_when_the_worker_is_back(lab: RoomLab) -> None:
    grace, mary = await member(lab, "grace"), await member(lab, "mary")
    async with lab.worker("gpu", 8), at_work(lab, grace) as user, at_work(lab, mary) as other:
        session = await user.session()
        # the worker's socket is lost in the moment in which it would be told
        worker_here(lab).outbox.abandon()
        await remove(lab, grace)
        async with asyncio.timeout(LINK_WITHIN):
            assert "no longer belong to this room" in str(await session.wait_closed())
        assert await other.worker.jobs() == []


async def test_the_look_every_minute_finds_what_nobody_said(lab: RoomLab) -> None:
    grace = await member(lab, "grace")
    async with lab.worker("gpu", 8, timeouts=replace(TIMEOUTS, lease=0.1)), at_work(lab, grace) as user:
        session = await user.session()
        assert await user.worker.jobs() == []
        await leave(lab.service, grace, lab.room)  # and nobody is told
        async with asyncio.timeout(LINK_WITHIN):
            assert "no longer belong to this room" in str(await session.wait_closed())


async def test_a_worker_that_does_not_hear_the_service_takes_nothing_new_and_goes_on(tmp_path: Path) -> None:
    times = replace(TIMEOUTS, lease=0.1, unconfirmed=1.0)
    async with room_lab(tmp_path) as lab:
        grace = await member(lab, "grace")
        epochs: asyncio.Queue[Event] = asyncio.Queue()

        def see(event: Event) -> None:
            if isinstance(event.body, EpochEnded):
                epochs.put_nowait(event)

        with closing(await package(lab)) as labels, closing(await package(lab, 256)) as more:
            async with lab.worker("gpu", 8, behaviour="endless", timeouts=times), at_work(lab, grace) as user:
                session = await user.session()
                job = await user.worker.submit(labels)
                watching = asyncio.ensure_future(job.watch(see))
                await epochs.get()
                await lab.service.stop()
                refusal = await _refused(user, more)
                assert "has not heard from the signaling service for 1 seconds" in refusal
                # the running job is watched on, found again, ended and fetched
                seen = (await epochs.get()).seq
                while (await epochs.get()).seq <= seen:
                    pass
                assert (await user.worker.submit(labels)).id == job.id
                await job.stop()
                assert await watching is JobState.DONE
                assert len(await job.fetch(tmp_path / "models")) == 1
                port = int(lab.service.url.rpartition(":")[2])
                async with running_service(tmp_path, dev=True, port=port):
                    again = await _taken(user, more)
                    assert again.id != job.id
                    assert (await user.session()) is session


async def _refused(user: User, labels: Package) -> str:
    """Submit until it is refused."""
    async with asyncio.timeout(30):
        while True:
            try:
                job = await user.worker.submit(labels, new=True)
            except UnreachableError as error:
                return str(error)
            await job.cancel()
            await asyncio.sleep(0.1)


async def _taken(user: User, labels: Package) -> RemoteJob:
    """Submit until it is taken."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await user.worker.submit(labels, new=True)
            except UnreachableError:
                await asyncio.sleep(0.1)
