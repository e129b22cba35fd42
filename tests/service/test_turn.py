"""TURN credentials: how they are made, who gets them, and that peers who stay get new ones."""

import asyncio
import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from signaling_server.keys import load_turn_secret
from signaling_server.settings import Settings
from signaling_server.settings_reading import load_settings
from signaling_server.signaling.members import Member
from signaling_server.signaling.outbox import Outbox
from signaling_server.signaling.renewal import renewing
from signaling_server.signaling.turn import Relays, password
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConfigError
from sleap_rtc.protocol.sdp import IceServer
from sleap_rtc.protocol.signaling import (
    CLOSE_REVOKED,
    SIGNALING,
    SUBPROTOCOL,
    Gone,
    IceServers,
    Principal,
    Welcome,
)
from sleap_rtc.signaling.client import SignalingClient
from tests.service.peers import Key, link, open_room, peer
from tests.service.people import dev_service, person
from tests.service.running import running_service

SECRET = "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2
URLS = ["turn:turn.lab.example:3478?transport=udp", "turns:turn.lab.example:443?transport=tcp"]
STUN = IceServer(urls=["stun:stun.lab.example"])
ADA = Principal(user="u_aaaaaaaa", name="ada", role="client", room="r_aaaaaaaa", session="p_bbbbbbbb")
TURN = {"turn_urls": URLS, "turn_secret": SECRET}


def test_a_password_is_what_openssl_makes_of_the_name() -> None:
    # printf %s 1767225600:u_aaaaaaaa.p_bbbbbbbb | openssl dgst -sha1 -hmac "$SECRET" -binary | base64
    assert password(SECRET.encode(), "1767225600:u_aaaaaaaa.p_bbbbbbbb") == "BbKXqpLLUTVqqOFfxN5RbUpfYys="


def test_credentials_name_their_end_and_their_holder() -> None:
    relays = Relays(static=(STUN,), urls=tuple(URLS), secret=SECRET.encode())
    first, second = relays.servers(ADA, guest=False, now=1767222000_000)
    assert first == STUN
    assert second.urls == URLS
    assert second.username == "1767225600:u_aaaaaaaa.p_bbbbbbbb"
    assert second.credential == "BbKXqpLLUTVqqOFfxN5RbUpfYys="
    assert SECRET not in repr(relays)


def test_strangers_get_no_relay_unless_the_operator_says_so() -> None:
    static = (STUN, IceServer(urls=["stun:t.example", "turn:t.example"], username="u", credential="c"))
    relays = Relays(static=static, urls=tuple(URLS), secret=SECRET.encode())
    assert relays.servers(ADA, guest=True, now=0) == [STUN, IceServer(urls=["stun:t.example"])]
    assert relays.renewed_after(guest=True) is None
    welcome = Relays(static=static, urls=tuple(URLS), secret=SECRET.encode(), for_guests=True)
    assert len(welcome.servers(ADA, guest=True, now=0)) == 3
    assert welcome.renewed_after(guest=True) == welcome.renewed_after(guest=False) == 1800


@pytest.mark.one_database
async def test_members_and_workers_of_a_room_get_credentials_and_guests_none(tmp_path: Path) -> None:
    async with dev_service(tmp_path, **TURN) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        token = await ada.worker_token(room)
        guests = await open_room(service)
        names = set()
        for credential, named in ((ada.token, room.room_id), (token.token, None)):
            async with peer(service, credential, room=named) as made:
                (server,) = made.welcome["ice_servers"]
                principal = made.welcome["principal"]
            assert server["urls"] == URLS
            end, _, holder = server["username"].partition(":")
            assert holder == f"{principal['user']}.{principal['session']}"
            assert 3590 < int(end) - service.service.clock() / 1000 <= 3600
            assert server["credential"] == password(SECRET.encode(), server["username"])
            names.add(server["username"])
        assert len(names) == 2
        for credential in (guests.worker_token, guests.session_token):
            async with peer(service, credential) as made:
                assert made.welcome.get("ice_servers", []) == []


@pytest.mark.one_database
async def test_who_stays_is_told_new_ones(tmp_path: Path) -> None:
    async with dev_service(tmp_path, turn_minutes=2 / 60, **TURN) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        async with peer(service, ada.token, room=room.room_id) as stays:
            first = stays.welcome["ice_servers"][0]["username"]
            for _ in range(2):
                told = await stays.hear()
                assert told["type"] == "ice_servers"
                (server,) = told["ice_servers"]
                assert server["urls"] == URLS
                assert server["credential"] == password(SECRET.encode(), server["username"])
            # the same holder, and a later end
            assert server["username"].partition(":")[2] == first.partition(":")[2]
            assert int(server["username"].partition(":")[0]) > int(first.partition(":")[0])


