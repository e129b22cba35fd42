"""``sleap-rtc dashboard``: what passes between its page and the service, and what never does."""

import asyncio
import json
import os
import zlib
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from sleap_rtc.config.credentials import Credentials, Login
from sleap_rtc.signaling.address import API
from sleap_rtc.signaling.http import MAX_ANSWER
from tests.cli.loopback import Loopback, log_in, loopback
from tests.cli.odd_service import odd_service, says
from tests.cli.shell import Shell
from tests.service.peers import WAIT
from tests.service.people import HOUR, Clock, person
from tests.service.running import RunningService, running_service


def keep_odd_login(server: str) -> None:
    """Be logged in at a service that is none."""
    Credentials().keep_login(server, Login("slpu_odd", "u_aaaaaaaaaaaaaaaa", "ada", None))


async def test_the_page_makes_and_lists_rooms_with_the_login_of_the_command_line(service: RunningService) -> None:
    login = await log_in(service.url)
    async with loopback(service.url) as dashboard:
        made = await dashboard.send("POST", "/api/v1/rooms", {"name": "lab", "expires_days": 30})
        assert made.status_code == 201
        answers = [made, await dashboard.get("/api/v1/rooms"), await dashboard.get("/api/v1/me")]
        assert answers[1].json()[0]["name"] == "lab"
        assert answers[2].json() == {"user_id": login.user_id, "name": "ada"}
        room = f"/api/v1/rooms/{made.json()['room_id']}"
        assert (await dashboard.send("PATCH", room, {"name": "fly lab"})).json()["name"] == "fly lab"
        page = await dashboard.get(room + "/log?limit=1")
        assert len(page.json()["events"]) == 1
        gone = await dashboard.send("DELETE", room)
        assert (gone.status_code, gone.content) == (204, b"")
        refused = await dashboard.get(room)
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
        for answer in [*answers, page, refused]:
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["date"]
            for secret in (login.access_token, login.refresh_token):
                assert secret not in answer.text + str(answer.headers)


async def test_only_what_a_request_is_about_reaches_the_service() -> None:
    async with odd_service(says(b"[]", "Set-Cookie: kept=1", "X-Other: 1")) as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            smuggled = {
                "Authorization": "Bearer slpu_other", "Cookie": "sleap-rtc-8000=x", "X-Forwarded-For": "192.0.2.1",
                "Forwarded": "for=192.0.2.1", "Via": "x", "Accept": "text/html", "X-HTTP-Method-Override": "DELETE",
                "Accept-Language": "tlh", "User-Agent": "Lynx",
            }  # fmt: skip
            for _ in range(2):
                answer = await dashboard.get("/api/v1/rooms?limit=1&before=a%20b", **smuggled)
                assert (answer.status_code, answer.text) == (200, "[]")
                assert not {"set-cookie", "x-other"} & set(answer.headers)
                dashboard.browser.cookies.clear()
        line, *headers = odd.asked[1].strip().split("\r\n")
        assert line == "GET /api/v1/rooms?limit=1&before=a%20b HTTP/1.1"
        said = {name.lower(): value for name, _, value in (header.partition(": ") for header in headers)}
        assert said.pop("user-agent").startswith("python-httpx")
        assert said == {
            "host": odd.url.removeprefix("http://"),
            "authorization": "Bearer slpu_odd",
            "accept": "application/json",
            "accept-encoding": "identity",
            "connection": "keep-alive",
        }


async def test_a_service_behind_a_path_is_asked_there() -> None:
    async with odd_service(says(b"{}"), path="/rtc") as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            assert (await dashboard.get("/api/v1/me")).status_code == 200
        assert odd.asked[0].startswith("GET /rtc/api/v1/me HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(b"", "Location: http://127.0.0.1:9/api/v1/me", status="307 Temporary Redirect"), "not followed"),
        (says(b"<script>alert(1)</script>", kind="text/html"), "not a sleap-rtc service"),
        (says(b"alert(1)", kind="text/javascript"), "not a sleap-rtc service"),
        (says(zlib.compress(b"[]"), "Content-Encoding: deflate"), "not a sleap-rtc service"),
        (says(b"[" + b" " * MAX_ANSWER + b"]"), "longer than 4 MiB"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "cannot be reached"),
        (b"", "cannot be reached"),
    ],
    ids=["redirect", "html", "script", "compressed", "endless", "ssh", "silence"],
)
async def test_what_is_no_answer_of_the_service_becomes_a_sentence(answer: bytes, words: str) -> None:
    async with odd_service(answer) as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            got = await dashboard.get("/api/v1/me")
        assert (got.status_code, got.json()["error"]["code"]) == (503, "unreachable")
        assert words in got.json()["error"]["sentence"]
        assert len(odd.asked) == 1


