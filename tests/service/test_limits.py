import asyncio
import json
import socket as sockets
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from signaling_server.errands import MemoryErrands
from signaling_server.limits import TokenBucket, WindowLimiter, limit_key
from signaling_server.signaling.hub import MemoryHub
from signaling_server.signaling.members import Member
from signaling_server.signaling.outbox import Close, Outbox
from sleap_rtc.errors import BusyError
from sleap_rtc.protocol.sdp import MAX_SDP
from sleap_rtc.protocol.signaling import Principal
from tests.service.peers import Key, Peer, link, open_room, peer, worker
from tests.service.running import RunningService, running_service

pytestmark = pytest.mark.one_database

ONE = Key(1)


def test_a_bucket_lets_a_burst_through_and_then_a_rate() -> None:
    bucket = TokenBucket(rate=20, burst=100, now=0)
    assert [bucket.take(0) for _ in range(100)] == [0] * 100
    assert bucket.take(0) == pytest.approx(0.05)
    assert bucket.take(0.1) == 0
    assert bucket.take(1000) == 0
    assert sum(bucket.take(1000) == 0 for _ in range(200)) == 99


async def test_a_window_forgets_the_quietest_key() -> None:
    limiter = WindowLimiter(limit=2, window_ms=100, keys=2)
    assert [await limiter.allow("a", at) for at in (0, 99, 99)] == [True, True, False]
    assert await limiter.allow("a", 100)
    assert not await limiter.allow("a", 198)
    assert await limiter.allow("b", 198)
    assert await limiter.allow("c", 198)
    assert await limiter.allow("a", 198)  # forgotten when c came


async def test_an_errand_is_done_again_though_the_clock_was_set_back() -> None:
    now = [10**12]
    errands = MemoryErrands(lambda: now[0])
    assert [await errands.take("cleaning", 100), await errands.take("cleaning", 100)] == [True, False]
    now[0] += 100
    assert await errands.take("cleaning", 100)
    now[0] -= 10**9
    assert [await errands.take("cleaning", 100), await errands.take("cleaning", 100)] == [True, False]


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_counts_with_those_its_holder_can_choose(address: str, key: str) -> None:
    assert limit_key(address) == key


async def test_a_hub_counts_a_network_as_one_address() -> None:
    def member(presence: str, address: str) -> Member:
        principal = Principal(user="u_aaaaaaaa", name="gpu", role="worker", room="r_aaaaaaaa", session="p_aaaaaaaa")
        return Member(presence, principal, "t_1", address, bytes(32), Outbox(10))

    hub = MemoryHub(lambda *_: None, clients_per_user=9, sockets_per_address=1)
    first = member("1", "2001:db8::1")
    await hub.join(first)
    with pytest.raises(BusyError, match="address"):
        await hub.join(member("2", "2001:db8::2"))
    await hub.leave(first)
    await hub.join(member("2", "2001:db8::2"))


async def test_an_outbox_holds_exactly_its_bound() -> None:
    outbox = Outbox(10)
    outbox.put("12345")
    outbox.put("éé6")
    assert not outbox.ended.is_set()
    assert await outbox.next() == "12345"
    outbox.put("12345")
    outbox.put("1")
    assert outbox.close == Close(1013, "you read too slowly; connect again")
    assert await outbox.next() is None


async def test_what_was_queued_before_the_end_is_still_sent() -> None:
    outbox = Outbox(10)
    outbox.put("last words")
    outbox.end(4403, "é" * 100)
    outbox.end(1000, "too late")
    outbox.put("x")
    assert [await outbox.next(), await outbox.next()] == ["last words", None]
    assert outbox.close == Close(4403, "é" * 61)


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ("x" * 123, "x" * 123),
        ("It ended. " + "y" * 114, "It ended."),
        ("It ended. So did that. " + "y " * 60, "It ended. So did that."),
        ("word " * 25, "word " * 23 + "word"),
    ],
)
def test_a_reason_too_long_for_a_close_frame_is_cut_where_one_stops_reading(reason: str, kept: str) -> None:
    outbox = Outbox(10)
    outbox.end(4403, reason)
    assert outbox.close == Close(4403, kept)


