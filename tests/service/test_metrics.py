"""What the service counts, and who may see it."""

from pathlib import Path

from tests.service.peers import Key, browser, link, open_room, peer, worker
from tests.service.people import DAY, Clock, dev_service, person
from tests.service.running import RunningService


async def counted(service: RunningService) -> dict[str, int]:
    async with browser(service) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    assert answer.text.endswith("\n")
    assert answer.text.count("# TYPE ") == answer.text.count("# HELP ") == 5
    return {name: int(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


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
            assert await counted(service) == {
                'sleap_rtc_rooms{kind="anonymous"}': 0,
                'sleap_rtc_rooms{kind="room"}': 1,
                "sleap_rtc_tokens": 1,
                "sleap_rtc_workers_online": 1,
                'sleap_rtc_sockets{role="client"}': 1,
                'sleap_rtc_sockets{role="worker"}': 2,
                "sleap_rtc_offers_routed_total": 1,
            }


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
    from tests.service.running import running_service

    async with running_service(tmp_path, trusted_proxies=["127.0.0.1"]) as service, browser(service) as client:
        assert (await client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})).status_code == 404
        assert (await client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"})).status_code == 404
