"""Both engines through a real relay, with the configuration that the page about deploying recommends."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from aioice import stun
from aioice.turn import TurnClientUdpProtocol

from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import UnreachableError, ungrouped
from sleap_rtc.protocol.sdp import IceServer, candidates_in
from sleap_rtc.transport.engines import new_peer
from sleap_rtc.transport.paths import NetworkPath
from sleap_rtc.transport.turn_urls import readable
from tests.coturn import Coturn, coturn
from tests.transport.meeting import PAIRS, REAL, make_peer, meet

real_pairs = pytest.mark.parametrize("pair", PAIRS[1:], ids="-".join)
real_engines = pytest.mark.parametrize("engine", REAL)
PATIENT = Timeouts(gathering=2, connect=20, close=10)
Pair = tuple[str, str]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with coturn(tmp_path_factory.mktemp("coturn")) as running:
        yield running


async def carried(pair: Pair, servers: list[IceServer]) -> tuple[NetworkPath | None, ...]:
    """Let two peers that may use relays alone say something to each other; how they did."""
    async with meet(pair, PATIENT, servers, relay_only=True) as meeting:
        await meeting.one.channel.send(b"x" * 65536)
        assert await meeting.other.channel.receive() == b"x" * 65536
        return await meeting.one.path(), await meeting.other.path()


@real_pairs
@pytest.mark.parametrize("carrier", ["udp", "tcp"])
async def test_peers_meet_through_a_relay(relay: Coturn, pair: Pair, carrier: str) -> None:
    for path in await carried(pair, [relay.server(carrier)]):
        assert path is not None
        assert (path.way, path.local, path.carrier) == ("relay", "relay", carrier)


@real_engines
async def test_addresses_that_no_engine_reads_are_left_out(engine: str) -> None:
    unreadable = [
        *("nonsense", "stun:", "stun:[", "stun:127.0.0.1:65536", "turn:127.0.0.1:65536", "turns:127.0.0.1:99999"),
        *("turn:\u2603.example", "turns:\0", "turn:a..b", f"turns:{'a' * 64}", "turn:t?transport=sctp", "turn:%00"),
    ]
    for url in unreadable:
        # a service that means ill says so to everybody
        servers = [IceServer(urls=[url, "stun:127.0.0.1:9"]), IceServer(urls=[url], username="u", credential="c")]
        assert readable(servers) == [IceServer(urls=["stun:127.0.0.1:9"])]
    everything = [IceServer(urls=unreadable[:8]), IceServer(urls=unreadable[8:])]
    async with new_peer(engine, ice_servers=everything) as peer:  # type: ignore[arg-type]
        assert "a=fingerprint" in await peer.create_offer()
    with pytest.raises(UnreachableError, match="names none"):
        new_peer(engine, ice_servers=everything, relay_only=True)  # type: ignore[arg-type]


@real_pairs
async def test_peers_meet_through_a_relay_over_tls(relay: Coturn, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(relay.certificate))
    for path in await carried(pair, [relay.server("tls")]):
        assert path is not None
        assert (path.way, path.carrier) == ("relay", "tls")


@real_engines
async def test_a_relay_whose_certificate_nobody_trusts_is_not_used(relay: Coturn, engine: str) -> None:
    short = Timeouts(gathering=0.5, connect=1, close=10)
    with pytest.raises(UnreachableError, match="no relay of the service answers this machine"), ungrouped():
        async with meet((engine, engine), short, [relay.server("tls")], relay_only=True):
            pass


async def test_of_several_addresses_aiortc_uses_the_best(relay: Coturn) -> None:
    # libwebrtc begins with whichever answers first
    silent = IceServer(urls=["turn:127.0.0.1:9?transport=udp"], username="1:u", credential="c")
    for path in await carried(("aiortc", "aiortc"), [silent, relay.server("tcp"), relay.server("udp")]):
        assert path is not None
        assert path.carrier == "udp"


@real_engines
async def test_a_relay_is_reached_over_tcp_where_udp_gets_nowhere(relay: Coturn, engine: str) -> None:
    # what a firewall does to UDP: nothing answers there
    server = relay.server("tcp")
    blocked = server.model_copy(update={"urls": ["turn:127.0.0.1:9?transport=udp", *server.urls]})
    for path in await carried((engine, engine), [blocked]):
        assert path is not None
        assert path.carrier == "tcp"


@real_pairs
async def test_a_direct_path_is_taken_though_there_is_a_relay(relay: Coturn, pair: Pair) -> None:
    async with meet(pair, PATIENT, [relay.server("udp", "tcp")]) as meeting:
        await meeting.one.channel.send("x")
        assert await meeting.other.channel.receive() == "x"
        for end in (meeting.one, meeting.other):
            path = await end.path()
            assert path is not None
            assert path.way != "relay"


@real_engines
async def test_a_peer_for_relays_alone_tells_no_address_of_its_machine(relay: Coturn, engine: str) -> None:
    async with make_peer(engine, PATIENT, [relay.server("udp")], relay_only=True) as peer:
        found = candidates_in(await peer.create_offer())
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                found += [each.candidate async for each in peer.candidates()]
    assert found
    for candidate in found:
        words = candidate.split()
        assert words[7] == "relay"
        assert words[words.index("raddr") + 1] == "0.0.0.0"


@real_engines
@pytest.mark.parametrize("wrong", ["expired", "foreign"])
async def test_without_good_credentials_nothing_is_relayed(relay: Coturn, engine: str, wrong: str) -> None:
    server = relay.server("udp", seconds=-5) if wrong == "expired" else relay.server("udp", secret="another" * 8)
    short = Timeouts(gathering=0.5, connect=1, close=10)
    with pytest.raises(UnreachableError, match="no relay of the service answers this machine"), ungrouped():
        async with meet((engine, engine), short, [server], relay_only=True):
            pass


@real_engines
@pytest.mark.parametrize("urls", [[], ["stun:127.0.0.1:9"]])
def test_without_a_relay_no_peer_is_made_that_needs_one(engine: str, urls: list[str]) -> None:
    servers = [IceServer(urls=urls)] if urls else []
    with pytest.raises(UnreachableError, match=r"--relay-only.*names none.*Ask its operator"):
        make_peer(engine, PATIENT, servers, relay_only=True)


async def granted(server: IceServer, port: int, address: str) -> int:
    """Allocate an address at a relay and ask to speak to another one: 0, or why not, as a code of STUN."""
    protocol = TurnClientUdpProtocol(
        ("127.0.0.1", port),
        username=server.username,
        password=server.credential,
        lifetime=600,
        channel_refresh_time=500,
    )
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: protocol, remote_addr=("127.0.0.1", port))
    try:
        await protocol.connect()
        request = stun.Message(message_method=stun.Method.CREATE_PERMISSION, message_class=stun.Class.REQUEST)
        request.attributes["XOR-PEER-ADDRESS"] = (address, 5000)
        await protocol.request_with_retry(request)
    except stun.TransactionFailed as error:
        return int(error.response.error_code or -1)
    finally:
        if protocol.relayed_address is not None:
            await protocol.delete()
        protocol.transport.close()
    return 0


async def test_the_recommended_relay_leads_to_no_network_of_its_own(tmp_path: Path) -> None:
    with coturn(tmp_path, more=()) as relay:
        for address in (
            "0.0.0.1", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.254",
            "192.168.1.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        ):  # fmt: skip
            assert await granted(relay.server("udp"), relay.port, address) == 403, address
        for address in ("8.8.8.8", "172.32.0.1", "100.128.0.1", "203.0.113.7"):
            assert await granted(relay.server("udp"), relay.port, address) == 0, address
        assert await granted(relay.server("udp", seconds=-5), relay.port, "8.8.8.8") == 401
        assert await granted(relay.server("udp", secret="another" * 8), relay.port, "8.8.8.8") == 401
