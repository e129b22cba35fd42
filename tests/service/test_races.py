"""Many ask for the same thing at once: limits hold, and one person is one user."""

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from sleap_rtc.errors import ConflictError, NotFoundError
from tests.service.people import dev_service, person

MANY = 12


async def outcomes(*attempts: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*attempts, return_exceptions=True)


async def test_limits_hold_when_everything_is_asked_for_at_once(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"rooms_per_user": 3, "tokens_per_room": 2}) as service:
        ada, bob = await person(service, "ada"), await person(service, "bob")
        rooms = await outcomes(*(ada.room(f"lab-{n}") for n in range(MANY)), bob.room())
        refused = [each for each in rooms if isinstance(each, ConflictError)]
        assert (len(refused), len(await ada.api.rooms()), len(await bob.api.rooms())) == (MANY - 3, 3, 1)
        room = (await ada.api.rooms())[0]
        tokens = await outcomes(*(ada.worker_token(room, f"gpu-{n}") for n in range(MANY)))
        assert sum(isinstance(each, ConflictError) for each in tokens) == MANY - 2
        assert len(await ada.api.tokens(room.room_id)) == 2


async def test_what_is_deleted_meanwhile_is_a_refusal_and_nothing_stays(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        for _ in range(3):
            room = await ada.room()
            attempts = [ada.worker_token(room, f"gpu-{n}") for n in range(MANY)]
            answers = await outcomes(*attempts[:6], ada.api.delete_room(room.room_id), *attempts[6:])
            refusals = [each for each in answers if isinstance(each, Exception)]
            assert all(isinstance(each, NotFoundError | ConflictError) for each in refusals), refusals
        assert await ada.api.rooms() == []
