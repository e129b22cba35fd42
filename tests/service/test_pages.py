"""The pages and the cookie: who is logged in in a browser, and which command line they let in."""

import re
from pathlib import Path

import pytest
from sqlalchemy import select

from signaling_server.auth.browser import Site, browser_name
from signaling_server.models import AccessToken, DeviceCode, Login, User
from sleap_rtc.protocol.tokens import check_token
from tests.service import oauth
from tests.service.browsers import Browser, said
from tests.service.peers import http_client
from tests.service.people import DAY, Clock, dev_service, person
from tests.service.running import RunningService, running_service

ME = "/api/v1/me"


async def logins(service: RunningService) -> list[Login]:
    async with service.service.database.transaction() as session:
        return list(await session.scalars(select(Login).order_by(Login.created_at)))


async def test_a_device_is_let_in(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        begun = await oauth.begin(service, "gpu-box \u202egnp\x1b[31m <script>alert(1)</script>")
        assert begun["verification_uri"] == f"{service.url}/device"
        sent = await browser.open("/device")
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?return_to=/device")
        login = await browser.open(sent.headers["location"])
        assert 'name="return_to" value="/device"' in login.text
        sent = await browser.send("/login/dev", name="ada", return_to="/device")
        assert (sent.status_code, sent.headers["location"]) == (303, "/device")
        assert "Type the code" in said(await browser.open("/device"))
        # as people type
        asked = await browser.send("/device", code=f" {begun['user_code'].lower().replace('-', ' ')} ")
        assert asked.status_code == 200
        text = said(asked)
        assert "gpu-box gnp <script>alert(1)</script>" in text
        assert "<script" not in asked.text
        assert "127.0.0.1" in text
        assert re.search(r"just now, at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", text)
        assert "act as ada" in text
        # looking is not approving
        assert (await oauth.poll(service, begun["device_code"])).refused == "authorization_pending"
        done = await browser.send("/device/decision", code=begun["user_code"], decision="approve")
        assert "Approved" in said(done)
        tokens = (await oauth.poll(service, begun["device_code"])).body
        assert tokens["name"] == "ada"
        async with http_client(service) as command_line:
            me = await command_line.get(ME, headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert me.json()["name"] == "ada"
        again = await browser.send("/device/decision", code=begun["user_code"], decision="deny")
        assert again.status_code == 404
        assert "used already" in said(again)


async def test_a_device_is_turned_away(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        begun = await oauth.begin(service)
        await browser.log_in_dev()
        assert (await browser.send("/device/decision", code=begun["user_code"], decision="maybe")).status_code == 422
        done = await browser.send("/device/decision", code=begun["user_code"], decision="deny")
        assert "Denied" in said(done)
        assert (await oauth.poll(service, begun["device_code"])).refused == "access_denied"


async def test_no_link_lets_a_device_in(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        begun = await oauth.begin(service)
        await browser.log_in_dev()
        page = await browser.open("/device", code=begun["user_code"], decision="approve")
        assert begun["user_code"] not in page.text
        for path in ("/device/decision", "/logout", "/login/dev"):
            answer = await browser.open(path, code=begun["user_code"], decision="approve")
            assert answer.status_code in (404, 405)
        assert (await oauth.poll(service, begun["device_code"])).refused == "authorization_pending"


async def test_the_sixth_wrong_code_is_not_looked_at(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser, Browser(service) as other:
        clock = Clock(service)
        begun = await oauth.begin(service)
        await browser.log_in_dev()
        statuses = [(await browser.send("/device", code="BCDF-GHJK")).status_code for _ in range(5)]
        assert statuses == [404] * 5
        for path in ("/device", "/device/decision"):
            locked = await browser.send(path, code=begun["user_code"], decision="approve")
            assert (locked.status_code, "Too many wrong codes" in said(locked)) == (429, True)
        await other.log_in_dev("grace")
        assert (await other.send("/device", code=begun["user_code"])).status_code == 200
        clock.now += 600_000
        assert (await browser.send("/device", code=begun["user_code"])).status_code == 200


@pytest.mark.one_database
async def test_a_form_of_another_site_changes_nothing(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        begun = await oauth.begin(service)
        await browser.log_in_dev()
        own = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
        foreign: list[dict[str, str]] = [
            {},
            {"Sec-Fetch-Site": "same-origin"},
            {"Origin": service.url},
            {"Origin": "null"} | {"Sec-Fetch-Site": "same-origin"},
            own | {"Sec-Fetch-Site": "cross-site"},
            own | {"Sec-Fetch-Site": "same-site"},
            own | {"Origin": "https://evil.example"},
            own | {"Origin": f"{service.url}.evil.example"},
            own | {"Origin": service.url.replace("http", "https")},
            own | {"Origin": "http://127.0.0.1:1"},
            own | {"Origin": service.url.replace("127.0.0.1", "localhost")},
        ]
        rest = [("POST", "/api/v1/rooms"), ("POST", "/api/v1/auth/logout"), ("DELETE", "/api/v1/me/logins")]
        for headers in foreign:
            for path in ("/device/decision", "/device", "/logout", "/login/dev"):
                form = {"code": begun["user_code"], "decision": "approve", "name": "mallory"}
                answer = await browser.client.post(path, data=form, headers=headers)
                assert answer.status_code == 403, (path, headers)
            for method, path in rest:
                answer = await browser.client.request(method, path, json={"name": "lab"}, headers=headers)
                assert answer.status_code == 403, (path, headers)
                assert "nothing was changed" in answer.json()["error"]["sentence"]
        assert (await oauth.poll(service, begun["device_code"])).refused == "authorization_pending"
        assert (await browser.client.get(ME)).json()["name"] == "ada"
        assert (await browser.client.get("/api/v1/rooms")).json() == []
        assert (await browser.client.post("/api/v1/rooms", json={"name": "lab"}, headers=own)).status_code == 201


async def test_a_cookie_is_no_bearer_and_the_reverse(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        await browser.log_in_dev()
        ((name, cookie),) = browser.cookies.items()
        assert check_token(cookie) == "cookie"
        assert (await browser.client.get(ME)).json()["name"] == "ada"
        grace = await person(service, "grace")
        async with http_client(service) as client:
            unknown = await client.get(ME)
            for headers in (
                {"Authorization": f"Bearer {cookie}"},
                {"Cookie": f"{name}={grace.token}"},
                {"Cookie": f"__Host-sleap-rtc={cookie}"},
                {"Cookie": f"{name}={cookie[:-1]}"},
                {"Cookie": "other=1"},
            ):
                answer = await client.get(ME, headers=headers)
                assert (answer.status_code, answer.content) == (401, unknown.content), headers
            # who names a credential is who it says
            both = {"Authorization": f"Bearer {grace.token}", "Cookie": f"{name}={cookie}"}
            assert (await client.get(ME, headers=both)).json()["name"] == "grace"


async def test_the_cookie_is_kept_from_scripts_and_from_other_sites(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        answer = await browser.send("/login/dev", name="ada")
        port = service.url.rpartition(":")[2]
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"sleap-rtc-{port}=slpc_")
        assert re.search(r"; HttpOnly; Max-Age=\d+; Path=/; SameSite=lax$", cookie)
        assert "Domain" not in cookie
    public = "https://rtc.lab.example"
    async with (
        running_service(tmp_path / "tls", public_url=public, local_accounts=True) as service,
        Browser(service, public) as browser,
    ):
        answer = await browser.send("/logout")
        assert answer.headers["set-cookie"].startswith("__Host-sleap-rtc=")
        assert answer.headers["set-cookie"].endswith("; Secure")
        assert (await browser.client.post("/logout", headers={"Origin": service.url})).status_code == 403


@pytest.mark.parametrize(
    ("url", "origin", "cookie"),
    [
        ("https://rtc.lab.example", "https://rtc.lab.example", "__Host-sleap-rtc"),
        ("https://RTC.lab.example:443", "https://rtc.lab.example", "__Host-sleap-rtc"),
        ("https://rtc.lab.example:8443", "https://rtc.lab.example:8443", "__Host-sleap-rtc"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000", "sleap-rtc-8000"),
        ("http://localhost", "http://localhost", "sleap-rtc-80"),
        ("http://[::1]:8000", "http://[::1]:8000", "sleap-rtc-8000"),
    ],
)
def test_a_site_is_written_as_browsers_write_it(url: str, origin: str, cookie: str) -> None:
    assert (Site.at(url).origin, Site.at(url).login_cookie) == (origin, cookie)


async def test_a_browser_stays_logged_in_while_it_is_used(tmp_path: Path) -> None:
    async with dev_service(tmp_path, browser_days=10) as service, Browser(service) as browser:
        clock = Clock(service)
        await browser.log_in_dev()
        for _ in range(4):
            clock.now += 9 * DAY
            assert (await browser.client.get(ME)).status_code == 200
        clock.now += 10 * DAY
        answer = await browser.client.get(ME)
        assert (answer.status_code, "expired" in answer.json()["error"]["sentence"]) == (401, True)
        assert (await browser.open("/device")).headers["location"].startswith("/login")
        (login,) = await logins(service)
        assert (login.kind, login.address) == ("browser", "127.0.0.1")


async def test_who_logs_out_is_out(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        await browser.log_in_dev()
        kept = browser.cookies
        assert "You are logged in as ada" in said(await browser.open("/login"))
        answer = await browser.send("/logout")
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
        assert browser.cookies == {}
        async with http_client(service, cookies=kept) as thief:
            assert (await thief.get(ME)).status_code == 401
        # logging out twice is no error
        assert (await browser.send("/logout")).status_code == 303
        (login,) = await logins(service)
        assert login.reason == "logout"


async def test_the_database_holds_no_cookie(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        await browser.log_in_dev()
        (cookie,) = browser.cookies.values()
        async with service.service.database.transaction() as session:
            (token,) = await session.scalars(select(AccessToken))
        assert token.kind == "cookie"
        assert cookie not in str(vars(token))


@pytest.mark.one_database
async def test_a_login_by_name_alone_is_for_this_machine(tmp_path: Path) -> None:
    own = {"Sec-Fetch-Site": "same-origin"}
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        for headers in (
            own | {"Origin": service.url, "X-Forwarded-For": "203.0.113.9"},
            own | {"Origin": service.url, "Via": "1.1 proxy"},
            own | {"Origin": "https://evil.example", "Host": "evil.example"},
        ):
            answer = await browser.client.post("/login/dev", data={"name": "ada"}, headers=headers)
            assert answer.status_code == 403, headers
        for name in ("", "<script>", "a b", "n" * 65):
            assert (await browser.send("/login/dev", name=name)).status_code == 422
        assert await logins(service) == []
    async with running_service(tmp_path) as service, Browser(service) as browser:
        assert (await browser.send("/login/dev", name="ada")).status_code == 404
        assert "Nobody can log in here yet" in said(await browser.open("/login"))


async def test_a_disabled_user_is_sent_away(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        await browser.log_in_dev()
        async with service.service.database.transaction() as session:
            (await session.scalars(select(User))).one().disabled_at = service.service.clock()
        assert (await browser.client.get(ME)).status_code == 401
        answer = await browser.send("/login/dev", name="ada")
        assert (answer.status_code, "lets you in no longer" in said(answer)) == (403, True)


@pytest.mark.one_database
async def test_pages_load_nothing_from_elsewhere_and_run_nothing_of_others(tmp_path: Path) -> None:
    async with dev_service(tmp_path, local_accounts=True) as service, Browser(service) as browser:
        pages = [await browser.open(path) for path in ("/login", "/enrol", "/login/nobody")]
        await browser.log_in_dev()
        pages += [await browser.open(path) for path in ("/login", "/device")]
        pages.append(await browser.send("/device", code="x"))
        for page in pages:
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            policy = page.headers.get_list("content-security-policy")
            assert policy == ["default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"]
            assert page.headers["cache-control"] == "no-store"
            # with no-referrer a browser would call our own forms "null"
            assert page.headers.get_list("referrer-policy") == ["same-origin"]
            assert page.headers["x-content-type-options"] == "nosniff"
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static/)|//", page.text.lower())
        for name, kind in (("style.css", "text/css"), ("enrol.js", "text/javascript"), ("login.js", "text/javascript")):
            file = await browser.open(f"/static/{name}")
            assert file.headers["content-type"].startswith(kind)
            assert "//" not in file.text.replace("// ", "")
        for name in ("nothing.css", "..%2f__init__.py", "%2e%2e/login.py"):
            assert (await browser.open(f"/static/{name}")).status_code == 404


async def test_a_large_or_odd_form_is_refused(tmp_path: Path) -> None:
    async with dev_service(tmp_path, local_accounts=True) as service, Browser(service) as browser:
        await browser.log_in_dev()
        # one byte too many: of a longer body the rest is not read, and whoever sends it may be hung up on first
        too_long = service.settings.limits.body + 1 - len("code=")
        assert (await browser.send("/device", code="x" * too_long)).status_code == 413
        assert (await browser.send("/device", code="x" * 60_000)).status_code == 422
        assert (await browser.send("/login/local", username="n" * 60_000, password="p")).status_code == 422
        own = {"Origin": service.url, "Sec-Fetch-Site": "same-origin"}
        odd = [
            (b"code=%ff%fe", "application/x-www-form-urlencoded", 404),
            (b"code=a&code=b", "application/x-www-form-urlencoded", 404),
            (b"\xff\x00", "application/x-www-form-urlencoded", 404),
            (b"--x\r\n", "multipart/form-data; boundary=x", 404),
            (b"--x\r\n", "multipart/form-data", 400),
            (b"{", "application/json", 404),
        ]
        for body, kind, status in odd:
            answer = await browser.client.post("/device", content=body, headers=own | {"Content-Type": kind})
            assert answer.status_code == status, (body, kind)
            assert answer.headers["content-type"].startswith("text/html")


async def test_the_ways_to_log_in_are_listed(tmp_path: Path) -> None:
    async with dev_service(tmp_path, local_accounts=True) as service, Browser(service) as browser:
        answer = await browser.client.get("/api/v1/auth/methods")
        assert answer.json() == {"dev": True, "local": True, "providers": []}


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
            "Safari/537.36 Edg/131.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
            "Safari/605.1.15",
            "Safari on macOS",
        ),
        ("\x1b[31m<script>", "a browser"),
        ("", "a browser"),
    ],
)
def test_a_browser_has_a_name(user_agent: str, name: str) -> None:
    assert browser_name(user_agent) == name


async def test_a_forwarded_address_is_believed_from_a_named_proxy_alone(tmp_path: Path) -> None:
    spoofed = {"X-Forwarded-For": "203.0.113.9"}
    for number, proxies in enumerate(([], ["192.0.2.1"], ["127.0.0.1"])):
        async with running_service(tmp_path / str(number), trusted_proxies=proxies) as service:
            async with http_client(service) as client:
                await client.post("/api/v1/auth/device", json={"device": "x"}, headers=spoofed)
            async with service.service.database.transaction() as session:
                address = (await session.scalars(select(DeviceCode.address))).one()
        assert address == ("203.0.113.9" if proxies == ["127.0.0.1"] else "127.0.0.1")


async def test_the_address_alone_leads_to_the_dashboard_and_that_to_the_login(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, Browser(service) as browser:
        for address, place in (
            ("/", "/dashboard/"),
            ("/dashboard", "/dashboard/"),
            ("/dashboard/", "/login?return_to=/dashboard/"),
        ):
            sent = await browser.open(address)
            assert (sent.status_code, sent.headers["location"]) == (303, place)
        await browser.log_in_dev()
        shown = await browser.open("/dashboard/")
        assert shown.status_code == 200
        assert "require-trusted-types-for 'script'" in shown.headers["content-security-policy"]
