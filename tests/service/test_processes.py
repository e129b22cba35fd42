"""Two processes that are one service: what one of them knows, does and counts holds for the other."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from signaling_server.backplane.keys import Keys, process_of
from signaling_server.counts import OFFERS, RELAYED
from signaling_server.housekeeping import CLEANING
from signaling_server.limits import WindowLimiter
from signaling_server.settings import load_settings
from sleap_rtc.errors import BusyError, ConfigError, NotFoundError, UnreachableError
from sleap_rtc.protocol.signaling import CLOSE_REPLACED, CLOSE_REVOKED, WorkerPresence
from tests.service.oauth import begin, let_in, somebody
from tests.service.peers import INFO, WAIT, Key, Peer, browser, link, open_room, peer, worker
from tests.service.people import join, leave, person
from tests.service.redis_servers import own_redis
from tests.service.running import RunningService, running_service, two_processes

pytestmark = pytest.mark.one_database

ONE, TWO = Key(1), Key(2)
Redis = tuple[str, str]
GONE_WITHIN = 15 * 3
"""Three times as long as is promised for a process that died."""


@asynccontextmanager
async def pair(folder: Path, redis: Redis, **settings: Any) -> AsyncIterator[tuple[RunningService, RunningService]]:
    async with two_processes(folder, *redis, **settings) as services:
        yield services


async def until(true: Callable[[], Awaitable[bool]], seconds: float = WAIT) -> None:
    """Wait until something is so that another process brings about."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - nothing here is told when it happens
            await asyncio.sleep(0.02)


async def present(client: Peer) -> list[str]:
    """The workers that a client sees; none while its process cannot tell."""
    answer = await client.ask("workers", id=1)
    return [each["worker_id"] for each in answer.get("workers", [])]


async def readiness(service: RunningService) -> tuple[int, list[str]]:
    async with browser(service) as client:
        answer: httpx2.Response = await client.get("/ready")
    return answer.status_code, answer.json()["problems"]


def keys_of(redis: Redis) -> Any:
    from redis import Redis as Client

    return Client.from_url(redis[0])


async def test_messages_keep_their_order_from_one_process_to_the_other(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, limits={"rate": 1e6, "burst": 10**6}) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            said = [f"candidate:{n} 1 udp 1 127.0.0.1 {2000 + n} typ host" for n in range(30)]
            for text in said:
                await client.say("candidate", link=link(), candidate={"candidate": text})
            heard = [await gpu.hear() for _ in range(31)]
            assert [each["type"] for each in heard] == ["offer"] + ["candidate"] * 30
            assert [each["candidate"]["candidate"] for each in heard[1:]] == said


