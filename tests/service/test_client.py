"""`ServiceAPI` and `SignalingClient` against a real service, and against what is none."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import update
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close
from websockets.typing import Subprotocol

from signaling_server.housekeeping import recheck
from signaling_server.models import Token
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import (
    AuthenticationError,
    BusyError,
    ConflictError,
    ConnectionLost,
    ForbiddenError,
    ProtocolError,
    SleapRTCError,
    StorageError,
    UnreachableError,
    UsageError,
)
from sleap_rtc.protocol.codec import Message
from sleap_rtc.protocol.signaling import (
    SIGNALING,
    SUBPROTOCOL,
    Answer,
    Gone,
    GpuInfo,
    IceCandidate,
    Offer,
    Principal,
    Welcome,
)
from sleap_rtc.protocol.tokens import make_token
from sleap_rtc.signaling.address import service_address
from sleap_rtc.signaling.api import AnonymousRoom, ServiceAPI
from sleap_rtc.signaling.backoff import backoff
from sleap_rtc.signaling.client import Registration, ServiceState, SignalingClient
from sleap_rtc.signaling.policy import classify
from tests.service.peers import INFO, Key, link, open_room, peer
from tests.service.running import RunningService, running_service

pytestmark = pytest.mark.one_database

ONE = Key(1)
QUICK = Timeouts(reconnect_first=0.01, reconnect_most=0.05, connect=5, request=5, close=1)
NOBODY = "http://127.0.0.1:9"


def registration(key: Key = ONE) -> Registration:
    return Registration(key.public, key.private.sign, "lab-gpu-1", INFO)


def a_worker(service: RunningService, room: AnonymousRoom, states: list[ServiceState] | None = None) -> SignalingClient:
    return SignalingClient(
        service.url,
        room.worker_token,
        timeouts=QUICK,
        registration=registration(),
        patient=True,
        on_state=None if states is None else states.append,
    )


def a_client(service: RunningService, room: AnonymousRoom) -> SignalingClient:
    return SignalingClient(service.url, room.session_token, timeouts=QUICK)


async def until_lost(client: SignalingClient) -> None:
    async with asyncio.timeout(10):
        while True:
            await client.send(IceCandidate(link=link()))


class Silent(Message):
    """A question of the future: today's service does not know it and says nothing."""

    TYPE = "silent"


