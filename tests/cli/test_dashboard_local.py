"""``sleap-rtc dashboard``: the secrets of rooms and the workers of this machine, as its page gets them."""

import json
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.client.acquaintance import Encounter, news_of
from sleap_rtc.config.known_workers import KnownWorker, KnownWorkers
from sleap_rtc.config.room_secrets import RoomSecretStore
from sleap_rtc.config.secret_lookup import VARIABLE
from sleap_rtc.config.settings import load_settings
from sleap_rtc.errors import AuthenticationError
from sleap_rtc.protocol.room_secrets import RoomSecret
from tests.cli.loopback import Loopback, log_in, loopback
from tests.cli.shell import Shell
from tests.service.peers import Key
from tests.service.running import RunningService

ROOM = "r_aaaaaaaaaaaaaaaa"
KEYS = f"/local/secrets/{ROOM}"
ONE, TWO = Key(1), Key(2)


def derived(secret: RoomSecret) -> dict[str, Any]:
    client, worker = (secret.proof_key(ROOM, role).hex() for role in ("client", "worker"))
    return {"epoch": secret.epoch, "id": secret.name_in(ROOM).id, "clientKey": client, "workerKey": worker}


async def test_the_page_makes_a_secret_that_is_shown_once(service: RunningService, shell: Shell) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        assert (await dashboard.get(KEYS)).json() == []
        before = (await dashboard.get(KEYS + "/standing")).json()
        assert (before["known"], before["here"], before["ids"], before["warning"]) == (False, False, [], "")

        answer = await dashboard.send("POST", KEYS, {})
        made = answer.json()
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        secret = RoomSecret.parse(made["secret"])
        assert RoomSecretStore().secrets(service.url, ROOM) == (secret,)
        assert (made["id"], made["epoch"], made["old"]) == (secret.name_in(ROOM).id, secret.epoch, "")
        assert made["command"] == f"sleap-rtc room set-secret --server {service.url} {ROOM}"
        assert made["export"][1] == f"sleap-rtc worker --server {service.url}"

        keys, after = await dashboard.get(KEYS), await dashboard.get(KEYS + "/standing")
        assert (keys.json(), keys.headers["cache-control"]) == ([derived(secret)], "no-store")
        assert (after.json()["known"], after.json()["here"], after.json()["ids"]) == (True, True, [made["id"]])
        for told in (keys.text, after.text):
            assert made["secret"] not in told
            assert secret.key.hex() not in told


async def test_what_the_page_says_is_typed_elsewhere_keeps_that_secret(
    service: RunningService, shell: Shell, tmp_path: Path
) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        made = (await dashboard.send("POST", KEYS, {"end_old": True})).json()
    shell.export("SLEAP_RTC_HOME", str(tmp_path / "worker"))
    shell.pipe(made["secret"] + "\n")
    await shell.ok(*made["command"].split()[1:], "-")
    assert [each.text for each in RoomSecretStore().secrets(service.url, ROOM)] == [made["secret"]]


@pytest.mark.parametrize("end_old", [False, True])
async def test_a_newer_secret_leaves_the_old_one_a_day_or_none(service: RunningService, end_old: bool) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        first = RoomSecret.parse((await dashboard.send("POST", KEYS, {})).json()["secret"])
        made = (await dashboard.send("POST", KEYS, {"end_old": end_old})).json()
        second = RoomSecret.parse(made["secret"])
        keys = (await dashboard.get(KEYS)).json()
    assert keys == ([derived(second)] if end_old else [derived(second), derived(first)])
    assert ("good here until" in made["old"], "--end-old" in made["command"]) == (not end_old, end_old)


async def test_secrets_come_from_where_the_command_line_has_them(service: RunningService, shell: Shell) -> None:
    await log_in(service.url)
    kept, exported = RoomSecret.make(bytes([1] * 32), 1000), RoomSecret.make(bytes([2] * 32), 2000)
    RoomSecretStore().keep(service.url, ROOM, kept)
    async with loopback(service.url) as dashboard:
        assert (await dashboard.get(KEYS)).json() == [derived(kept)]
        shell.export(VARIABLE, exported.text)
        assert (await dashboard.get(KEYS)).json() == [derived(exported)]
        assert VARIABLE in (await dashboard.get(KEYS + "/standing")).json()["warning"]
        shell.export(VARIABLE, "slrs_short")
        refused = await dashboard.get(KEYS)
        assert (refused.status_code, "slrs_short" in refused.text) == (422, False)


async def test_a_room_whose_secret_is_not_here_is_never_entered_without(service: RunningService) -> None:
    await log_in(service.url)
    RoomSecretStore().note(service.url, ROOM)
    async with loopback(service.url) as dashboard:
        lost = await dashboard.get(KEYS)
        # 401 would send the page to look for a login
        assert (lost.status_code, lost.json()["error"]["code"]) == (403, "authentication")
        assert f"sleap-rtc room set-secret --server {service.url} {ROOM}" in lost.json()["error"]["sentence"]
        told = (await dashboard.get(KEYS + "/standing")).json()
        assert (told["known"], told["here"]) == (True, False)
        made = (await dashboard.send("POST", KEYS, {})).json()
        assert (await dashboard.get(KEYS)).json()[0]["id"] == made["id"]