async def test_one_key_at_both_processes_at_once_leaves_one_worker(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as services, AsyncExitStack() as stack:
        room = await open_room(services[0])
        peers = [await stack.enter_async_context(peer(services[n % 2], room.worker_token)) for n in range(8)]
        await asyncio.gather(*(each.register(ONE) for each in peers))
        endings = [asyncio.ensure_future(each.closed()) for each in peers]
        codes: list[int] = []
        for ending in asyncio.as_completed(endings):
            codes.append(await ending)
            if len(codes) == 7:
                break
        assert codes == [CLOSE_REPLACED] * 7
        (left,) = (each for each, ending in zip(peers, endings, strict=True) if not ending.done())
        for service in services:
            async with peer(service, room.session_token) as client:
                assert await present(client) == [ONE.worker_id]
        for ending in endings:
            ending.cancel()
        await asyncio.gather(*endings, return_exceptions=True)
        async with peer(services[1], room.session_token) as client:
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (await left.hear())["type"] == "offer"


async def test_a_worker_sent_away_while_it_registers_leaves_nothing_behind(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as (one, two):
        room = await open_room(one)
        async with peer(one, room.worker_token) as gpu, peer(two, room.session_token) as client:
            hub = one.service.hub
            member = hub.here.member(gpu.welcome["principal"]["session"])
            assert member is not None
            presence = WorkerPresence(
                worker_id=ONE.worker_id, public_key=ONE.public.hex(), name="gpu", info=INFO, since=1
            )
            registering = asyncio.create_task(hub.claim(member, presence))
            await asyncio.sleep(0)  # it has asked, and waits for the answer
            registering.cancel()
            await asyncio.gather(registering, return_exceptions=True)
            await until(lambda: _sees(client, ONE))
            await hub.leave(member)
            await until(lambda: _is_empty(client))


async def test_an_offer_to_one_that_just_left_comes_back(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            # it is still written down, and its process does not know it any more
            member = one.service.hub.here.member(gpu.welcome["principal"]["session"])
            assert member is not None
            await one.service.hub.here.leave(member)
            await client.say("offer", id=7, link=link(), worker_id=ONE.worker_id, sdp="v=0")
            answer = await client.hear()
            assert (answer["type"], answer["link"], answer["error"]["code"]) == ("gone", link(), "not_found")
            # and nobody is sent there again
            await until(lambda: _is_empty(client))


async def _is_empty(client: Peer) -> bool:
    return not await present(client)


async def test_a_revocation_reaches_both(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, dev=True) as (one, two):
        owner, member = await person(one, "ada"), await person(two, "grace")
        room = await owner.room()
        await join(one, member, room)
        token = await owner.worker_token(room)
        async with (
            worker(one, token.token, ONE) as gpu,
            peer(two, member.token, room=room.room_id) as grace,
        ):
            await grace.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            stamp = (await gpu.hear())["from"]
            async with asyncio.timeout(2 * 3):
                await member.api.logout()
                assert await grace.closed() == CLOSE_REVOKED
            async with asyncio.timeout(5 * 3):
                heard = await gpu.hear()
            assert (heard["type"], heard["visitor"]["credential"]) == ("revoked", stamp["credential"])
            # the worker's token is revoked where the worker is not connected
            from sleap_rtc.signaling.api import ServiceAPI

            async with asyncio.timeout(2 * 3):
                await ServiceAPI(two.url, owner.tokens).revoke_token(room.room_id, token.token_id)
                assert await gpu.closed() == CLOSE_REVOKED


async def test_a_room_handed_over_is_stamped_so_in_both(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, dev=True) as (one, two):
        owner, member = await person(one, "ada"), await person(one, "grace")
        room = await owner.room()
        await join(one, member, room)
        token = await owner.worker_token(room)
        async with worker(one, token.token, ONE) as gpu, peer(two, member.token, room=room.room_id) as grace:
            await grace.say("offer", link=link(1), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["from"]["owner"] is False
            await owner.api.transfer_room(room.room_id, member.user_id)
            numbers = iter(range(2, 1000))

            async def owns() -> bool:
                await grace.say("offer", link=link(next(numbers)), worker_id=ONE.worker_id, sdp="v=0")
                return bool((await gpu.hear())["from"]["owner"])

            await until(owns)


async def test_wrong_codes_are_counted_across_both(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as services:
        one, two = services
        ada = await somebody(one)
        begun = await begin(two)
        for number in range(5):
            with pytest.raises(NotFoundError):
                await let_in(services[number % 2], ada, "BBBB-BBBB")
        for service in services:
            with pytest.raises(BusyError, match="ten minutes"):
                await let_in(service, ada, begun["user_code"])


async def test_a_window_of_both_counts_as_one_does(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, limits={"addresses": 2}) as services:
        windows = [
            each.service.backplane.window("test", 2, 100, WindowLimiter(2, 100, 10))
            for each in services
            if each.service.backplane is not None
        ]
        one, two = windows
        assert [await one.allow("a", 0), await two.allow("a", 99), await one.allow("a", 99)] == [True, True, False]
        assert await two.allow("a", 100)
        assert not await one.allow("a", 198)
        assert await one.allow("b", 198)
        await two.give_back("b")
        assert [await two.allow("b", 199) for _ in range(3)] == [True, True, False]
        # the quietest of three is forgotten, whatever it is called
        assert await one.allow("\ud800", 199)
        assert [await two.allow("a", 199) for _ in range(3)] == [True, True, False]


async def test_sockets_of_one_user_are_counted_across_both(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, limits={"clients_per_user": 2}) as (one, two):
        room = await open_room(one)
        async with peer(one, room.session_token), peer(two, room.session_token):
            for service in (one, two):
                with pytest.raises(InvalidStatus) as caught:
                    await peer(service, room.session_token).__aenter__()
                assert caught.value.response.status_code == 429
        async with peer(two, room.session_token), peer(two, room.session_token) as client:
            assert await client.silent()


async def test_only_one_cleans_at_a_time(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as services:
        taken = await asyncio.gather(
            *(each.service.turns.take(CLEANING, 60_000) for each in services for _ in range(3))
        )
        assert Counter(taken) == {True: 1, False: 5}


async def test_what_is_counted_is_that_of_both(tmp_path: Path, shared_redis: Redis) -> None:
    token = "0123456789abcdefghijklmnopqrstuvwxyz"
    async with pair(tmp_path, shared_redis, metrics_token=token) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            await gpu.hear()
            await gpu.say("answer", link=link(), sdp="v=0")
            await client.hear()

            async def told(service: RunningService) -> dict[str, float]:
                async with browser(service) as scraper:
                    headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": "203.0.113.9"}
                    text = (await scraper.get("/metrics", headers=headers)).text
                lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
                return {name: float(value) for name, value in lines}

            async def same() -> bool:
                found = [await told(service) for service in (one, two)]
                return all(
                    (each["sleap_rtc_processes"], each["sleap_rtc_workers_online"], each[OFFERS], each[RELAYED])
                    == (2, 1, 1, 2)
                    and each['sleap_rtc_sockets{role="client"}'] == each['sleap_rtc_sockets{role="worker"}'] == 1
                    and sum(name.startswith("sleap_rtc_process_memory_bytes{") for name in each) == 2
                    for each in found
                )

            await until(same)


async def test_what_redis_forgot_is_told_again(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            with keys_of(shared_redis) as redis:
                redis.delete(*redis.scan_iter(match=f"{shared_redis[1]}*"))
            assert await present(client) == []
            await until(lambda: _sees(client, ONE))
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["type"] == "offer"


async def _sees(client: Peer, *keys: Key) -> bool:
    return set(await present(client)) == {key.worker_id for key in keys}


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
        owner, member = await person(one, "ada"), await person(two, "grace")
        room = await owner.room()
        await join(one, member, room)
        token = await owner.worker_token(room)
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
                await until(lambda: _sees(client, ONE, TWO))
                await client.say("offer", link=link(2), worker_id=ONE.worker_id, sdp="v=0")
                assert (await gpu.hear())["link"] == link(2)


async def _is_ready(service: RunningService, status: int) -> bool:
    return (await readiness(service))[0] == status


async def test_a_redis_that_hangs_is_as_one_that_is_away(tmp_path: Path) -> None:
    async with own_redis(tmp_path) as redis, pair(tmp_path, (redis.url, "t:")) as (one, two):
        room = await open_room(one)
        async with worker(one, room, ONE) as gpu, peer(two, room.session_token) as client:
            redis.signal(signal.SIGSTOP)
            await until(lambda: _is_ready(two, 503))
            assert (await client.ask("workers", id=4))["error"]["code"] == "unreachable"
            redis.signal(signal.SIGCONT)
            await until(lambda: _is_ready(two, 200))
            await until(lambda: _sees(client, ONE))
            await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            assert (await gpu.hear())["type"] == "offer"


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
    for url in ("redis://ada:hunter2hunter2@127.0.0.1:1/0", "rediss://:hunter2hunter2@127.0.0.1:1/0"):
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
        ('redis_url = "http://127.0.0.1"', "redis://127.0.0.1:6379/0"),
        ('redis_prefix = "*"', "redis_prefix"),
        ('redis_url = "redis://:hunter2hunter2@127.0.0.1/0"', "chmod 600"),
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
