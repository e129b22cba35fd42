"""Who holds a model: asked by workers of the room, answered with those that are there now."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sleap_rtc.signaling.api import Room
from tests.service.peers import Key, Peer, worker
from tests.service.people import Person, dev_service, person
from tests.service.running import RunningService

ONE, TWO, THREE = Key(1), Key(2), Key(3)
FLY, MOUSE = "ab" * 32, "cd" * 32


class Rooms:
    """Two rooms of one owner, with a token each."""

    def __init__(self, service: RunningService, owner: Person) -> None:
        self._service, self._owner = service, owner

    async def token(self, name: str) -> str:
        room: Room = await self._owner.room(name)
        return (await self._owner.worker_token(room)).token

    @asynccontextmanager
    async def holder(self, token: str, key: Key, *digests: str) -> AsyncIterator[Peer]:
        """A worker that has told of these models."""
        async with worker(self._service, token, key) as gpu:
            told = [model(digest) for digest in digests]
            assert (await gpu.ask("report_models", id=7, models=told, complete=True))["stored"] == len(told)
            yield gpu


def model(digest: str) -> dict[str, Any]:
    return {"name": digest[:8], "version": "1", "digest": digest, "size": 3, "made": 1}


async def holders(gpu: Peer, digest: str) -> list[str]:
    answer = await gpu.ask("holders", id=8, digest=digest)
    assert (answer["type"], answer["re"]) == ("holder_list", 8)
    return [each["worker_id"] for each in answer["workers"]]


@pytest.fixture
async def rooms(tmp_path: Path) -> AsyncIterator[Rooms]:
    async with dev_service(tmp_path) as service:
        yield Rooms(service, await person(service, "ada"))


async def test_other_workers_that_are_there_and_told_of_it_are_named(rooms: Rooms) -> None:
    lab = await rooms.token("lab")
    async with rooms.holder(lab, ONE, FLY) as one, rooms.holder(lab, THREE, MOUSE) as lacking:
        async with rooms.holder(lab, TWO, FLY, MOUSE):
            assert await holders(lacking, FLY) == sorted([ONE.worker_id, TWO.worker_id])
            # nobody fetches from themselves
            assert await holders(one, FLY) == [TWO.worker_id]
            assert await holders(one, "ef" * 32) == []
        assert await holders(lacking, FLY) == [ONE.worker_id]
        assert (await one.ask("report_models", id=9, models=[], complete=True))["stored"] == 0
        assert await holders(lacking, FLY) == []


async def test_who_holds_a_model_in_another_room_is_not_told(rooms: Rooms) -> None:
    lab, other = await rooms.token("lab"), await rooms.token("other")
    async with rooms.holder(lab, ONE, FLY), rooms.holder(other, TWO) as stranger:
        assert await holders(stranger, FLY) == []
