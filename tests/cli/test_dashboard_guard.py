"""``sleap-rtc dashboard``: who may speak to its page's server, and who hears nothing of it."""

import asyncio
import hashlib
import os
import socket
import sys

import pytest
from websockets.exceptions import InvalidStatus

from sleap_rtc.config.room_secrets import RoomSecretStore
from sleap_rtc.signaling.address import API
from tests.cli.loopback import log_in, loopback
from tests.cli.odd_service import odd_service, says
from tests.cli.test_dashboard_proxy import keep_odd_login
from tests.service.peers import WAIT
from tests.service.running import RunningService

NOTHING = (404, b"")


async def test_the_page_is_the_installed_one_under_the_services_own_policy(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        page = await dashboard.get("/dashboard/", **{"Sec-Fetch-Site": "none"})
        script = await dashboard.get("/dashboard/static/app.js")
        about = await dashboard.get("/dashboard/page.json")
        again = await dashboard.get("/dashboard/static/app.js", **{"If-None-Match": script.headers["etag"]})
        missing = await dashboard.get("/dashboard/static/secrets.js")
        hosted = await dashboard.browser.get(service.url + "/dashboard/static/app.js")
    assert (page.status_code, again.status_code, missing.status_code) == (200, 304, 404)
    assert "static/app.js" in page.text
    assert hashlib.sha256(script.content).digest() == hashlib.sha256(hosted.content).digest()
    for name in ("Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options", "Cross-Origin-Opener-Policy"):
        assert page.headers[name] == script.headers[name] == hosted.headers[name]
    told = {"kind": "loopback", "server": service.url, "version": about.json()["version"], "relay_only": False}
    assert about.json() == told


async def test_without_the_secret_part_of_the_address_nothing_is_there() -> None:
    async with odd_service(says(b"{}")) as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            token = dashboard.address.token
            wrong = ["", "x", token[:-1], token + "x", token.swapcase(), f"%{ord(token[0]):02x}{token[1:]}"]
            rest = ("/dashboard/", "/dashboard/static/app.js", "/api/v1/me", "/local/secrets/r_aaaaaaaaaaaaaaaa", "/x")
            for path in [f"/{word}{each}" for word in wrong for each in rest] + [f"/{token}", "/", "*"]:
                assert await dashboard.raw(f"GET {path} HTTP/1.1") == NOTHING
            for each in rest:
                assert await dashboard.raw(f"POST /{wrong[1]}{each} HTTP/1.1", "Content-Length: 0") == NOTHING
            with pytest.raises(InvalidStatus) as refused:
                async with dashboard.socket("x" + API + "/ws?room=r_aaaaaaaaaaaaaaaa"):
                    pass
            assert (refused.value.response.status_code, refused.value.response.body) == NOTHING
        assert odd.asked == []


async def test_another_name_for_this_machine_leads_nowhere(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        line, port = f"GET /{dashboard.address.token}/dashboard/ HTTP/1.1", dashboard.address.port
        wrong = ("evil.example", "127.0.0.1", "localhost:1", f"127.0.0.1.evil.example:{port}", f"[::2]:{port}", "x")
        for host in wrong:
            assert await dashboard.raw(line, host=host) == NOTHING
        for host in ("localhost", "LOCALHOST", "127.0.0.1", "[::1]"):
            assert (await dashboard.raw(line, host=f"{host}:{port}"))[0] == 200


PATHS = [
    "/api/v1/../../dashboard/",
    "/api/v1/%2e%2e/me",
    "/api/v1/me/..",
    "/api/v1/me/%2e%2e/auth/methods",
    "/api/v1//me",
    "/api/v1/rooms/%2fme",
    "/api/v1/rooms/..%5cme",
    "/api/v1/rooms;x=1",
    "/api/v1/me%00",
    "/api/v1/me%0d%0aX:1",
    "/api/v1/",
    "/api/v1",
    "/api/v1/auth/methods",
    "/api/v1/auth/logout",
    "/api/v1/auth/token",
    "/api/v1/ws-tickets",
    "/api/v1/ws",
    "/api/v1/openapi.json",
    "/api/v1/metrics",
    "/metrics",
    "/health",
    "/docs",
    "/login",
    "/openapi.json",
    "/dashboard",
    "/dashboard/static/../index.html",
    "/dashboard/static/%2e%2e/assets.py",
    "/dashboard/static//etc/passwd",
    "//dashboard/",
    "/local/secrets/..",
    "/local/secrets/%2e%2e%2f",
    "/local/workers/w_x/..",
    "/local/",
]


async def test_paths_lead_where_the_page_goes_and_nowhere_else() -> None:
    async with odd_service(says(b"{}")) as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            own = f"Origin: {dashboard.origin}", "Sec-Fetch-Site: same-origin", "Content-Length: 0"
            for path in PATHS:
                for method in ("GET", "POST", "DELETE", "OPTIONS", "TRACE"):
                    status, _ = await dashboard.raw(f"{method} /{dashboard.address.token}{path} HTTP/1.1", *own)
                    assert status in (404, 405), (method, path)
                absolute = f"GET {odd.url}/{dashboard.address.token}{path} HTTP/1.1"
                assert await dashboard.raw(absolute) == NOTHING
        assert odd.asked == []


async def test_nothing_is_changed_for_another_site() -> None:
    async with odd_service(says(b"{}")) as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            port = dashboard.address.port
            pages = [
                ("http://evil.example", "cross-site"),
                ("http://evil.example", "same-origin"),
                ("null", "cross-site"),
                ("", "same-origin"),
                (f"http://127.0.0.1:{port % 60000 + 1}", "same-site"),
                (f"http://127.0.0.1:{port}", "same-site"),
                (f"http://127.0.0.1:{port}", "none"),
                (f"http://127.0.0.1:{port}", ""),
                (f"https://127.0.0.1:{port}", "same-origin"),
                (f"http://localhost:{port}", "same-origin"),
            ]
            asked = [
                ("POST", "/api/v1/rooms"),
                ("DELETE", "/api/v1/rooms/r_aaaaaaaaaaaaaaaa"),
                ("POST", "/local/secrets/r_aaaaaaaaaaaaaaaa"),
                ("PUT", "/local/workers/w_aaaaaaaa"),
            ]
            for origin, site in pages:
                for method, path in asked:
                    refused = await dashboard.send(method, path, {}, **{"Origin": origin, "Sec-Fetch-Site": site})
                    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert odd.asked == []
        assert not RoomSecretStore().rooms(odd.url)


async def test_nothing_is_told_to_another_sites_page(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        for path in (
            "/api/v1/me",
            "/local/secrets/r_aaaaaaaaaaaaaaaa",
            "/dashboard/static/app.js",
            "/dashboard/page.json",
        ):
            for site in ("cross-site", "same-site"):
                assert (await dashboard.get(path, **{"Sec-Fetch-Site": site})).status_code == 403
            foreign = await dashboard.get(path, Origin="http://evil.example")
            assert (foreign.status_code, "access-control-allow-origin" in foreign.headers) == (403, False)
            # a program that is no browser says nothing of the kind
            assert (await dashboard.browser.get(dashboard.base + path)).status_code == 200
        path = "/api/v1/rooms/dashboard/"
        assert (await dashboard.get(path, **{"Sec-Fetch-Site": "cross-site"})).status_code == 403
        # a link leads to the page from anywhere, for whoever knows the address
        assert (await dashboard.get("/dashboard/", **{"Sec-Fetch-Site": "cross-site"})).status_code == 200


async def test_no_other_page_opens_a_websocket() -> None:
    async with odd_service(says(b"{}")) as odd:
        keep_odd_login(odd.url)
        async with loopback(odd.url) as dashboard:
            where = f"{API}/ws?room=r_aaaaaaaaaaaaaaaa"
            pages = (None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1")
            foreign = dashboard.socket(where, additional_headers={"Sec-Fetch-Site": "cross-site"})
            for opening in [*(dashboard.socket(where, origin=origin) for origin in pages), foreign]:
                with pytest.raises(InvalidStatus) as refused:
                    async with opening:
                        pass
                assert refused.value.response.status_code == 403
        assert odd.asked == []


async def test_the_address_that_a_browser_is_started_with_opens_the_page_once(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        door = dashboard.address.new_door()
        assert dashboard.address.token not in door
        assert (await dashboard.browser.head(door)).status_code == 404
        opened = await dashboard.browser.get(door, headers={"Sec-Fetch-Site": "none"})
        assert (opened.status_code, opened.headers["location"]) == (303, dashboard.address.url)
        assert opened.headers["cache-control"] == "no-store"
        again = await dashboard.browser.get(door)
        assert (again.status_code, again.content) == NOTHING
        first = dashboard.address.new_door()
        second = dashboard.address.new_door()
        assert (await dashboard.browser.get(first)).status_code == 404
        assert (await dashboard.browser.get(second + "/dashboard/")).status_code == 404
        assert (await dashboard.browser.get(second)).status_code == 303


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody sees with what others start their programs")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_another_user_who_sees_that_address_does_not_get_in(
    service: RunningService, family: socket.AddressFamily
) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        door = dashboard.address.new_door()
        with socket.socket(family) as theirs:
            if os.getuid() == 0:
                os.fchown(theirs.fileno(), 65534, -1)
            else:
                dashboard.address.user = os.getuid() + 1
            assert await _answer(theirs, door) == 403
        dashboard.address.user = os.getuid()
        with socket.socket(family) as ours:
            assert await _answer(ours, door) == 303


async def _answer(by: socket.socket, door: str) -> int:
    """The status of what a socket is answered that asks for an address."""
    _, _, place, word = door.split("/")
    by.setblocking(False)
    loop, port = asyncio.get_running_loop(), int(place.partition(":")[2])
    async with asyncio.timeout(WAIT):
        await loop.sock_connect(by, ("127.0.0.1" if by.family == socket.AF_INET else "::ffff:127.0.0.1", port))
        await loop.sock_sendall(by, f"GET /{word} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        return int((await loop.sock_recv(by, 4096)).split(b" ")[1])


async def test_each_start_has_an_address_of_its_own(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as one, loopback(service.url) as other:
        assert one.address.token != other.address.token
        assert (await one.raw(f"GET /{other.address.token}/dashboard/ HTTP/1.1")) == NOTHING
        for secret in (one.address.token, one.address.new_door().rpartition("/")[2]):
            assert secret not in repr(one.address)


@pytest.mark.skipif(sys.platform != "linux", reason="only there every address of 127/8 is this machine's")
async def test_it_listens_on_one_address_of_this_machine(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        with socket.create_connection(("127.0.0.1", dashboard.address.port)):
            pass
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", dashboard.address.port))
