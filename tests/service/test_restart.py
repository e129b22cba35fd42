"""A service that is stopped says so, and everybody comes back to it by themselves."""

import asyncio
import signal
import socket as sockets
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signaling_server import app, server
from signaling_server.deps import RESTARTING
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import SleapRTCError, UnreachableError
from sleap_rtc.protocol.jobs import JobList, JobListed
from sleap_rtc.protocol.sdp import MAX_SDP
from sleap_rtc.protocol.signaling import CLOSE_RESTART
from sleap_rtc.signaling.client import Registration, ServiceState, SignalingClient
from sleap_rtc.signaling.policy import classify
from tests.service.peers import INFO, Key, browser, link, open_room, peer, worker
from tests.service.running import RunningService, running_service
from tests.service.test_killed import linked, prepared, service_process

ONE = Key(1)
MB = 1024 * 1024
pytestmark = pytest.mark.one_database
BACK_WITHIN = 3 * 10
"""Three times as long as is promised."""


async def test_peers_are_told_that_the_service_restarts(service: RunningService) -> None:
    room = await open_room(service)
    async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
        await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
        assert (await gpu.hear())["type"] == "offer"
        await service.stop()
        for each in (gpu, client):
            with pytest.raises(ConnectionClosed) as caught:
                await each.hear()
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, "restarts" in caught.value.rcvd.reason) == (1012, True)


async def test_whoever_comes_while_it_stops_is_told_to_come_back(service: RunningService) -> None:
    room = await open_room(service)
    service.service.stopping = True
    with pytest.raises(InvalidStatus) as caught:
        async with peer(service, room.session_token):
            pass
    assert caught.value.response.status_code == 503
    verdict = classify(caught.value, service.url)
    assert (verdict.final, type(verdict.error), "restarts" in verdict.error.sentence) == (False, UnreachableError, True)
    async with browser(service) as client:
        answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["problems"]) == (503, [RESTARTING])


async def test_a_peer_that_does_not_read_holds_no_restart_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "GOODBYE", 0.3)
    monkeypatch.setattr(server, "GRACE", 0.3)
    limits = {"queue": 64 * MB, "rate": 1e6, "burst": 10**6, "links": 10**6, "close_within": 3600}
    async with running_service(tmp_path, limits=limits) as service:
        room = await open_room(service)
        narrow = sockets.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])))
        narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 128 * 1024)
        async with (
            worker(service, room, ONE, sock=narrow, max_queue=1, close_timeout=0.1) as silent,
            peer(service, room.session_token) as client,
        ):
            for n in range(400):  # more than sockets take: the rest waits in the service
                await client.say("offer", link=link(n), worker_id=ONE.worker_id, sdp="v" * MAX_SDP)
            assert await client.silent()
            async with asyncio.timeout(60):
                await service.stop()
            silent.socket.transport.abort()


async def test_a_service_stopped_by_sigterm_has_succeeded_and_is_found_again(tmp_path: Path) -> None:
    labs = await prepared(tmp_path)
    lab, times = labs[0], Timeouts()  # those of users
    states: list[ServiceState] = []
    async with AsyncExitStack() as stack:
        process, url = await stack.enter_async_context(service_process(tmp_path))
        registration = Registration(ONE.public, ONE.private.sign, "gpu", INFO)
        gpu = await stack.enter_async_context(
            SignalingClient(
                url, lab.token, timeouts=times, registration=registration, patient=True, on_state=states.append
            )
        )
        client = await stack.enter_async_context(
            SignalingClient(url, lab.owner, room=lab.room, timeouts=times, patient=True)
        )
        await gpu.welcome()
        session = await stack.enter_async_context(linked(gpu, client, ONE))
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        assert (await session.request(JobList(), JobListed)).jobs == ()
        await stack.enter_async_context(service_process(tmp_path, int(url.rpartition(":")[2])))
        async with asyncio.timeout(BACK_WITHIN):
            await gpu.welcome()
            await client.welcome()
        assert (await session.request(JobList(), JobListed)).jobs == ()
        assert [worker.worker_id for worker in await client.workers()] == [ONE.worker_id]
    assert [state.connected for state in states[:3]] == [True, False, True]
    assert "restarts" in str(states[1].error)


async def test_a_service_ends_when_a_part_of_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = asyncio.Event()

    async def watch(_: object) -> None:
        await broken.wait()
        raise RuntimeError("nobody thought of this")

    async def told_and_left() -> None:
        async with running_service(tmp_path) as service:
            room = await open_room(service)
            async with peer(service, room.session_token) as client:
                broken.set()
                assert await client.closed() == CLOSE_RESTART
                await asyncio.Event().wait()

    monkeypatch.setattr(app, "keep_watch", watch)
    with pytest.raises(SleapRTCError, match="A part of the service failed"):
        await told_and_left()