async def test_a_room_without_a_secret_does_not_pass_for_one_that_has_one(service: RunningService) -> None:
    await log_in(service.url)
    impostor = "/local/secrets/r_bbbbbbbbbbbbbbbb"
    async with loopback(service.url) as dashboard:
        assert (await dashboard.get(impostor + "?name=the%20lab")).json() == []
        await dashboard.send("POST", KEYS, {"name": "the lab"})
        for name in ("the%20lab", "THE%20lab%20", "other&name=the%20lab"):
            refused = await dashboard.get(f"{impostor}?name={name}")
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "authentication")
            assert ROOM in refused.json()["error"]["sentence"]
        assert (await dashboard.get(impostor + "?name=other")).json() == []

        # it may be called otherwise one day, but not so often that its name is forgotten
        names = "&".join(f"name=lab{number}" for number in range(100))
        assert len((await dashboard.get(f"{KEYS}?{names}")).json()) == 1
        for name in ("the%20lab", "lab0"):
            assert (await dashboard.get(f"{impostor}?name={name}")).status_code == 403
        # two that have secrets cannot be taken for each other
        await dashboard.send("POST", impostor, {})
        assert len((await dashboard.get(impostor + "?name=the%20lab")).json()) == 1


async def test_what_is_no_room_has_no_secret(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        for room in ("r_", "r_aaa", "u_aaaaaaaaaaaaaaaa", "r_" + "a" * 65, "r_aaaaaaaa.ssh"):
            for path in (f"/local/secrets/{room}", f"/local/secrets/{room}/standing"):
                assert (await dashboard.get(path)).status_code == 400
            assert (await dashboard.send("POST", f"/local/secrets/{room}", {})).status_code == 400
    assert not RoomSecretStore().rooms(service.url)


async def met(dashboard: Loopback, key: Key, name: str, room: str = ROOM, of: Key | None = None) -> tuple[int, str]:
    body = {"room": room, "name": name, "key": (of or key).public.hex()}
    answer = await dashboard.send("PUT", f"/local/workers/{key.worker_id}", body)
    return answer.status_code, answer.text


async def asked(dashboard: Loopback, key: Key, name: str, room: str = ROOM) -> tuple[int, Any]:
    query = f"room={room}&name={name}"
    answer = await dashboard.get(f"/local/workers/{key.worker_id}?{query}")
    return answer.status_code, answer.json()


async def test_workers_are_known_as_the_command_line_knows_them(service: RunningService) -> None:
    await log_in(service.url)
    server = load_settings(flags={"server": service.url}).server
    async with loopback(service.url) as dashboard:
        assert await asked(dashboard, ONE, "gpu") == (200, {"key": None})
        assert (await met(dashboard, ONE, "gpu"))[0] == 200
        assert KnownWorkers().all() == [KnownWorker(server, ROOM, "gpu", ONE.public)]
        assert await asked(dashboard, ONE, "gpu") == (200, {"key": ONE.public.hex()})

        status, body = await asked(dashboard, TWO, "gpu")
        assert (status, body["error"]["code"]) == (403, "authentication")
        assert "sleap-rtc worker trust gpu" in body["error"]["sentence"]
        assert (await met(dashboard, TWO, "gpu"))[0] == 403
        assert await asked(dashboard, TWO, "gpu", "r_bbbbbbbbbbbbbbbb") == (200, {"key": None})
        assert (await met(dashboard, TWO, "%3Cimg%20src=x%3E \n# odd"))[0] == 200
    with pytest.raises(AuthenticationError):
        news_of(Encounter(server, ROOM, "gpu", TWO.worker_id), KnownWorkers().all())
    assert len(KnownWorkers().all()) == 2


async def test_nobody_is_remembered_with_another_ones_key(service: RunningService) -> None:
    await log_in(service.url)
    async with loopback(service.url) as dashboard:
        assert (await met(dashboard, ONE, "gpu", of=TWO))[0] == 400
        assert (await met(dashboard, ONE, "gpu", room="../r_aaaaaaaaaaaaaaaa"))[0] == 400
        assert (await met(dashboard, ONE, "x" * 257))[0] == 422
        refused = await dashboard.send(
            "PUT", f"/local/workers/{ONE.worker_id}", {"room": ROOM, "name": "x", "key": "00"}
        )
        assert refused.status_code == 422
        for body in ("[" * 5000, '{"room": NaN}', "\ud800"):
            answer = await dashboard.browser.put(
                f"{dashboard.base}/local/workers/{ONE.worker_id}",
                content=body.encode("utf-8", "surrogatepass"),
                headers={
                    "Origin": dashboard.origin,
                    "Sec-Fetch-Site": "same-origin",
                    "Content-Type": "application/json",
                },
            )
            assert answer.status_code == 400
    assert KnownWorkers().all() == []


async def test_a_damaged_file_of_secrets_is_a_sentence(service: RunningService) -> None:
    await log_in(service.url)
    path = RoomSecretStore().path
    path.write_text(json.dumps({service.url: {ROOM: {"newest": "x"}}}))
    path.chmod(0o600)
    async with loopback(service.url) as dashboard:
        for answer in (await dashboard.get(KEYS), await dashboard.send("POST", KEYS, {})):
            assert (answer.status_code, "damaged" in answer.json()["error"]["sentence"]) == (422, True)