async def test_a_message_has_a_bound_and_is_text(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"message": 1000}) as service:
        room = await open_room(service)
        whole = json.dumps({"type": "workers", "id": 1})
        async with peer(service, room.session_token) as client:
            await client.socket.send(whole + " " * (1000 - len(whole)))
            assert (await client.hear())["type"] == "worker_list"
            await client.socket.send(whole + " " * (1001 - len(whole)))
            assert await client.closed() == 1009
        async with peer(service, room.session_token) as client:
            await client.socket.send([whole[:5], *[" "] * 1000, whole[5:]])
            assert await client.closed() == 1009
        async with peer(service, room.session_token) as client:
            await client.socket.send(whole.encode())
            assert await client.closed() == 1003


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"type": 5}', '{"type": "offer"}', '{"a":' * 30, '{"type":"workers","id":NaN}', "null"]
)
async def test_what_is_no_message_is_answered_and_nothing_breaks(service: RunningService, text: str) -> None:
    room = await open_room(service)
    async with peer(service, room.session_token) as client:
        await client.socket.send(text)
        assert (await client.hear())["error"]["code"] == "protocol"
        assert (await client.ask("workers", id=1))["type"] == "worker_list"


async def test_a_flood_is_slowed_down_and_loses_nothing(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"rate": 500, "burst": 5}) as service:
        room = await open_room(service)
        async with peer(service, room.session_token) as client:
            began = asyncio.get_running_loop().time()
            for n in range(105):
                await client.say("workers", id=n)
            assert [(await client.hear())["re"] for _ in range(105)] == list(range(105))
            assert asyncio.get_running_loop().time() - began >= 0.2 - 0.001


@pytest.mark.spread
async def test_a_client_identity_and_an_address_have_a_bound(tmp_path: Path) -> None:
    limits = {"clients_per_user": 2, "sockets_per_address": 4}
    async with running_service(tmp_path, limits=limits) as service:
        room, other = await open_room(service), await open_room(service)
        async with peer(service, room.session_token), peer(service, room.session_token):
            with pytest.raises(InvalidStatus) as caught:
                await peer(service, room.session_token).__aenter__()
            assert caught.value.response.status_code == 429
            async with peer(service, room.worker_token), peer(service, room.worker_token):
                with pytest.raises(InvalidStatus) as caught:
                    await peer(service, other.session_token).__aenter__()
                assert caught.value.response.status_code == 429
        async with peer(service, room.session_token) as client:
            assert await client.silent()


async def test_a_slow_consumer_is_sent_away_and_the_others_stay(tmp_path: Path) -> None:
    limits = {"queue": 64 * 1024, "rate": 1e6, "burst": 10**6, "links": 10**6}
    async with running_service(tmp_path, limits=limits) as service:
        room = await open_room(service)
        narrow = sockets.create_connection(("127.0.0.1", int(service.url.rpartition(":")[2])))
        narrow.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 128 * 1024)
        async with (
            worker(service, room, ONE, sock=narrow, max_queue=1) as slow,
            peer(service, room.session_token) as client,
        ):
            count = 0
            while await _present(client):
                await client.say("offer", link=link(count), worker_id=ONE.worker_id, sdp="v" * MAX_SDP)
                count += 1
                assert count < 10_000
            assert await slow.closed() == 1013
            assert not await _present(client)


async def _present(client: Peer) -> bool:
    while True:
        answer = await client.ask("workers", id=1)
        if answer["type"] == "worker_list":
            return bool(answer["workers"])


@pytest.mark.spread
async def test_a_peer_that_vanishes_leaves_nothing_behind(service: RunningService) -> None:
    room = await open_room(service)
    async with peer(service, room.session_token) as client:
        async with worker(service, room, ONE) as gpu:
            gpu.socket.transport.abort()
            with pytest.raises(ConnectionClosed):
                await gpu.hear()
        async with asyncio.timeout(10):
            while await _present(client):
                pass
        here = [each.service.hub.here for each in (service, service.twin) if each is not None]
        assert sum(hub._by_address.total() for hub in here) == 1
