import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from signaling_server.pages import static_files
from sleap_rtc.protocol.ids import is_id
from sleap_rtc.protocol.tokens import check_token
from tests.service.databases import everything_in
from tests.service.peers import browser
from tests.service.running import RunningService, running_service

ROOMS = "/api/v1/rooms/anonymous"
JSON = {"Content-Type": "application/json"}


@pytest.mark.one_database
async def test_health_tells_what_it_is(service: RunningService) -> None:
    async with browser(service) as client:
        answer = (await client.get("/health")).json()
    assert (answer["status"], answer["service"], answer["protocol"]) == ("ok", "sleap-rtc", "sleap-rtc.v1")


async def test_an_anonymous_room_has_two_tokens_shown_once(service: RunningService) -> None:
    async with browser(service) as client:
        answer = await client.post(ROOMS, json={"name": "lab\x1b[2J"})
    room = answer.json()
    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert is_id("room", room["room_id"])
    assert (check_token(room["worker_token"]), check_token(room["session_token"])) == ("worker", "session")
    stored = await everything_in(service.service.database)
    assert room["room_id"] in stored
    assert room["session_token"] not in stored


async def test_rooms_are_counted_by_address(tmp_path: Path) -> None:
    async with running_service(tmp_path, anonymous_rooms_per_hour=2) as service, browser(service) as client:
        now = service.service.clock()
        service.service.clock = lambda: now
        # a forwarded address is not believed: nobody said that a proxy stands in front
        spoofed = {"X-Forwarded-For": "203.0.113.9"}
        statuses = [(await client.post(ROOMS, headers=spoofed)).status_code for _ in range(3)]
        assert statuses == [201, 201, 429]
        service.service.clock = lambda: now + 3_600_000
        assert (await client.post(ROOMS)).status_code == 201


@pytest.mark.one_database
async def test_a_setting_turns_anonymous_rooms_off(tmp_path: Path) -> None:
    async with running_service(tmp_path, anonymous_rooms=False) as service, browser(service) as client:
        answer = await client.post(ROOMS)
    assert answer.status_code == 401
    assert "no rooms for strangers" in answer.json()["error"]["sentence"]


HOSTILE = [
    ('{"name": NaN}', 400),
    ('{"name": Infinity}', 400),
    ('{"name": "a", "name": "b"}', 400),
    ('{"name": "\\ud800"}', 400),
    ('{"name": 1' + "0" * 4999 + "}", 400),
    ("[" * 60_000, 400),
    ('{"name": ' + "[" * 17 + "]" * 17 + "}", 400),
    ('{"name": ' + "[" * 15 + "]" * 15 + "}", 422),
    ("{", 400),
    ("\xff", 400),
    ("[]", 422),
    ("7", 422),
    ('{"name": 5}', 422),
    ('{"name": "' + "n" * 129 + '"}', 422),
    ('{"name": "' + "n" * 128 + '"}', 201),
]


@pytest.mark.one_database
async def test_hostile_json(service: RunningService) -> None:
    async with browser(service) as client:
        for body, status in HOSTILE:
            answer = await client.post(ROOMS, content=body.encode("latin-1"), headers=JSON)
            assert answer.status_code == status, body[:80]
            assert status == 201 or set(answer.json()["error"]) == {"code", "sentence"}
        assert (await client.get("/health")).status_code == 200


def _padded(size: int) -> bytes:
    return b'{"name": "x"' + b" " * (size - 13) + b"}"


@pytest.mark.one_database
async def test_a_body_has_a_bound(service: RunningService) -> None:
    limit = service.settings.limits.body

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 4096

    async with browser(service) as client:
        assert (await client.post(ROOMS, content=_padded(limit), headers=JSON)).status_code == 201
        assert (await client.post(ROOMS, content=_padded(limit + 1), headers=JSON)).status_code == 413
        # hanging up before the client is done is as good
        with contextlib.suppress(httpx2.TransportError):
            assert (await client.post(ROOMS, content=endless(), headers=JSON)).status_code == 413
        assert (await client.get("/health")).status_code == 200


@pytest.mark.one_database
async def test_compressed_and_slow_bodies(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"body_within": 0.05}) as service, browser(service) as client:
        answer = await client.post(ROOMS, content=b"x", headers=JSON | {"Content-Encoding": "gzip"})
        assert answer.status_code == 415
        # httpx would not read the answer before its own request is whole
        host, port = service.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST {ROOMS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
        writer.write(head.encode())
        async with asyncio.timeout(10):
            assert b" 408 " in await reader.readline()
            await reader.read()
        writer.close()
        await writer.wait_closed()


@pytest.mark.one_database
async def test_unknown_paths_look_alike(service: RunningService) -> None:
    async with browser(service) as client:
        for path in ("/api/v1/rooms/../../x", "/%2e%2e/x", "/" + "a" * 9000):
            answer = await client.get(path)
            assert answer.status_code == 404
            assert answer.json() == {"error": {"code": "not_found", "sentence": "Not Found"}}


@pytest.mark.one_database
async def test_the_pages_about_the_api_need_nothing_from_elsewhere(service: RunningService) -> None:
    async with browser(service) as client:
        schema = (await client.get("/api/v1/openapi.json")).json()
        page = await client.get("/docs")
    assert ROOMS in schema["paths"]
    assert page.headers["content-type"].startswith("text/html")
    assert ROOMS in page.text
    assert "<script" not in page.text
    assert "//" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.one_database
async def test_what_fails_is_told_to_the_operator_without_what_steers_a_terminal(
    service: RunningService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(static_files, "_TYPES", None)
    async with browser(service) as client:
        answer = await client.get("/static/%1b[2J%0aa-forged-line")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    (told,) = [record.getMessage() for record in caplog.records if record.name == "signaling_server.errors"]
    assert told == "GET /static/a-forged-line failed"
