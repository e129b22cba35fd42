"""The bench's network: what it does to datagrams, and that a connection really passes it."""

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.transport import Peer
from tests.bench.proxied import proxied
from tests.bench.proxy_control import ProxyControl, running_proxy
from tests.bench.wire import HEADERS, Network, Wire
from tests.transport.meeting import PAIRS, REAL, make_peer, pass_candidates

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the proxy's sockets are Linux's")
MESSAGES = 16


@pytest.fixture
def proxy() -> Iterator[ProxyControl]:
    with running_proxy() as control:
        yield control


def test_a_wire_delays_what_it_lets_through() -> None:
    wire = Wire(Network(delay=0.5), "seed")
    assert wire.admit(10.0, [b"one", b"two"]) == [(10.5, [b"one", b"two"])]
    assert wire.admit(10.1, []) == []


def test_the_same_seed_loses_the_same_datagrams() -> None:
    def survivors(seed: str) -> list[bytes]:
        wire = Wire(Network(loss=0.1), seed)
        sent = [number.to_bytes(2) for number in range(1000)]
        return [p for at in range(0, 1000, 7) for _, group in wire.admit(0.0, sent[at : at + 7]) for p in group]

    assert survivors("one") == survivors("one") != survivors("two")
    assert 850 < len(survivors("one")) < 950


def test_a_bottleneck_sends_in_turn_and_drops_what_its_queue_cannot_hold() -> None:
    wire = Wire(Network(delay=1.0, rate=8_000, queue=3_000), "seed")
    packet = bytes(1_000 - HEADERS)
    assert wire.admit(0.0, [packet] * 5) == [(2.0, [packet]), (3.0, [packet]), (4.0, [packet])]
    assert wire.counters()["dropped_queue"] == 2
    assert wire.admit(1.0, [packet]) == [(5.0, [packet])]


def test_settings_change_by_name_and_no_others() -> None:
    wire = Wire(Network(), "seed")
    wire.change({"blocked": True})
    assert wire.admit(0.0, [b"one"]) == []
    with pytest.raises(TypeError):
        wire.change({"speed": 1})


@needs_linux
def test_datagrams_of_several_clients_reach_the_peer_and_come_back(proxy: ProxyControl) -> None:
    with _udp() as peer, _udp() as one, _udp() as other:
        near = ("127.0.0.1", proxy.open(*peer.getsockname()))
        for client, word in ((one, b"one"), (other, b"other"), (one, b"again")):
            client.sendto(word, near)
            heard, seen_as = peer.recvfrom(100)
            peer.sendto(heard + b"!", seen_as)
            assert client.recvfrom(100) == (word + b"!", near)
    assert proxy.counters()["up"]["datagrams"] == proxy.counters()["down"]["datagrams"] == 3


@needs_linux
def test_a_partition_of_one_direction_drops_that_one_only(proxy: ProxyControl) -> None:
    with _udp() as peer, _udp() as client:
        near = ("127.0.0.1", proxy.open(*peer.getsockname()))
        client.sendto(b"before", near)
        _, seen_as = peer.recvfrom(100)
        proxy.change("up", blocked=True)
        client.sendto(b"lost", near)
        peer.sendto(b"heard", seen_as)
        assert client.recvfrom(100)[0] == b"heard"
        proxy.change(blocked=False)
        client.sendto(b"after", near)
        assert peer.recvfrom(100)[0] == b"after"
    assert proxy.counters()["up"]["dropped_blocked"] == 1


@needs_linux
@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0] in REAL], ids="-".join)
async def test_all_bytes_of_a_connection_pass_the_proxy(
    pair: tuple[str, str], timeouts: Timeouts, proxy: ProxyControl
) -> None:
    offering = proxied(lambda: make_peer(pair[0], timeouts), proxy)
    answering = proxied(lambda: make_peer(pair[1], timeouts), proxy)
    async with offering() as one, answering() as other, asyncio.TaskGroup() as group:
        await other_answers(one, other)
        passing = [group.create_task(pass_candidates(*ends)) for ends in ((one, other), (other, one))]
        here, there = await one.wait_open(), await other.wait_open()
        for sender, receiver in ((here, there), (there, here)):
            message = bytes(min(sender.max_message_size, receiver.max_message_size))
            for _ in range(MESSAGES):
                await sender.send(message)
                assert await receiver.receive() == message
        for task in passing:
            task.cancel()
    counters = proxy.counters()
    assert min(counters[way]["bytes"] for way in ("up", "down")) > MESSAGES * len(message)


async def other_answers(one: Peer, other: Peer) -> None:
    offer = await one.create_offer()
    assert "a=candidate" not in offer
    await one.accept_answer(await other.accept_offer(offer))


def _udp() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(10)
    made.bind(("127.0.0.1", 0))
    return made
