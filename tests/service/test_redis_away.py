"""Redis that is away, hangs, forgets, or says what nobody understands: nothing is lost, and it heals by itself."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from signaling_server.backplane.keys import Keys, process_of
from signaling_server.settings_reading import load_settings
from sleap_rtc.errors import BusyError, ConfigError, NotFoundError, UnreachableError
from sleap_rtc.protocol.signaling import CLOSE_REPLACED, CLOSE_REVOKED
from tests.service.oauth import let_in, somebody
from tests.service.pairs import Redis, keys_of, pair, present, sees, until
from tests.service.peers import Key, browser, link, open_room, peer, worker
from tests.service.people import leave, room_of_two
from tests.service.redis_servers import own_redis, swallowing
from tests.service.running import RunningService, running_service

pytestmark = pytest.mark.one_database

ONE, TWO = Key(1), Key(2)


async def readiness(service: RunningService) -> tuple[int, list[str]]:
    async with browser(service) as client:
        answer: httpx2.Response = await client.get("/ready")
    return answer.status_code, answer.json()["problems"]


async def _is_ready(service: RunningService, status: int) -> bool:
    return (await readiness(service))[0] == status


async def _knows_the_other(service: RunningService) -> bool:
    return (await service.service.hub.totals()).processes == 2


async def test_what_redis_forgot_is_told_again(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["type"] == "offer"
            await until(lambda: _knows_the_other(one))
            with keys_of(shared_redis) as redis:
                redis.delete(*redis.scan_iter(match=f"{shared_redis[1]}*"))
            assert await present(client) == []
            await until(lambda: sees(client, ONE))
            # and what was under way still is: nobody was taken for dead
            await gpu.say("answer", link=link(), sdp="v=0")
            assert (await client.hear())["type"] == "answer"
            await client.say("offer", link=link(1), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["type"] == "offer"


async def test_a_process_that_was_away_gives_way_to_a_newer_connection(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as older:
            place = Keys(shared_redis[1]).room(room.room_id)
            with keys_of(shared_redis) as redis:
                redis.delete(place)  # as if its lease had run out: the newer one finds nobody to replace
            async with worker(two, room, ONE) as newer:
                with keys_of(shared_redis) as redis:
                    redis.delete(Keys(shared_redis[1]).lease(process_of(older.welcome["principal"]["session"])))
                assert await older.closed() == CLOSE_REPLACED
                async with peer(one, room.session_token) as client:
                    await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
                    assert (await newer.hear())["type"] == "offer"


async def test_what_is_not_one_of_ours_changes_nothing(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            keys = Keys(shared_redis[1])
            presence = gpu.welcome["principal"]["session"]
            with keys_of(shared_redis) as redis:
                for text in (
                    "", "{", "[]", '{"kind": "beat", "x": 1}', '{"kind": "replaced", "presence": 5}',
                    json.dumps({"kind": "delivery", "to": presence, "sender": None, "text": "{"}),
                    json.dumps({"kind": "ended_all", "by": "x", "reason": "x", "code": "many"}),
                    b"\xff\xfe",
                ):  # fmt: skip
                    assert redis.publish(keys.everybody, text) == 2
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["type"] == "offer"


async def test_without_redis_sockets_stay_and_it_heals_by_itself(tmp_path: Path) -> None:
    async with own_redis(tmp_path) as redis, pair(tmp_path, (redis.url, "t:"), dev=True) as (one, two):
        owner, member, room, token = await room_of_two(one, two)
        async with (
            worker(one, token.token, ONE) as gpu,
            peer(two, owner.token, room=room.room_id) as client,
            peer(two, member.token, room=room.room_id) as grace,
        ):
            assert (await readiness(two))[0] == 200
            await redis.kill()
            await until(lambda: _is_ready(two, 503))
            assert any("cannot reach its other processes" in each for each in (await readiness(two))[1])
            answer = await client.ask("offer", id=3, link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (answer["type"], answer["re"], answer["error"]["code"]) == ("gone", 3, "unreachable")
            assert "cannot reach its other processes" in answer["error"]["sentence"]
            assert (await client.ask("workers", id=4))["error"]["code"] == "unreachable"
            # what concerns one process alone goes on
            async with peer(one, owner.token, room=room.room_id) as near, worker(two, token.token, TWO):
                await near.say("offer", link=link(1), worker_id=ONE.worker_id, sdp="v=0")
                assert (await gpu.hear())["type"] == "offer"
                # nobody can tell the other process that somebody was locked out: it looks by itself
                await leave(one, member, room)
                await one.service.hub.end_all("gone", CLOSE_REVOKED, room=room.room_id, user=member.user_id)
                assert await grace.closed() == CLOSE_REVOKED

                await redis.start()
                await until(lambda: _is_ready(one, 200))
                await until(lambda: _is_ready(two, 200))
                await until(lambda: sees(client, ONE, TWO))
                await client.say("offer", link=link(2), worker_id=ONE.worker_id, sdp="v=0")
                assert (await gpu.hear())["link"] == link(2)


async def test_a_redis_that_hangs_is_as_one_that_is_away(tmp_path: Path) -> None:
    async with own_redis(tmp_path) as redis, pair(tmp_path, (redis.url, "t:")) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            redis.signal(signal.SIGSTOP)
            await until(lambda: _is_ready(two, 503))
            assert (await client.ask("workers", id=4))["error"]["code"] == "unreachable"
            redis.signal(signal.SIGCONT)
            await until(lambda: _is_ready(two, 200))
            await until(lambda: sees(client, ONE))
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["type"] == "offer"


async def test_a_process_that_hears_nothing_more_listens_anew(tmp_path: Path) -> None:
    async with (
        own_redis(tmp_path) as redis,
        swallowing(redis.port) as way,
        pair(tmp_path, (way.url, "t:")) as (one, two),
    ):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            gaps = one.service.hub.gaps()
            way.swallow()

            async def anew() -> bool:
                return one.service.hub.gaps() > gaps

            await until(anew)
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["type"] == "offer"


async def test_a_redis_that_is_full_is_as_one_that_is_away(tmp_path: Path) -> None:
    async with own_redis(tmp_path) as redis, pair(tmp_path, (redis.url, "t:")) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE), peer(two, room.session_token) as client:
            with keys_of((redis.url, "t:")) as keys:
                keys.config_set("maxmemory", "1")
                await until(lambda: _is_ready(two, 503))
                # and nobody is told that there are no workers
                assert (await client.ask("workers", id=4))["error"]["code"] == "unreachable"
                keys.config_set("maxmemory", "0")
            await until(lambda: _is_ready(two, 200))
            await until(lambda: sees(client, ONE))


def test_one_process_does_not_even_import_what_speaks_to_redis() -> None:
    look = "import sys, signaling_server.program; raise SystemExit('redis' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0


async def test_wrong_codes_are_counted_while_redis_is_away(tmp_path: Path) -> None:
    async with own_redis(tmp_path) as redis, pair(tmp_path, (redis.url, "t:")) as (one, _):
        ada = await somebody(one)
        for number in range(5):
            if number == 2:
                await redis.kill()
            with pytest.raises(NotFoundError):
                await let_in(one, ada, "BBBB-BBBB")
        with pytest.raises(BusyError, match="ten minutes"):
            await let_in(one, ada, "BBBB-BBBB")
        with pytest.raises(UnreachableError, match="other processes"):
            await one.service.hub.workers("r_aaaaaaaa")


async def test_a_redis_that_is_not_there_is_a_sentence_without_its_password(tmp_path: Path) -> None:
    for url in (
        "redis://ada:hunter2hunter2@127.0.0.1:1/0",
        "rediss://:hunter2hunter2@127.0.0.1:1/0",
        "rediss://:hunter2hunter2@127.0.0.1:1/0?ssl_nonsense=1",
    ):
        with pytest.raises(UnreachableError) as refused:
            async with running_service(tmp_path, redis_url=url):
                pass
        assert "127.0.0.1:1/0 does not answer" in refused.value.sentence
        assert "hunter2" not in refused.value.sentence


def test_settings_for_several_processes(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.touch(mode=0o644)
    for text, said in (
        ("workers = 2", "redis_url must be set"),
        ("workers = 0", "workers"),
        ('redis_url = "http://127.0.0.1"', "@127.0.0.1:6379/0"),
        ('redis_prefix = "*"', "redis_prefix"),
        ('redis_url = "redis://:hunter2hunter2@127.0.0.1/0"', "chmod 600"),
        ('redis_url = "unix:///run/redis.sock?password=hunter2hunter2"', "chmod 600"),
        ('metrics_token = "short"', "chmod 600"),
    ):
        file.write_text(text)
        with pytest.raises(ConfigError) as refused:
            load_settings({}, file)
        assert said in refused.value.sentence
        assert "hunter2" not in refused.value.sentence
    with pytest.raises(ConfigError, match="at least 32 characters"):
        load_settings({"SLEAP_RTC_SERVER_METRICS_TOKEN": "short"}, None)
    file.write_text("")
    environment = {"SLEAP_RTC_SERVER_WORKERS": "3", "SLEAP_RTC_SERVER_REDIS_URL": "redis://:hunter2hunter2@db/0"}
    made = load_settings(environment, file)
    assert (made.workers, made.redis_url) == (3, "redis://:hunter2hunter2@db/0")
    assert "hunter2" not in repr(made)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hunter2/hunter2@127.0.0.1/0",
        "redis://:hunter2#hunter2@127.0.0.1/0",
        "redis://[::1/0",
        "redis://127.0.0.1:99999/0",
        "redis://127.0.0.1/main",
        "redis://127.0.0.1/0?decode_responses=true",
        "unix://",
    ],
)
def test_an_address_that_means_something_else_is_refused_before_it_is_used(url: str) -> None:
    with pytest.raises(ConfigError, match="# as %23") as refused:
        load_settings({"SLEAP_RTC_SERVER_REDIS_URL": url})
    assert "hunter2" not in refused.value.sentence


@pytest.mark.parametrize(
    "url", ["unix:///run/redis.sock?db=1", "rediss://ada:p%23w@db:6380/2?ssl_ca_certs=/etc/ca.pem", "redis://db"]
)
def test_addresses_of_redis(url: str) -> None:
    assert load_settings({"SLEAP_RTC_SERVER_REDIS_URL": url}).redis_url == url