@pytest.mark.one_database
async def test_a_peer_uses_the_newest_ones() -> None:
    newer = IceServer(urls=URLS, username="2:u", credential="c")

    async def service(connection: ServerConnection) -> None:
        older = [IceServer(urls=URLS, username="1:u", credential="b")]
        for said in (
            Welcome(principal=ADA, nonce="00" * 32, ice_servers=older),
            IceServers(ice_servers=[newer]),
            Gone(link=link()),
        ):
            await connection.send(SIGNALING.encode(said))
        await connection.wait_closed()

    async with serve(service, "127.0.0.1", 0, subprotocols=[Subprotocol(SUBPROTOCOL)]) as server:
        address = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        async with SignalingClient(address, "x", timeouts=Timeouts()) as client:
            welcome = await client.welcome()
            # nobody who reads offers and answers hears of it
            assert isinstance(await client.receive(), Gone)
            assert client.ice_servers == [newer]
            assert client.principal == welcome.principal


async def test_who_is_being_sent_away_is_told_none() -> None:
    made = {name: Member(name, ADA, "t_1", "", b"", Outbox(10**6)) for name in ("stays", "leaves", "left")}
    told = dict.fromkeys(made, 0)
    thrice = asyncio.Event()

    def servers(name: str) -> list[IceServer]:
        told[name] += 1
        if told["stays"] == 3:
            thrice.set()
        return [STUN]

    with ExitStack() as stack:
        renewed = {name: renewing(member, partial(servers, name), 0.01) for name, member in made.items()}
        for name in ("leaves", "stays"):
            stack.enter_context(renewed[name])
        made["leaves"].outbox.end(CLOSE_REVOKED, "out")
        with renewed["left"]:
            pass
        await thrice.wait()
    assert told == {"stays": 3, "leaves": 0, "left": 0}


@pytest.mark.one_database
async def test_without_relays_nothing_is_said_again(tmp_path: Path) -> None:
    async with running_service(tmp_path, turn_minutes=0.001, ice_servers=[{"urls": ["stun:s.example"]}]) as service:
        room = await open_room(service)
        async with peer(service, room.worker_token) as made:
            assert (await made.register(Key(1)))["type"] == "registered"
            assert service.service.relays.renewed_after(guest=False) is None
            assert await made.silent()


def refusal(tmp_path: Path, **settings: object) -> str:
    made = Settings.model_validate({"database_url": f"sqlite+aiosqlite:///{tmp_path / 'x.db'}"} | settings)
    with pytest.raises(ConfigError) as caught:
        load_turn_secret(made)
    return caught.value.sentence


@pytest.mark.one_database
def test_a_secret_that_is_missing_or_can_be_guessed_is_refused(tmp_path: Path) -> None:
    assert "static-auth-secret" in refusal(tmp_path, turn_urls=URLS)
    assert "turn_urls names none" in refusal(tmp_path, turn_secret=SECRET)
    for weak in ("short", "change-me-to-a-random-key-please-123", "0123" * 16):
        assert "openssl rand" in refusal(tmp_path, turn_urls=URLS, turn_secret=weak)
    assert "openssl rand" in refusal(tmp_path, turn_urls=URLS, turn_secret="north")
    both = refusal(tmp_path, turn_urls=URLS, turn_secret=SECRET, turn_secret_file=tmp_path / "secret")
    assert "Give one of them" in both


@pytest.mark.one_database
def test_a_secret_may_lie_in_a_file_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "turn"
    assert "cannot be read" in refusal(tmp_path, turn_urls=URLS, turn_secret_file=file)
    file.write_text(SECRET + "\n")
    file.chmod(0o644)
    assert "chmod 600" in refusal(tmp_path, turn_urls=URLS, turn_secret_file=file)
    file.chmod(0o600)
    environ = {
        "SLEAP_RTC_SERVER_TURN_URLS": '["turn:turn.lab.example"]',
        "SLEAP_RTC_SERVER_TURN_SECRET_FILE": str(file),
    }
    settings = load_settings(environ)
    assert load_turn_secret(settings) == SECRET.encode()
    assert load_turn_secret(load_settings({})) == b""


@pytest.mark.one_database
def test_a_secret_is_shown_nowhere(tmp_path: Path) -> None:
    assert SECRET not in repr(Settings.model_validate(TURN))
    file = tmp_path / "sleap-rtc-server.toml"
    file.write_text(f'turn_urls = ["turn:t.lab.example"]\nturn_secret = "{SECRET}"')
    file.chmod(0o640)
    with pytest.raises(ConfigError, match=r"'turn_secret' must stay secret\. Run: chmod 600"):
        load_settings({}, file)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "url",
    [
        *(
            "stun:s.example",
            "turn:",
            "turn:t.example:70000000",
            "turn:t.example:65536",
            "turn:t.example:0",
            "turn:t..x",
        ),
        *("turn:t?x=1", "turns:t?transport=udp", "turn://t"),
    ],
)
def test_what_is_no_turn_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"'turn_urls.*(no TURN server|over TCP)"):
        load_settings({"SLEAP_RTC_SERVER_TURN_URLS": f'["{url}"]', "SLEAP_RTC_SERVER_TURN_SECRET": SECRET})


@pytest.mark.one_database
@pytest.mark.parametrize(
    "url", ["nonsense", "stun:", "stun:s.example:65536", "stun://s.example", "stun:s?transport=udp"]
)
def test_what_no_peer_could_use_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="'ice_servers"):
        load_settings({"SLEAP_RTC_SERVER_ICE_SERVERS": json.dumps([{"urls": [url]}])})