async def test_a_service_that_is_away_is_said_to_be_and_found_again(tmp_path: Path) -> None:
    async with running_service(tmp_path, dev=True) as service:
        port, url = int(service.url.rpartition(":")[2]), service.url
        await log_in(url)
    async with loopback(url) as dashboard:
        away = await dashboard.get("/api/v1/rooms")
        assert (away.status_code, away.json()["error"]["code"]) == (503, "unreachable")
        assert "sleap-rtc server" in away.json()["error"]["sentence"]
        with pytest.raises(InvalidStatus) as refused:
            async with dashboard.socket(API + "/ws?room=r_aaaaaaaaaaaaaaaa"):
                pass
        assert refused.value.response.status_code == 503
        async with running_service(tmp_path, dev=True, port=port):
            assert (await dashboard.get("/api/v1/rooms")).status_code == 200


async def test_an_old_access_token_is_renewed_on_the_way(service: RunningService) -> None:
    before = await log_in(service.url)
    async with loopback(service.url) as dashboard:
        room = (await dashboard.send("POST", "/api/v1/rooms", {"name": "lab", "expires_days": 30})).json()["room_id"]
        clock = Clock(service)
        clock.now += 2 * HOUR
        answers = await asyncio.gather(*(dashboard.get("/api/v1/me") for _ in range(10)))
        assert [answer.status_code for answer in answers] == [200] * 10
        after = Credentials().login(service.url)
        assert after is not None
        assert (after.login_id, after.access_token != before.access_token) == (before.login_id, True)
        clock.now += 2 * HOUR
        async with dashboard.socket(f"{API}/ws?room={room}") as socket:
            assert json.loads(await socket.recv())["principal"]["room"] == room


async def test_a_login_that_ended_is_said_to_have_and_the_next_one_is_used(
    service: RunningService, shell: Shell
) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        await shell.ok("logout")
        ended = await dashboard.get("/api/v1/me")
        assert (ended.status_code, ended.json()["error"]["code"]) == (401, "authentication")
        assert f"sleap-rtc login --server {service.url}" in ended.json()["error"]["sentence"]
        with pytest.raises(InvalidStatus) as refused:
            async with dashboard.socket(API + "/ws?room=r_aaaaaaaaaaaaaaaa"):
                pass
        assert refused.value.response.status_code == 401
        await shell.ok("login", "--name", "ada")
        assert (await dashboard.get("/api/v1/me")).json()["name"] == "ada"
        await shell.ok("login", "--name", "grace")
        foreign = await dashboard.get("/api/v1/me")
        assert (foreign.status_code, "grace has logged in" in foreign.text) == (401, True)


