"""Two processes that are one service: what one of them knows, does and counts holds for the other."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from signaling_server.backplane.envelopes import EndedAll, seal
from signaling_server.backplane.keys import Keys, process_of
from signaling_server.counts import OFFERS, RELAYED
from signaling_server.housekeeping import CLEANING
from signaling_server.limits import WindowLimiter
from signaling_server.signaling.outbox import Outbox
from sleap_rtc.errors import BusyError, NotFoundError
from sleap_rtc.protocol.signaling import CLOSE_REPLACED, CLOSE_REVOKED, WorkerPresence
from tests.service.oauth import begin, let_in, somebody
from tests.service.pairs import Redis, keys_of, pair, present, sees, sees_nobody, until
from tests.service.peers import INFO, Key, browser, link, open_room, peer, worker
from tests.service.people import leave, room_of_two
from tests.service.running import RunningService
from tests.service.test_revocation import told_of_both

pytestmark = pytest.mark.one_database

ONE, TWO = Key(1), Key(2)


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
            await until(lambda: sees(client, ONE))
            await hub.leave(member)
            await until(lambda: sees_nobody(client))


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
            await until(lambda: sees_nobody(client))


async def test_a_revocation_reaches_both(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, dev=True) as (one, two):
        owner, member, room, token = await room_of_two(one, two)
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


async def test_an_offer_that_crosses_a_revocation_leads_nowhere(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, dev=True) as (one, two):
        owner, member, room, token = await room_of_two(one)
        async with (
            worker(one, token.token, ONE) as gpu,
            peer(two, member.token, room=room.room_id) as grace,
            peer(two, owner.token, room=room.room_id) as ada,
        ):
            await leave(one, member, room)
            # one has looked whose links to end, and two, which has not heard of it, passes an offer on
            await one.service.hub.here.end_all("gone", CLOSE_REVOKED, room=room.room_id, user=member.user_id)
            await grace.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            await two.service.hub.workers(room.room_id)
            await one.service.hub.end_all("gone", CLOSE_REVOKED, room=room.room_id, user=member.user_id)
            assert await grace.closed() == CLOSE_REVOKED
            await ada.say("offer", link=link(1), worker_id=ONE.worker_id, sdp="v=0")
            assert await told_of_both(gpu, link(), link(1))


async def test_who_was_just_sent_away_is_looked_at_when_they_dial(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, dev=True) as (one, two):
        _owner, member, room, token = await room_of_two(one)
        async with worker(one, token.token, ONE) as gpu, peer(two, member.token, room=room.room_id) as grace:
            await leave(one, member, room)
            # two never hears of it: the offer comes when all is over, and who made it has no right any more
            with keys_of(shared_redis) as redis:
                ended = EndedAll(by="x", reason="gone", code=CLOSE_REVOKED, room=room.room_id, user=member.user_id)
                redis.publish(Keys(shared_redis[1]).inbox(process_of(gpu.welcome["principal"]["session"])), seal(ended))
            await until(lambda: _watches(one))
            await grace.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            stamp = (await gpu.hear())["from"]
            heard = await gpu.hear()
            assert (heard["type"], heard["visitor"]["credential"]) == ("revoked", stamp["credential"])


async def _watches(service: RunningService) -> bool:
    assert service.service.backplane is not None
    return service.service.backplane.latecomers.watches


async def test_a_room_handed_over_is_stamped_so_in_both(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, dev=True) as (one, two):
        owner, member, room, token = await room_of_two(one)
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


async def test_a_crowd_that_was_refused_counts_no_more(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis, limits={"clients_per_user": 3}) as (one, two):
        room = await open_room(one)
        async with AsyncExitStack() as stack:
            there = [await stack.enter_async_context(peer(two, room.session_token)) for _ in range(3)]
            like = two.service.hub.here.member(there[0].welcome["principal"]["session"])
            assert like is not None
            hub = one.service.hub
            crowd = [replace(like, presence=hub.new_presence(), outbox=Outbox(1024)) for _ in range(3)]
            came = await asyncio.gather(*map(hub.join, crowd), return_exceptions=True)
            assert [type(each) for each in came] == [BusyError] * 3

        async def three() -> bool:
            async with AsyncExitStack() as stack:
                coming = [stack.enter_async_context(peer(two, room.session_token)) for _ in range(3)]
                came = await asyncio.gather(*coming, return_exceptions=True)
            return not any(isinstance(each, InvalidStatus) for each in came)

        await until(three)


async def test_only_one_cleans_at_a_time(tmp_path: Path, shared_redis: Redis) -> None:
    async with pair(tmp_path, shared_redis) as services:
        errands = [each.service.errands for each in services]
        taken = await asyncio.gather(*(each.take(CLEANING, 60_000) for each in errands * 3))
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
