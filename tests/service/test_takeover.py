"""A worker's place belongs to its key: proven, taken over by its holder alone."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.service.peers import Key, link, open_room, peer, worker
from tests.service.running import RunningService, running_service

pytestmark = pytest.mark.spread
ONE, TWO = Key(1), Key(2)


async def test_the_newer_connection_of_a_key_wins_and_others_stay(service: RunningService) -> None:
    room = await open_room(service)
    async with (
        worker(service, room, ONE) as older,
        worker(service, room, TWO) as neighbour,
        worker(service, room, ONE) as newer,
        peer(service, room.session_token) as client,
    ):
        assert await older.closed() == 4409
        await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
        assert (await newer.hear())["type"] == "offer"
        assert len((await client.ask("workers", id=1))["workers"]) == 2
        assert await neighbour.silent()


async def test_nobody_takes_a_place_without_its_key(service: RunningService) -> None:
    room, other = await open_room(service), await open_room(service)
    async with worker(service, room, ONE) as victim, peer(service, room.worker_token) as witness:
        replayed = await _signature(witness.welcome["nonce"], other.room_id)
        for changes in (
            {"signature": "00" * 64},
            {"signature": replayed},
            {"public_key": ONE.public.hex()},
            {"public_key": "ff" * 32},
        ):
            async with peer(service, room.worker_token) as thief:
                answer = await thief.register(TWO, **changes)
                assert answer["error"]["code"] == "authentication"
                assert await thief.closed() == 4401
        assert await victim.silent()
        async with peer(service, room.session_token) as client:
            present = (await client.ask("workers", id=1))["workers"]
            assert [found["worker_id"] for found in present] == [ONE.worker_id]


async def _signature(nonce: str, room: str) -> str:
    from sleap_rtc.protocol.signaling import registration_text

    return TWO.private.sign(registration_text(bytes.fromhex(nonce), room, TWO.worker_id)).hex()


async def test_the_same_key_in_another_room_is_another_worker(service: RunningService) -> None:
    room, other = await open_room(service), await open_room(service)
    async with worker(service, room, ONE) as here, worker(service, other, ONE) as there:
        assert await here.silent()
        assert await there.silent()


async def test_a_worker_that_does_not_register_is_sent_away(tmp_path: Path) -> None:
    async with running_service(tmp_path, limits={"register_within": 0.05}) as service:
        room = await open_room(service)
        async with peer(service, room.worker_token) as idle, peer(service, room.session_token) as client:
            assert await idle.closed() == 4401
            assert await client.silent()


async def test_many_take_over_at_once_and_one_remains(service: RunningService) -> None:
    room = await open_room(service)
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(peer(service, room.worker_token)) for _ in range(8)]
        await asyncio.gather(*(each.register(ONE) for each in peers))
        endings = {asyncio.ensure_future(each.closed()) for each in peers}
        ended: list[int] = []
        for ending in asyncio.as_completed(endings):
            ended.append(await ending)
            if len(ended) == 7:
                break
        client = await stack.enter_async_context(peer(service, room.session_token))
        assert len((await client.ask("workers", id=1))["workers"]) == 1
        for left in endings:
            left.cancel()
        await asyncio.gather(*endings, return_exceptions=True)
    assert ended == [4409] * 7
