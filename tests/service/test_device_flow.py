"""The login of a command line (RFC 8628), asked as it asks and let in as a page lets it in."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from signaling_server.auth.routes import DEVICE_GRANT
from signaling_server.housekeeping import clean_up
from signaling_server.limits import GuessLimiter, WindowLimiter
from signaling_server.models import DeviceCode, RefreshToken, User
from signaling_server.settings_reading import load_settings
from sleap_rtc.errors import BusyError, ConfigError, NotFoundError
from sleap_rtc.protocol.tokens import check_token
from sleap_rtc.signaling.api import ServiceAPI
from tests.service.oauth import ask, begin, let_in, poll, read, somebody
from tests.service.peers import browser
from tests.service.people import HOUR, Clock
from tests.service.running import RunningService, running_service

MINUTE = 60_000
INTERVAL = 5_000


async def test_who_is_let_in_has_a_login(service: RunningService) -> None:
    clock = Clock(service)
    begun = await begin(service, "ada's laptop")
    assert re.fullmatch("[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun["user_code"])
    assert begun["verification_uri"] == f"{service.url}/device"
    assert "verification_uri_complete" not in begun
    assert (begun["expires_in"], begun["interval"]) == (900, 5)
    assert (await poll(service, begun["device_code"])).refused == "authorization_pending"
    ada = await somebody(service)
    await let_in(service, ada, begun["user_code"])
    clock.now += INTERVAL
    answer = await poll(service, begun["device_code"])
    assert answer.status == 200
    assert (answer.body["user_id"], answer.body["name"], answer.body["expires_in"]) == (ada.id, "ada", 3600)
    assert check_token(answer.body["access_token"]) == "access"
    assert check_token(answer.body["refresh_token"]) == "refresh"
    assert (await ServiceAPI(service.url, answer.body["access_token"]).me()).user_id == ada.id


async def test_a_code_is_used_once(service: RunningService) -> None:
    begun = await begin(service)
    ada = await somebody(service)
    await let_in(service, ada, begun["user_code"])
    for _ in range(2):
        with pytest.raises(NotFoundError, match="wrong, has expired or was used"):
            await let_in(service, ada, begun["user_code"])
    assert (await poll(service, begun["device_code"])).status == 200
    assert (await poll(service, begun["device_code"])).refused == "invalid_grant"


async def test_who_polls_too_fast_is_slowed_down_for_good(service: RunningService) -> None:
    clock = Clock(service)
    code = (await begin(service))["device_code"]

    async def after(pause: int) -> str:
        clock.now += pause
        return (await poll(service, code)).refused

    assert await after(0) == "authorization_pending"
    assert await after(INTERVAL) == "authorization_pending"
    assert await after(INTERVAL - 1) == "slow_down"
    assert await after(2 * INTERVAL - 1) == "slow_down"
    assert await after(3 * INTERVAL - 1) == "slow_down"
    assert await after(4 * INTERVAL) == "authorization_pending"


async def test_who_is_turned_away_is_told(service: RunningService) -> None:
    begun = await begin(service)
    ada, grace = await somebody(service), await somebody(service, "grace")
    await let_in(service, ada, begun["user_code"], approve=False)
    with pytest.raises(NotFoundError):
        await let_in(service, grace, begun["user_code"])
    for _ in range(2):
        assert (await poll(service, begun["device_code"])).refused == "access_denied"


@pytest.mark.parametrize("decided", [False, True])
async def test_a_code_expires(service: RunningService, decided: bool) -> None:
    clock = Clock(service)
    begun = await begin(service)
    ada = await somebody(service)
    clock.now += 15 * MINUTE - 1
    if decided:
        await let_in(service, ada, begun["user_code"])
    clock.now += 1
    if not decided:
        with pytest.raises(NotFoundError):
            await let_in(service, ada, begun["user_code"])
    assert (await poll(service, begun["device_code"])).refused == "expired_token"
    clock.now += HOUR + 1
    await clean_up(service.service)
    assert (await poll(service, begun["device_code"])).refused == "invalid_grant"


async def test_a_user_who_was_locked_out_meanwhile_does_not_come_in(service: RunningService) -> None:
    begun = await begin(service)
    ada = await somebody(service)
    await let_in(service, ada, begun["user_code"])
    async with service.service.database.transaction() as session:
        (await session.get_one(User, ada.id)).disabled_at = service.service.clock()
    answer = await poll(service, begun["device_code"])
    assert (answer.refused, "operator" in answer.body["error_description"]) == ("access_denied", True)


async def test_a_code_of_another_command_line_is_of_no_use(service: RunningService) -> None:
    mine, other = await begin(service), await begin(service)
    await let_in(service, await somebody(service), other["user_code"])
    assert (await poll(service, mine["device_code"])).refused == "authorization_pending"
    for code in ("x", mine["user_code"], other["user_code"], mine["device_code"][:-1]):
        assert (await poll(service, code)).refused == "invalid_grant"


@pytest.mark.parametrize("change", [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
async def test_a_code_may_be_typed_carelessly(service: RunningService, change: Callable[[str], str]) -> None:
    begun = await begin(service)
    await let_in(service, await somebody(service), change(begun["user_code"]))
    assert (await poll(service, begun["device_code"])).status == 200


@pytest.mark.parametrize("wrong", ["", "BBBB-BBBB", "AAAA-AAAA", "BCDF", "BCDF-GHJK-L", "B" * 10_000, "' OR 1=1 --"])
async def test_wrong_codes_look_alike(service: RunningService, wrong: str) -> None:
    with pytest.raises(NotFoundError, match="This code is wrong, has expired or was used already"):
        await let_in(service, await somebody(service), wrong)


async def test_after_five_wrong_codes_the_sixth_try_is_not_looked_at(service: RunningService) -> None:
    clock = Clock(service)
    begun = await begin(service)
    ada = await somebody(service)
    for _ in range(5):
        with pytest.raises(NotFoundError):
            await let_in(service, ada, "BBBB-BBBB")
    with pytest.raises(BusyError, match="ten minutes"):
        await let_in(service, ada, begun["user_code"])
    clock.now += 10 * MINUTE
    await let_in(service, ada, begun["user_code"])
    for _ in range(15):
        clock.now += 2 * MINUTE
        with pytest.raises(NotFoundError):
            await let_in(service, ada, "BBBB-BBBB")


async def test_an_address_has_twenty_wrong_codes_an_hour(service: RunningService) -> None:
    clock = Clock(service)
    begun = await begin(service)
    for number in range(20):
        with pytest.raises(NotFoundError):
            await let_in(service, await somebody(service, f"user{number}"), "BBBB-BBBB")
    with pytest.raises(BusyError, match="an hour"):
        await let_in(service, await somebody(service, "grace"), begun["user_code"])
    clock.now += HOUR
    await let_in(service, await somebody(service, "grace"), (await begin(service))["user_code"])


async def test_what_is_right_does_not_count_and_many_guesses_at_once_do() -> None:
    limiter = GuessLimiter(WindowLimiter(5, HOUR, 10), WindowLimiter(20, HOUR, 10))
    for _ in range(50):
        async with limiter.guess("ada", "192.0.2.1", 0):
            pass
    looking = [limiter.guess("ada", "192.0.2.1", 0) for _ in range(6)]
    for each in looking[:5]:
        await each.__aenter__()
    with pytest.raises(BusyError):
        await looking[5].__aenter__()
    for each in looking[:5]:
        assert not await each.__aexit__(None, None, None)
    async with limiter.guess("ada", "192.0.2.1", 0):
        pass


@pytest.mark.parametrize(
    ("form", "refused"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password", "username": "ada", "password": "x"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": DEVICE_GRANT}, "invalid_request"),
        ({"grant_type": DEVICE_GRANT, "device_code": ""}, "invalid_request"),
        ({"grant_type": DEVICE_GRANT, "device_code": "x"}, "invalid_grant"),
        ({"grant_type": DEVICE_GRANT, "refresh_token": "x"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "é\x00"}, "invalid_grant"),
    ],
)
async def test_the_table_of_errors(service: RunningService, form: dict[str, str], refused: str) -> None:
    assert (await ask(service, **form)).refused == refused


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b'{"grant_type": "refresh_token", "refresh_token": "x"}'),
        ("", b"grant_type=refresh_token&refresh_token=x"),
        ("multipart/form-data; boundary=x", b"--x--"),
        ("application/x-www-form-urlencoded", b"grant_type=refresh_token&grant_type=refresh_token"),
        ("application/x-www-form-urlencoded", b"grant_type=refresh_token&refresh_token=%ff%fe"),
        ("application/x-www-form-urlencoded", b"\xff"),
        ("application/x-www-form-urlencoded", b"grant_type"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=b" % number for number in range(1000))),
    ],
)
async def test_what_is_no_form_is_an_invalid_request(service: RunningService, content_type: str, body: bytes) -> None:
    async with browser(service) as client:
        answer = await client.post("/api/v1/auth/token", content=body, headers={"Content-Type": content_type})
    assert read(answer).refused in ("invalid_request", "invalid_grant")
    assert answer.status_code == 400


async def test_an_address_begins_only_so_many_logins(tmp_path: Path) -> None:
    async with running_service(tmp_path, device_codes_per_hour=2) as service:
        clock = Clock(service)
        for _ in range(2):
            await begin(service)
        async with browser(service) as client:
            answer = await client.post("/api/v1/auth/device", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")
        clock.now += HOUR
        await begin(service)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000/device"),
        ("localhost:1", "http://localhost:1/device"),
        ("[::1]:8000", "http://[::1]:8000/device"),
        ("rtc.lab.example", "https://rtc.lab.example/device"),
        ("rtc.lab.example:8443", "https://rtc.lab.example:8443/device"),
        ("", None),
        ("x y", None),
        ("ada@rtc.lab.example", None),
        ("rtc.lab.example/../x?y", None),
        ("rtc.lab.example:99999", None),
        ("<script>", None),
        ("[", None),
    ],
)
async def test_the_page_is_where_the_request_came_to(service: RunningService, host: str, shown: str | None) -> None:
    async with browser(service) as client:
        answer = await client.post("/api/v1/auth/device", json={}, headers={"Host": host})
    if shown is None:
        assert answer.status_code == 400
    else:
        assert answer.json()["verification_uri"] == shown


@pytest.mark.one_database
async def test_the_operator_says_where_the_page_is(tmp_path: Path) -> None:
    async with running_service(tmp_path, public_url="https://lab.example/") as service:
        assert (await begin(service))["verification_uri"] == "https://lab.example/device"


@pytest.mark.parametrize(
    "url",
    [
        "http://lab.example",
        "ftp://lab.example",
        "https://",
        "lab.example",
        "https://ada@lab.example",
        "https://lab.example/rtc",
        "https://lab.example/?x=1",
        "https://lab.example/#x",
        "https://lab.example:0",
        "https://lab.example:99999",
        "https://lab.example/\x1b[2J",
        "https://[",
        "javascript:alert(1)",
    ],
)
def test_an_unsafe_address_of_the_page_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="public_url"):
        load_settings({}, public_url=url)


async def test_the_database_holds_neither_code(service: RunningService, tmp_path: Path) -> None:
    begun = await begin(service)
    await let_in(service, await somebody(service), begun["user_code"])
    tokens = (await poll(service, begun["device_code"])).body
    async with service.service.database.transaction() as session:
        rows = [vars(row) for row in await session.scalars(select(DeviceCode))]
        rows += [vars(row) for row in await session.scalars(select(RefreshToken))]
    kept = await asyncio.to_thread(lambda: b"".join(path.read_bytes() for path in tmp_path.iterdir()))
    for secret in (begun["device_code"], begun["user_code"].replace("-", ""), tokens["refresh_token"]):
        assert secret not in str(rows)
        assert secret.encode() not in kept
