"""What the service counts, and who may see it."""

import asyncio
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.service.peers import WAIT, Key, browser, link, open_room, peer, worker
from tests.service.people import DAY, Clock, dev_service, person
from tests.service.running import RunningService, running_service


async def counted(service: RunningService) -> dict[str, float]:
    async with browser(service) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert answer.text.endswith("\n")
    assert answer.text.count("# TYPE ") == answer.text.count("# HELP ") == 12
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_what_is_counted(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room, brief = await ada.room("lab"), await ada.room("brief", 1)
        await open_room(service)
        token, revoked = await ada.worker_token(room), await ada.worker_token(room)
        await ada.worker_token(brief)
        await ada.api.revoke_token(room.room_id, revoked.token_id)
        clock.now += DAY
        async with (
            worker(service, token.token, Key(1)),
            peer(service, token.token),
            peer(service, await ada.fresh_token(), room=room.room_id) as client,
        ):
            await client.say("offer", link=link(), worker_id=Key(1).worker_id, sdp="v=0")
            assert (await client.ask("offer", link=link(1), worker_id=Key(2).worker_id, sdp="v=0"))["type"] == "gone"
            found = await counted(service)
            assert found.pop("sleap_rtc_process_memory_bytes") > 2**20
            assert found.pop("sleap_rtc_process_uptime_seconds") > 0
            assert found == {
                'sleap_rtc_rooms{kind="anonymous"}': 0,
                'sleap_rtc_rooms{kind="room"}': 1,
                "sleap_rtc_tokens": 1,
                "sleap_rtc_workers_online": 1,
                'sleap_rtc_sockets{role="client"}': 1,
                'sleap_rtc_sockets{role="worker"}': 2,
                "sleap_rtc_processes": 1,
                "sleap_rtc_offers_routed_total": 1,
                "sleap_rtc_messages_relayed_total": 1,
                "sleap_rtc_database_errors_total": 0,
            }


async def test_refused_handshakes_and_how_sockets_ended_are_counted(service: RunningService) -> None:
    room = await open_room(service)
    with pytest.raises(InvalidStatus):
        await peer(service, room.session_token[:-1]).__aenter__()
    async with peer(service, room.worker_token) as gpu:
        assert (await gpu.register(Key(1), signature="00" * 64))["error"]["code"] == "authentication"
        assert await gpu.closed() == 4401
    async with peer(service, room.session_token) as client:
        await client.socket.close(4999)
    async with peer(service, room.session_token) as client:
        await client.silent()
    names = {
        'sleap_rtc_handshakes_refused_total{status="401"}': 1,
        **{f'sleap_rtc_websocket_closes_total{{code="{code}"}}': 1 for code in (1000, 4401, "other")},
    }
    async with asyncio.timeout(WAIT):  # a socket is counted when its reader has ended
        while True:
            found = await counted(service)
            if {name: value for name, value in found.items() if "{code" in name or "{status" in name} == names:
                return
            await asyncio.sleep(0.02)


async def test_whoever_shows_its_token_sees_it_from_anywhere(tmp_path: Path) -> None:
    token = "0123456789abcdefghijklmnopqrstuvwxyz"
    elsewhere = {"Host": "rtc.lab.example", "X-Forwarded-For": "203.0.113.9"}
    async with running_service(tmp_path, metrics_token=token) as service, browser(service) as client:
        nowhere = await client.get("/nowhere")
        for shown, status in ((f"Bearer {token}", 200), (f"Bearer {token}x", 404), (token, 404), ("", 404)):
            headers = elsewhere | {"Authorization": shown}
            answer = await client.get("/metrics", headers=headers)
            assert answer.status_code == status
            if status != 200:
                assert answer.content == nowhere.content


async def test_only_this_machine_sees_it(service: RunningService) -> None:
    async with browser(service) as client:
        nowhere = await client.get("/nowhere")
        for headers in (
            {"Host": "rtc.lab.example"},
            {"X-Forwarded-For": "203.0.113.9"},
            {"Forwarded": "for=203.0.113.9"},
            {"Origin": "https://evil.example"},
        ):
            answer = await client.get("/metrics", headers=headers)
            assert (answer.status_code, answer.content) == (nowhere.status_code, nowhere.content)


async def test_a_caller_behind_a_believed_proxy_is_another_machine(tmp_path: Path) -> None:
    async with running_service(tmp_path, trusted_proxies=["127.0.0.1"]) as service, browser(service) as client:
        assert (await client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})).status_code == 404
        assert (await client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})).status_code == 404