@asynccontextmanager
async def something_else(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A program that gives one answer to whatever it is asked."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
MOVED = b"HTTP/1.1 307 Moved\r\nLocation: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def test_health_and_rooms(service: RunningService) -> None:
    assert (await ServiceAPI(service.url + "/").health()).service == "sleap-rtc"
    room = await ServiceAPI(service.url).create_anonymous_room("lab")
    assert room.session_token not in repr(room)


async def test_nobody_there_says_what_to_start() -> None:
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9 cannot be reached.*sleap-rtc server"):
        await ServiceAPI(NOBODY).health()
    async with SignalingClient(NOBODY, "x", timeouts=QUICK) as client:
        with pytest.raises(UnreachableError, match="sleap-rtc server"):
            await client.welcome()
        with pytest.raises(UnreachableError):
            await client.receive()
        with pytest.raises(UnreachableError):
            await client.receive()
        with pytest.raises(UnreachableError):
            await client.send(IceCandidate(link=link()))


async def test_another_program_there_is_named_so() -> None:
    async with something_else(PLAIN) as (url, _):
        with pytest.raises(UnreachableError, match="not a sleap-rtc service"):
            await ServiceAPI(url).health()
        async with SignalingClient(url, "x", timeouts=QUICK) as client:
            with pytest.raises(UnreachableError, match="not a sleap-rtc service"):
                await client.welcome()
    async with something_else(b"SSH-2.0-OpenSSH\r\n") as (url, _):
        with pytest.raises(UnreachableError):
            await ServiceAPI(url).health()


async def test_a_redirect_gets_no_token(service: RunningService) -> None:
    room = await open_room(service)
    async with something_else(PLAIN) as (elsewhere, heard), something_else(MOVED % elsewhere.encode()) as (url, _):
        with pytest.raises(UnreachableError, match="points to another address"):
            await ServiceAPI(url, room.worker_token).create_anonymous_room()
        async with SignalingClient(url, room.session_token, timeouts=QUICK) as client:
            with pytest.raises(UnreachableError):
                await client.welcome()
    assert heard == []


async def test_no_token_travels_in_the_open() -> None:
    server = "http://rtc.lab.example:8000"
    with pytest.raises(UsageError, match="not encrypted"):
        SignalingClient(server, "x", timeouts=QUICK)
    with pytest.raises(UsageError, match="not encrypted"):
        await ServiceAPI(server, "x").health()
    with pytest.raises(UsageError, match="not encrypted"):
        await ServiceAPI(server).create_anonymous_room()


@pytest.mark.parametrize(
    ("server", "url", "private"),
    [
        ("https://rtc.example.org/", "https://rtc.example.org", True),
        ("https://rtc.example.org/base/", "https://rtc.example.org/base", True),
        ("http://localhost:8000", "http://localhost:8000", True),
        ("http://[::1]:8000", "http://[::1]:8000", True),
        ("http://127.0.0.2", "http://127.0.0.2", True),
        ("http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example", False),
        ("http://localhost.evil.example", "http://localhost.evil.example", False),
        ("http://10.0.0.1", "http://10.0.0.1", False),
    ],
)
def test_addresses(server: str, url: str, private: bool) -> None:
    address = service_address(server)
    assert (address.url, address.private) == (url, private)
    assert address.websocket == "ws" + url[4:] + "/api/v1/ws"


@pytest.mark.parametrize(
    "server", ["", "rtc.example.org", "ftp://x", "http://", "http://u:p@x", "http://x:y", "http://x?t=1"]
)
def test_what_is_no_address(server: str) -> None:
    with pytest.raises(UsageError, match="not the address"):
        service_address(server)


async def test_a_client_finds_and_dials_a_worker(service: RunningService) -> None:
    room = await open_room(service, "lab")
    async with a_worker(service, room) as gpu, a_client(service, room) as client:
        assert (await gpu.welcome()).room_name == "lab"
        [present] = await client.workers()
        assert (present.worker_id, present.name) == (ONE.worker_id, "lab-gpu-1")
        await client.send(Offer(link=link(), worker_id=present.worker_id, sdp="v=0"))
        offer = await gpu.receive()
        assert isinstance(offer, Offer)
        assert offer.sender == client.principal.model_copy(update={"session": link()})
        await gpu.send(Answer(link=link(), sdp="v=0"))
        assert await client.receive() == Answer(link=link(), sdp="v=0")
        await gpu.update(INFO.model_copy(update={"busy": 1}))
        async with asyncio.timeout(10):
            while (await client.workers())[0].info.busy != 1:
                pass
        await client.send(Offer(link=link(1), worker_id=Key(2).worker_id, sdp="v=0"))
        gone = await client.receive()
        assert isinstance(gone, Gone)
        assert gone.error is not None
        assert gone.error.code == "not_found"


async def test_a_refused_credential_is_final_even_for_the_patient(service: RunningService) -> None:
    states: list[ServiceState] = []
    async with SignalingClient(
        service.url, make_token("worker", bytes(32)), timeouts=QUICK, patient=True, on_state=states.append
    ) as client:
        with pytest.raises(AuthenticationError, match="does not accept"):
            await client.welcome()
    assert [(state.connected, state.final) for state in states] == [(False, True)]


async def test_a_service_that_leads_to_another_room_is_left_for_good() -> None:
    """Else what is known of the room that was meant, such as its secret, would be left aside."""
    principal = Principal(user="u_user0000", name="ada", role="client", room="r_other000", session="p_session0")

    async def lie(socket: ServerConnection) -> None:
        await socket.send(SIGNALING.encode(Welcome(principal=principal, nonce="00" * 32)))
        await socket.wait_closed()

    async with serve(lie, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        address = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        async with SignalingClient(address, "x", timeouts=QUICK, room="r_room0000", patient=True) as client:
            with pytest.raises(ForbiddenError, match="led to the room r_other000 instead of r_room0000"):
                await client.welcome()


async def test_a_worker_comes_back_after_a_restart_of_the_service(tmp_path: Path) -> None:
    states: list[ServiceState] = []
    async with running_service(tmp_path) as service:
        room = await open_room(service)
        port = int(service.url.rpartition(":")[2])
        gpu = await a_worker(service, room, states).__aenter__()
        await gpu.welcome()
        await gpu.update(INFO.model_copy(update={"slots": 4}))
    try:
        with pytest.raises(ConnectionLost):
            await until_lost(gpu)
        async with running_service(tmp_path, port=port) as service:
            await gpu.welcome()
            async with a_client(service, room) as client:
                [present] = await client.workers()
                assert present.info.slots == 4
    finally:
        await gpu.__aexit__(None, None, None)
    # said once each, however often it was tried
    assert [state.connected for state in states][:3] == [True, False, True]
    assert not any(state.final for state in states)


async def test_a_worker_with_dozens_of_gpus_registers_within_what_a_stranger_may_send(service: RunningService) -> None:
    room = await open_room(service)
    gpus = [GpuInfo(name="NVIDIA H100 80GB HBM3", memory_mb=81559, uuid=f"GPU-{n:036}") for n in range(32)]
    info = INFO.model_copy(update={"gpus": gpus})
    made = Registration(ONE.public, ONE.private.sign, "lab-gpu-1", info)
    async with SignalingClient(service.url, room.worker_token, timeouts=QUICK, registration=made) as gpu:
        await gpu.welcome()
        async with a_client(service, room) as client, asyncio.timeout(10):
            while (await client.workers())[0].info.gpus != gpus:
                pass


async def test_the_older_of_two_equal_workers_ends_with_a_sentence(service: RunningService) -> None:
    room = await open_room(service)
    async with a_worker(service, room) as older:
        await older.welcome()
        async with a_worker(service, room) as newer:
            await newer.welcome()
            with pytest.raises(ConflictError, match="newer one took over"):
                await older.receive()
            with pytest.raises(ConflictError):
                await older.welcome()


async def test_a_revoked_worker_ends_with_a_sentence(service: RunningService) -> None:
    room = await open_room(service)
    async with a_worker(service, room) as gpu:
        await gpu.welcome()
        async with service.service.database.transaction() as session:
            await session.execute(update(Token).values(revoked_at=1))
        await recheck(service.service)
        with pytest.raises(AuthenticationError, match="was revoked"):
            await gpu.receive()


async def test_a_question_fails_when_the_service_is_lost(tmp_path: Path) -> None:
    async with running_service(tmp_path) as service:
        room = await open_room(service)
        client = await a_client(service, room).__aenter__()
        await client.welcome()
        asking = asyncio.ensure_future(client._ask(Silent(id=99)))
    try:
        with pytest.raises(ConnectionLost):
            await asking
    finally:
        await client.__aexit__(None, None, None)


async def test_an_error_in_the_block_passes_unchanged(service: RunningService) -> None:
    room = await open_room(service)

    async def fail() -> None:
        async with a_client(service, room) as client:
            await client.welcome()
            raise ZeroDivisionError

    async def wait() -> None:
        async with asyncio.timeout(0.05), a_client(service, room) as client:
            await client.receive()

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(TimeoutError):
        await wait()


async def test_a_second_client_beyond_the_bound_is_told_so(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"clients_per_user": 1}) as service:
        room = await open_room(service)
        async with peer(service, room.session_token), a_client(service, room) as client:
            with pytest.raises(BusyError, match="Too many"):
                await client.welcome()


def test_pauses_double_with_jitter() -> None:
    assert list(islice(backoff(0.5, 3, lambda: 0.0), 5)) == [0.5, 1, 2, 3, 3]
    assert list(islice(backoff(0.5, 3, lambda: 1.0), 4)) == [0.25, 0.5, 1, 1.5]


def closed(code: int) -> ConnectionClosedError:
    return ConnectionClosedError(Close(code, "why"), None)


@pytest.mark.parametrize(
    ("error", "kind", "final"),
    [
        (OSError(), UnreachableError, False),
        (TimeoutError(), UnreachableError, False),
        (ssl.SSLCertVerificationError(1, "x"), UnreachableError, False),
        (ConnectionClosedError(None, None), ConnectionLost, False),
        (closed(1012), ConnectionLost, False),
        (closed(1013), ConnectionLost, False),
        (closed(4401), AuthenticationError, True),
        (closed(4403), AuthenticationError, True),
        (closed(4409), ConflictError, True),
        (ProtocolError("x"), ProtocolError, False),
        (BusyError("x"), BusyError, False),
        (StorageError("x"), StorageError, False),
        (AuthenticationError("x"), AuthenticationError, True),
    ],
)
def test_which_failures_are_final(error: Exception, kind: type[SleapRTCError], final: bool) -> None:
    verdict = classify(error, "https://rtc.example.org")
    assert type(verdict.error) is kind
    assert verdict.final is final
