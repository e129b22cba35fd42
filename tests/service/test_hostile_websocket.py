"""What hostile peers may do to the WebSocket: each is refused, costs itself alone, and the service serves on.

Here are the inputs that no honest peer sends. The other bounds are tested where their subject is: credentials in every
place of the handshake and foreign origins in `test_websocket` and `test_tickets`, each message before and after it is
allowed, twice, and by the wrong role in `test_websocket` and `test_permissions`, forged senders and foreign targets in
`test_websocket`, another worker's place in `test_takeover`, queues, floods, sizes and counts in `test_limits`,
descriptions and candidates in `tests/transport`.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from signaling_server.limit_settings import Limits
from signaling_server.protocols import PARTS
from sleap_rtc.protocol.sdp import MAX_CANDIDATES, MAX_SDP
from sleap_rtc.protocol.signaling import CLOSE_REVOKED
from sleap_rtc.signaling.api import AnonymousRoom
from tests.service.peers import INFO, Key, Peer, link, open_room, peer, worker
from tests.service.running import RunningService, running_service

ONE, TWO = Key(1), Key(2)
KB = 1024
pytestmark = pytest.mark.one_database


def test_the_bounds_are_those_that_are_promised() -> None:
    limits = Limits()
    assert (limits.message, limits.unproven_message, limits.queue) == (64 * KB, 4 * KB, 256 * KB)
    assert (limits.request_within, limits.register_within) == (5, 5)
    assert (limits.rate, limits.burst) == (20, 100)
    assert (limits.clients_per_user, limits.sockets_per_address) == (8, 50)
    assert (MAX_SDP, MAX_CANDIDATES) == (16 * KB, 32)


@asynccontextmanager
async def connected(service: RunningService) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def send(peer: Peer, *frames: Frame) -> None:
    """Write frames that the library would never make."""
    for frame in frames:
        peer.socket.transport.write(frame.serialize(mask=True))
    await asyncio.sleep(0)


async def serves(service: RunningService, room: AnonymousRoom) -> bool:
    async with peer(service, room.session_token) as somebody:
        return await somebody.silent()


# before anybody knows who it is


@pytest.mark.parametrize("begun", [b"", b"GET /api/v1/ws HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
async def test_idle_before_the_handshake(tmp_path: Path, begun: bytes) -> None:
    async with running_service(tmp_path, limits={"request_within": 0.1}) as service:
        room = await open_room(service)
        async with connected(service) as (reader, writer), asyncio.timeout(30):
            writer.write(begun)
            assert await reader.read() == b""
        assert await serves(service, room)


async def test_a_handshake_that_trickles_in(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"request_within": 0.2}) as service:
        room = await open_room(service)
        async with connected(service) as (reader, writer), asyncio.timeout(30):
            # each byte comes in time, and all together do not
            closing = asyncio.ensure_future(reader.read())
            while not closing.done():
                writer.write(b"X")
                await asyncio.wait([closing], timeout=0.02)
            with suppress(ConnectionError):  # what was on its way when it hung up
                assert await closing == b""
        assert await serves(service, room)


async def test_a_request_may_take_its_time_once_it_is_whole(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"request_within": 0.1}) as service:
        room = await open_room(service)
        loop = asyncio.get_running_loop()
        async with peer(service, room.session_token) as client:
            began = loop.time()
            while loop.time() < began + 0.3:
                assert await client.silent()


@pytest.mark.parametrize("padding", [14 * KB, 40 * KB])
async def test_a_head_without_end(service: RunningService, padding: int) -> None:
    async with connected(service) as (reader, writer), asyncio.timeout(30):
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * padding)
        if padding < 16 * KB:
            writer.write(b"\r\n\r\n")
        assert (await reader.readline()).split()[1] == (b"200" if padding < 16 * KB else b"400")


# before a worker has proven its key


@pytest.mark.parametrize(("size", "code"), [(4 * KB, None), (4 * KB + 1, 1009)])
async def test_a_large_message_before_register(service: RunningService, size: int, code: int | None) -> None:
    room = await open_room(service)
    async with peer(service, room.worker_token) as gpu:
        text = json.dumps({"type": "update", "id": 1, "info": INFO.model_dump()})
        await gpu.socket.send(text + " " * (size - len(text)))
        if code is None:
            assert (await gpu.hear())["error"]["code"] == "conflict"
            assert (await gpu.register(ONE))["type"] == "registered"
            await gpu.socket.send(text + " " * (60 * KB))
            assert await gpu.silent()
        else:
            assert await gpu.closed() == code


async def test_registering_twice_changes_nothing(service: RunningService) -> None:
    room = await open_room(service)
    async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
        assert (await gpu.register(ONE))["error"]["code"] == "conflict"
        assert (await gpu.register(TWO))["error"]["code"] == "conflict"
        present = (await client.ask("workers", id=1))["workers"]
        assert [each["worker_id"] for each in present] == [ONE.worker_id]


async def test_a_worker_whose_proof_failed_is_heard_no_more(service: RunningService) -> None:
    room = await open_room(service)
    async with worker(service, room, ONE) as victim, peer(service, room.worker_token) as thief:
        await thief.say(
            "register", id=1, public_key=ONE.public.hex(), signature="00" * 64, name="", info=INFO.model_dump()
        )
        await thief.say("update", id=2, info=INFO.model_dump())
        assert (await thief.hear())["error"]["code"] == "authentication"
        assert await thief.closed() == 4401
        assert await victim.silent()


# messages without end, in number or in size


async def test_fragments_without_end(service: RunningService) -> None:
    room = await open_room(service)
    async with peer(service, room.session_token) as client:
        await send(client, Frame(Opcode.TEXT, b'{"type": ', fin=False))
        closing = asyncio.ensure_future(client.closed())
        while not closing.done():
            await send(client, *[Frame(Opcode.CONT, b"", fin=False)] * 100)
        assert await closing == 1009
        assert await serves(service, room)


@pytest.mark.parametrize("size", [64 * KB, 64 * KB + 1])
async def test_fragments_up_to_the_bound_are_one_message(service: RunningService, size: int) -> None:
    room = await open_room(service)
    text = json.dumps({"type": "workers", "id": 1})
    text += " " * (size - len(text))
    parts = [text[at : at + 1000].encode() for at in range(0, size, 1000)]
    frames = [Frame(Opcode.CONT, part, fin=part is parts[-1]) for part in parts]
    frames[0].opcode = Opcode.TEXT
    assert len(frames) < PARTS
    async with peer(service, room.session_token) as client:
        await send(client, *frames)
        if size == 64 * KB:
            assert (await client.hear())["type"] == "worker_list"
        else:
            assert await client.closed() == 1009


async def test_pings_whose_answers_are_not_read(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"queue": 16 * KB}) as service:
        room = await open_room(service)
        async with peer(service, room.session_token, close_timeout=0.1) as client:
            transport = client.socket.transport
            transport.pause_reading()
            async with asyncio.timeout(60):
                while (await service.service.hub.totals()).clients:
                    await send(client, *[Frame(Opcode.PING, bytes(125))] * 1000)
            transport.abort()
        assert await serves(service, room)


async def test_ten_thousand_messages_at_once_hold_up_nobody_else(service: RunningService) -> None:
    room = await open_room(service)
    flood = Frame(Opcode.TEXT, json.dumps({"type": "workers", "id": 1}).encode()).serialize(mask=True) * 10_000
    async with peer(service, room.session_token, close_timeout=0.1) as client, worker(service, room, ONE) as gpu:
        client.socket.transport.write(flood)
        assert (await client.hear())["type"] == "worker_list"
        # the others are answered while the flood is read at its rate
        for n in range(20):
            await gpu.say("update", info=INFO.model_dump())
            assert (await gpu.ask("workers", id=n))["error"]["code"] == "forbidden"
        assert await serves(service, room)
        client.socket.transport.abort()


# whose right ends while they speak


async def revoke(service: RunningService, made: Peer) -> None:
    await service.service.hub.end_all("It was revoked.", CLOSE_REVOKED, user=made.welcome["principal"]["user"])


async def test_revoked_in_the_middle_of_a_message(service: RunningService) -> None:
    room = await open_room(service)
    offer = json.dumps({"type": "offer", "link": link(), "worker_id": ONE.worker_id, "sdp": "v=0"}).encode()
    async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
        await send(client, Frame(Opcode.TEXT, offer[:20], fin=False))
        await revoke(service, client)
        await send(client, Frame(Opcode.CONT, offer[20:]))
        assert await client.closed() == 4403
        assert await gpu.silent()


async def test_revoked_with_messages_waiting_for_their_turn(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"rate": 1, "burst": 1}) as service:
        room = await open_room(service)
        async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
            await client.ask("workers", id=1)
            for n in range(5):
                await client.say("offer", link=link(n), worker_id=ONE.worker_id, sdp="v=0")
            await revoke(service, client)
            assert await client.closed() == 4403
            heard: dict[str, Any] = await gpu.ask("update", id=1)
            assert heard["type"] == "error"  # and nothing came before
