"""Logging in by name, and how long a login lasts."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from signaling_server.auth import logins
from signaling_server.housekeeping import clean_up, recheck
from signaling_server.models import AccessToken, Login, RefreshToken, User
from sleap_rtc.errors import AuthenticationError, ForbiddenError, NotFoundError, UsageError
from sleap_rtc.protocol.tokens import check_token, make_token
from sleap_rtc.signaling.api import ServiceAPI
from tests.service.browsers import Browser
from tests.service.oauth import begin, poll
from tests.service.peers import Key, browser, link, open_room, peer, worker
from tests.service.people import DAY, HOUR, Clock, dev_service, person
from tests.service.running import RunningService, running_service

LOGIN = "/api/v1/auth/dev"


async def test_the_same_name_is_the_same_user(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        api = ServiceAPI(service.url)
        first, second, other = [await api.login_dev(name) for name in ("ada", "ada", "grace")]
        assert first.user_id == second.user_id != other.user_id
        assert check_token(first.access_token) == "access"
        assert first.access_token != second.access_token
        assert first.access_token not in repr(first)
        assert (await ServiceAPI(service.url, first.access_token).me()).name == "ada"
    async with dev_service(tmp_path) as service:
        assert (await ServiceAPI(service.url, first.access_token).me()).user_id == first.user_id


async def test_one_name_at_once_is_one_user(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        api = ServiceAPI(service.url)
        grants = await asyncio.gather(*(api.login_dev("ada") for _ in range(8)))
        assert len({grant.user_id for grant in grants}) == 1
        async with service.service.database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(User)) == 1


async def test_a_service_without_it_says_how_to_get_it(service: RunningService) -> None:
    with pytest.raises(NotFoundError, match="server run --dev"):
        await ServiceAPI(service.url).login_dev("ada")


@pytest.mark.one_database
@pytest.mark.parametrize("name", ["", "-x", "a b", "é", "a\x1b[2J", "<script>", "n" * 65, "a\n"])
async def test_names_have_a_grammar(tmp_path: Path, name: str) -> None:
    async with dev_service(tmp_path) as service:
        with pytest.raises(UsageError, match="name"):
            await ServiceAPI(service.url).login_dev(name)
        assert (await ServiceAPI(service.url).login_dev("n" * 64)).name == "n" * 64


@pytest.mark.one_database
async def test_no_page_and_no_proxy_logs_in(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        for headers in (
            {"Host": "evil.example"},
            {"Host": "127.0.0.1.evil.example:8000"},
            {"Origin": "https://evil.example"},
            {"X-Forwarded-For": "203.0.113.9"},
            {"X-Forwarded-Proto": "https"},
            {"X-Real-IP": "203.0.113.9"},
            {"Forwarded": "for=203.0.113.9"},
            {"Via": "1.1 proxy"},
            {"Host": "["},
        ):
            answer = await client.post(LOGIN, json={"name": "ada"}, headers=headers)
            assert answer.status_code == 403, headers
        assert (await client.post(LOGIN, json={"name": "ada"}, headers={"Host": "localhost"})).status_code == 200


@pytest.mark.one_database
async def test_what_speaks_http_1_0_is_taken_for_a_proxy(tmp_path: Path) -> None:
    body = b'{"name": "ada"}'
    head = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    async with dev_service(tmp_path) as service:
        for version, status in (("1.0", b"403"), ("1.1", b"200")):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
            text = f"POST {LOGIN} HTTP/{version}\r\n{head}Connection: close\r\n\r\n"
            writer.write(text.encode() + body)
            assert (await reader.readline()).split()[1] == status
            writer.close()
            await writer.wait_closed()


async def test_logins_by_name_alone_end_where_nobody_may_make_them(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        async with service.service.database.transaction() as session:
            somebody = User(id="u_aaaaaaaa", provider="other", subject="grace", name="grace", created_at=0)
            session.add(somebody)
            await session.flush()
            grant = await logins.log_in(
                session, service.service.pepper, user=somebody, kind="device", device="laptop", address="",
                now=service.service.clock(), terms=service.service.terms,
            )  # fmt: skip
    async with running_service(tmp_path) as service:
        with pytest.raises(AuthenticationError, match="was ended"):
            await ServiceAPI(service.url, ada.token).me()
        assert (await ServiceAPI(service.url, grant.access_token).me()).name == "grace"
    async with dev_service(tmp_path) as service:
        with pytest.raises(AuthenticationError, match="was ended"):
            await ServiceAPI(service.url, ada.token).me()


async def test_who_was_let_in_by_name_alone_does_not_come_in_later(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as chrome:
        begun = await begin(service)
        await chrome.log_in_dev("ada")
        await chrome.send("/device/decision", code=begun["user_code"], decision="approve")
    async with running_service(tmp_path) as service:
        assert (await poll(service, begun["device_code"])).refused == "access_denied"


async def test_who_logged_out_is_out_at_once(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        other = await person(service, "ada")
        room = await ada.room()
        async with (
            peer(service, ada.token, room=room.room_id) as here,
            peer(service, other.token, room=room.room_id) as elsewhere,
        ):
            await ada.api.logout()
            async with asyncio.timeout(2):
                assert await here.closed() == 4403
            assert await elsewhere.silent()
        with pytest.raises(AuthenticationError, match="was ended just now"):
            await ada.api.me()
        with pytest.raises(AuthenticationError, match="was ended"):
            await ada.api.logout()
        assert (await other.api.me()).name == "ada"


async def test_a_login_ends_when_it_is_not_used(tmp_path: Path) -> None:
    async with dev_service(tmp_path, login_days=2) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room()
        async with peer(service, ada.token, room=room.room_id) as client:
            for _ in range(3):  # a connection is a use, and outlives its access token
                clock.now += 2 * DAY - 1
                await recheck(service.service)
                assert await client.silent()
            clock.now += 2 * DAY
            await recheck(service.service)
            assert await client.closed() == 4403
        clock.now += 3 * DAY
        with pytest.raises(AuthenticationError, match="expired 3 days ago"):
            await ada.api.me()
        clock.now += 4 * DAY + 1
        await clean_up(service.service)
        with pytest.raises(AuthenticationError, match="unknown"):
            await ada.api.me()
        async with service.service.database.transaction() as session:
            for table in (Login, AccessToken, RefreshToken):
                assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_who_dialled_a_worker_once_uses_no_login_any_more(tmp_path: Path) -> None:
    async with dev_service(tmp_path, login_days=2) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room, key = await ada.room(), Key(1)
        async with worker(service, (await ada.worker_token(room)).token, key) as gpu:
            async with peer(service, ada.token, room=room.room_id) as client:
                await client.say("offer", link=link(), worker_id=key.worker_id, sdp="v=0")
                await gpu.hear()
            clock.now += DAY
            await recheck(service.service)
            clock.now += DAY
            with pytest.raises(AuthenticationError, match="This login expired"):
                await ada.api.me()


async def test_a_browser_that_stays_connected_lives_by_its_own_terms(tmp_path: Path) -> None:
    async with dev_service(tmp_path, login_days=30, browser_days=2) as service, Browser(service) as chrome:
        clock = Clock(service)
        room = await (await person(service, "ada")).room()
        await chrome.log_in_dev("ada")
        headers = {"Origin": chrome.origin, "Sec-Fetch-Site": "same-origin"}
        made = await chrome.client.post("/api/v1/ws-tickets", json={"room_id": room.room_id}, headers=headers)
        names = [Subprotocol("sleap-rtc.v1"), Subprotocol(f"ticket.{made.json()['ticket']}")]
        async with connect(service.ws_url, subprotocols=names, proxy=None):
            clock.now += DAY
            await recheck(service.service)
        clock.now += 2 * DAY
        assert (await chrome.client.get("/api/v1/me")).status_code == 401


async def test_an_access_token_lasts_an_hour(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        clock.now += HOUR - 1
        assert (await ServiceAPI(service.url, ada.token).me()).name == "ada"
        clock.now += 1
        with pytest.raises(AuthenticationError, match="access token expired just now"):
            await ServiceAPI(service.url, ada.token).me()
        assert (await ada.api.me()).name == "ada"


async def test_who_the_operator_locks_out_is_out(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        async with peer(service, ada.token, room=room.room_id) as client:
            async with service.service.database.transaction() as session:
                (await session.get_one(User, ada.user_id)).disabled_at = service.service.clock()
            with pytest.raises(AuthenticationError, match="operator of this service lets you in no longer"):
                await ada.api.me()
            await recheck(service.service)
            assert await client.closed() == 4403


async def test_unknown_and_foreign_credentials_are_told_apart_by_their_holder_alone(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        room = await open_room(service)

        async def me(header: str | None) -> httpx2.Response:
            return await client.get("/api/v1/me", headers={} if header is None else {"Authorization": header})

        ada = (await person(service, "ada")).token
        wrong = [None, "", "Bearer x", f"Basic {ada}", f"Bearer {ada[:-1]}", f"Bearer {ada}0"]
        wrong += [f"Bearer {make_token(kind, bytes(32))}" for kind in ("access", "worker", "session", "refresh")]
        answers = [await me(header) for header in wrong]
        assert {answer.status_code for answer in answers} == {401}
        assert len({answer.content for answer in answers}) == 1
        for token in (room.worker_token, room.session_token):
            with pytest.raises(ForbiddenError, match="does not allow"):
                await ServiceAPI(service.url, token).me()


async def test_what_a_person_is_told_at_the_websocket(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room("lab")
        token = await ada.worker_token(room)
        async with (
            worker(service, token.token, Key(1)) as gpu,
            peer(service, ada.token, room=room.room_id) as client,
        ):
            principal = client.welcome["principal"]
            assert (principal["role"], principal["user"], principal["name"]) == ("client", ada.user_id, "ada")
            assert (principal["room"], client.welcome["room_name"]) == (room.room_id, "lab")
            assert gpu.welcome["principal"]["user"] != ada.user_id
            refused = await client.register(Key(2))
            assert refused["error"]["code"] == "forbidden"


async def test_a_browser_that_stays_connected_lives_as_long_as_browsers_do(tmp_path: Path) -> None:
    async with dev_service(tmp_path, login_days=20, browser_days=2) as service, Browser(service) as browsing:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room()
        await browsing.log_in_dev("ada")
        cookie = "; ".join(f"{name}={value}" for name, value in browsing.cookies.items())
        brings = {"Cookie": cookie}
        async with peer(service, None, room=room.room_id, additional_headers=brings, origin=service.url) as page:
            clock.now += 2 * DAY - 1
            await recheck(service.service)
            clock.now += 2 * DAY
            await recheck(service.service)
            assert await page.closed() == 4403