async def test_a_login_that_was_ended_elsewhere_is_the_services_word(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        other = await person(service, "ada")
        await other.api.end_logins()
        ended = await dashboard.get("/api/v1/me")
        assert (ended.status_code, "was ended" in ended.json()["error"]["sentence"]) == (401, True)


async def test_credentials_that_others_can_read_are_not_used(service: RunningService) -> None:
    await log_in(service.url)
    file = Path(os.environ["SLEAP_RTC_HOME"], "credentials.json")
    async with loopback(service.url) as dashboard:
        await asyncio.to_thread(file.chmod, 0o644)
        refused = await dashboard.get("/api/v1/me")
        assert (refused.status_code, "chmod 600" in refused.json()["error"]["sentence"]) == (422, True)


async def test_the_page_ends_other_logins_but_not_the_command_lines(service: RunningService) -> None:
    login = await log_in(service.url)
    other = await person(service, "ada")
    async with loopback(service.url) as dashboard:
        for path in ("logins", "logins/", f"logins/{login.login_id}"):
            refused = await dashboard.send("DELETE", f"/api/v1/me/{path}")
            assert (refused.status_code, "sleap-rtc logout" in refused.text) == (403, True)
        assert (await dashboard.send("DELETE", f"/api/v1/me/logins/{other.login_id}")).status_code == 204
        assert [each["current"] for each in (await dashboard.get("/api/v1/me/logins")).json()] == [True]


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'"' + b"x" * 65535 + b'"', {}, 413),
        (b'{"name": "lab"}', {"Content-Encoding": "gzip"}, 415),
        (b"name=lab", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 400),
    ],
    ids=["too large", "compressed", "a form", "text"],
)
async def test_bodies_that_no_page_of_ours_sends_do_not_pass(body: bytes, headers: dict[str, str], status: int) -> None:
    async with odd_service(says(b"{}")) as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            own = {"Origin": dashboard.origin, "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}
            answer = await dashboard.browser.post(dashboard.base + "/api/v1/rooms", content=body, headers=own | headers)
        assert (answer.status_code, odd.asked) == (status, [])
        assert answer.json()["error"]["sentence"]


async def open_room(dashboard: Loopback) -> str:
    made = await dashboard.send("POST", "/api/v1/rooms", {"name": "lab", "expires_days": 30})
    room: str = made.json()["room_id"]
    return room


async def test_a_websocket_passes_messages_both_ways(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        room = await open_room(dashboard)
        async with dashboard.socket(f"{API}/ws?room={room}") as socket:
            assert json.loads(await socket.recv())["type"] == "welcome"
            for number in range(3):
                await socket.send(json.dumps({"type": "workers", "id": number}))
                assert json.loads(await socket.recv()) == {
                    "type": "worker_list",
                    "re": number,
                    "workers": [],
                    "more": False,
                }
            await service.service.hub.end_all("gone", 4403, room=room)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "gone")


async def test_a_page_that_leaves_has_left_the_room(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        room = await open_room(dashboard)
        for _ in range(service.settings.limits.clients_per_user + 1):
            async with dashboard.socket(f"{API}/ws?room={room}") as socket:
                assert json.loads(await socket.recv())["type"] == "welcome"
            async with dashboard.socket(f"{API}/ws?room={room}") as socket:
                assert json.loads(await socket.recv())["type"] == "welcome"
                await socket.send(b"")  # is sent away
                await socket.wait_closed()


async def test_a_service_that_restarts_or_vanishes_is_heard_of(tmp_path: Path) -> None:
    async with running_service(tmp_path, dev=True) as service:
        await log_in(service.url)
        async with loopback(service.url) as dashboard:
            room = await open_room(dashboard)
            async with dashboard.socket(f"{API}/ws?room={room}") as socket:
                await socket.recv()
                await service.stop()
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012


@pytest.mark.parametrize(("message", "code"), [(b"bytes", 1003), ("x" * 65537, 1009)], ids=["bytes", "too large"])
async def test_what_is_no_message_ends_the_websocket(service: RunningService, message: str | bytes, code: int) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        room = await open_room(dashboard)
        async with dashboard.socket(f"{API}/ws?room={room}") as socket:
            await socket.recv()
            await socket.send(message)
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


@pytest.mark.parametrize(
    ("query", "subprotocol", "status"),
    [
        ("?room=r_aaaaaaaaaaaaaaaa", "sleap-rtc.v1", 404),
        ("?room=r_aaaaaaaaaaaaaaaa", "sleap-rtc.v9", 400),
        ("", "sleap-rtc.v1", 400),
        ("?room=r_aaaaaaaaaaaaaaaa&token=slpu_x", "sleap-rtc.v1", 400),
        ("?room=r_aaaaaaaaaaaaaaaa%26x%3d1", "sleap-rtc.v1", 400),
        ("?room=../../me", "sleap-rtc.v1", 400),
    ],
)
async def test_a_websocket_enters_a_room_of_this_user_and_nothing_else(
    service: RunningService, query: str, subprotocol: str, status: int
) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        with pytest.raises(InvalidStatus) as refused:
            async with dashboard.socket(f"{API}/ws{query}", subprotocol=subprotocol):
                pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body or b"")["error"]["sentence"]


async def test_it_ends_at_once_with_open_websockets(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        room = await open_room(dashboard)
        socket = await dashboard.socket(f"{API}/ws?room={room}")
        await socket.recv()
    async with asyncio.timeout(WAIT):
        with pytest.raises(ConnectionClosed):
            await socket.recv()


async def test_a_service_that_never_answers_does_not_keep_it_from_ending() -> None:
    async with odd_service(answer=None) as odd:
        keep_odd_login(odd.url)
        async with asyncio.timeout(WAIT), loopback(odd.url, request=10 * WAIT, connect=10 * WAIT) as dashboard:
            waiting = asyncio.ensure_future(dashboard.get("/api/v1/me"))
            opening = asyncio.ensure_future(_opened(dashboard))
            async with odd.changed:
                await odd.changed.wait_for(lambda: len(odd.asked) == 2)
        with pytest.raises(httpx2.HTTPError):
            await waiting
        with pytest.raises((InvalidHandshake, OSError)):
            await opening


async def _opened(dashboard: Loopback) -> None:
    await dashboard.socket(f"{API}/ws?room=r_aaaaaaaaaaaaaaaa")
