"""Worker tokens: made by owners, used by machines, revoked at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from signaling_server.housekeeping import clean_up, recheck
from signaling_server.models import Token
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import (
    AuthenticationError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    SleapRTCError,
    UsageError,
)
from sleap_rtc.protocol.signaling import WorkerInfo
from sleap_rtc.protocol.tokens import check_token, make_token
from sleap_rtc.signaling.api import Room
from sleap_rtc.signaling.client import Registration, ServiceState, SignalingClient
from tests.service.peers import INFO, Key, browser, worker
from tests.service.people import DAY, Clock, Person, dev_service, join, person
from tests.service.running import RunningService

ONE, TWO = Key(1), Key(2)
QUICK = Timeouts(reconnect_first=0.01, reconnect_most=0.05, connect=5, request=5, close=1)
REVOKED_WITHIN = 2


def machine(
    service: RunningService, token: str, key: Key = ONE, *, room: str | None = None, info: WorkerInfo = INFO
) -> SignalingClient:
    registration = Registration(key.public, key.private.sign, info.name, info)
    return SignalingClient(service.url, token, timeouts=QUICK, room=room, registration=registration, patient=True)


async def why_refused(service: RunningService, token: str, *, room: str | None = None) -> SleapRTCError:
    async with machine(service, token, room=room) as gpu:
        with pytest.raises(SleapRTCError) as caught:
            await gpu.welcome()
    return caught.value


async def test_a_token_is_shown_once_and_listed_by_its_first_characters(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        await join(service, grace, room)
        made = await ada.worker_token(room, "gpu-1")
        assert check_token(made.token) == "worker"
        assert made.token not in repr(made)
        assert (made.name, made.expires_at) == ("gpu-1", clock.now + 7 * DAY)
        clock.now += 1
        forever = await ada.worker_token(room, "gpu-2", None)
        first, second = await ada.api.tokens(room.room_id)
        assert (first.token_id, first.created_by, first.state) == (made.token_id, "ada", "active")
        assert (first.last_used_at, first.revoked_at) == (None, None)
        assert made.token.startswith(first.display)
        assert len(first.display) < 12
        assert (second.token_id, second.expires_at) == (forever.token_id, None)
        for ask in (
            grace.api.tokens(room.room_id),
            grace.worker_token(room),
            grace.api.revoke_token(room.room_id, made.token_id),
        ):
            with pytest.raises(ForbiddenError, match="Only the owner"):
                await ask
        async with service.service.database.transaction() as session:
            row = await session.get_one(Token, made.token_id)
            assert made.token not in vars(row).values()


async def test_one_token_serves_several_machines_and_names_them(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room()
        token = await ada.worker_token(room, "lab-gpu")
        nameless = INFO.model_copy(update={"name": ""})
        async with (
            machine(service, token.token, ONE, room=room.room_id, info=nameless) as one,
            machine(service, token.token, TWO) as two,
        ):
            await one.welcome()
            await two.welcome()
            present = {each.worker_id: each for each in await ada.api.workers(room.room_id)}
            assert (present[ONE.worker_id].name, present[ONE.worker_id].info.name) == ("lab-gpu", "lab-gpu")
            assert present[TWO.worker_id].name == INFO.name
            await one.update(nameless.model_copy(update={"busy": 1}))
            async with asyncio.timeout(10):
                while not (
                    info := {w.worker_id: w for w in await ada.api.workers(room.room_id)}[ONE.worker_id].info
                ).busy:
                    pass
            assert info.name == "lab-gpu"
            clock.now += DAY
            await recheck(service.service)
            [listed] = await ada.api.tokens(room.room_id)
            assert listed.last_used_at == clock.now


async def test_the_worker_of_a_revoked_token_is_gone_at_once_and_says_why(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        token, other = await ada.worker_token(room, "gpu-1"), await ada.worker_token(room, "gpu-2")
        states: list[ServiceState] = []
        async with (
            machine(service, token.token) as gpu,
            worker(service, token.token, TWO) as twin,
            worker(service, other.token, Key(3)) as bystander,
        ):
            gpu._on_state = states.append
            await gpu.welcome()
            await ada.api.revoke_token(room.room_id, token.token_id)
            async with asyncio.timeout(REVOKED_WITHIN):
                with pytest.raises(
                    AuthenticationError, match=r"'gpu-1' was revoked just now.*new one: sleap-rtc token"
                ):
                    await gpu.receive()
                assert await twin.closed() == 4403
            assert states[-1].final
            assert await bystander.silent()
            [left] = await ada.api.workers(room.room_id)
            assert left.worker_id == Key(3).worker_id
        assert "was revoked" in (await why_refused(service, token.token)).sentence
        # again is no error, and moves nothing
        before = await ada.api.tokens(room.room_id)
        await ada.api.revoke_token(room.room_id, token.token_id)
        assert await ada.api.tokens(room.room_id) == before
        assert [each.state for each in before] == ["revoked", "active"]


async def test_a_token_revoked_during_the_handshake_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        token = await ada.worker_token(room)
        join_hub = service.service.hub.join

        async def late(member: object) -> None:
            # the credential was looked at before; this connection joins after the others were sent away
            await ada.api.revoke_token(room.room_id, token.token_id)
            await join_hub(member)  # type: ignore[arg-type]

        monkeypatch.setattr(service.service.hub, "join", late)
        assert "was revoked" in (await why_refused(service, token.token)).sentence


async def test_each_end_of_a_token_has_its_own_sentence_for_its_holder(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room, other, brief = await ada.room("lab"), await ada.room("other"), await ada.room("brief", 1)
        good, short = await ada.worker_token(room, "gpu-1", 9), await ada.worker_token(room, "gpu-2", 1)
        orphan = await ada.worker_token(brief, "gpu-3", None)
        foreign = await why_refused(service, good.token, room=other.room_id)
        assert isinstance(foreign, ForbiddenError)
        assert f"'lab' ({room.room_id}), not for '{other.room_id}'" in foreign.sentence
        clock.now += 3 * DAY
        sentences = {
            (await why_refused(service, token)).sentence
            for token in (short.token, orphan.token, make_token("worker", bytes(32)), good.token[:-1])
        }
        assert {"'gpu-2' expired 2 days ago" in each for each in sentences} == {True, False}
        assert {"'brief' of this token expired 2 days ago" in each for each in sentences} == {True, False}
        # the mistyped and the unknown one look alike
        assert len(sentences) == 3
        async with machine(service, good.token, room=room.room_id) as gpu:
            await gpu.welcome()


async def test_who_is_connected_when_the_token_expires_is_told(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        token = await ada.worker_token(await ada.room("lab", None), "gpu-1")
        async with machine(service, token.token) as gpu:
            await gpu.welcome()
            clock.now += 7 * DAY
            await recheck(service.service)
            with pytest.raises(AuthenticationError, match="'gpu-1' expired just now"):
                await gpu.receive()


async def test_a_rotated_token_has_a_successor_and_some_time_left(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room("lab", None)
        old = await ada.worker_token(room, "gpu-1", 7)
        clock.now += 2 * DAY
        new = await ada.api.rotate_token(room.room_id, old.token_id, 24)
        assert (new.name, new.expires_at, new.old_ends_at) == ("gpu-1", clock.now + 7 * DAY, clock.now + DAY)
        assert check_token(new.token) == "worker"
        assert new.token != old.token
        with pytest.raises(ConflictError, match="'gpu-1' was replaced already"):
            await ada.api.rotate_token(room.room_id, old.token_id, 0)
        async with worker(service, old.token, ONE) as gpu, worker(service, new.token, TWO) as successor:
            clock.now += DAY - 1
            await recheck(service.service)
            assert await gpu.silent()
            clock.now += 1
            await recheck(service.service)
            assert await gpu.closed() == 4403
            assert await successor.silent()
        refused = await why_refused(service, old.token)
        assert "'gpu-1' was replaced by a new one 1 day ago and has ended" in refused.sentence
        tokens = {each.token_id: each for each in await ada.api.tokens(room.room_id)}
        assert (tokens[old.token_id].state, tokens[new.token_id].state) == ("expired", "active")
        assert (tokens[old.token_id].replaced_at, tokens[new.token_id].replaced_at) == (clock.now - DAY, None)
        with pytest.raises(ConflictError, match="'gpu-1' has ended"):
            await ada.api.rotate_token(room.room_id, old.token_id, 0)


async def test_without_grace_a_rotated_token_ends_at_once(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        old = await ada.worker_token(room, "gpu-1", None)
        async with machine(service, old.token) as gpu:
            await gpu.welcome()
            new = await ada.api.rotate_token(room.room_id, old.token_id, 0)
            assert new.expires_at is None
            async with asyncio.timeout(REVOKED_WITHIN):
                with pytest.raises(AuthenticationError, match=r"'gpu-1' was replaced by a new one just now"):
                    await gpu.receive()


async def test_a_rotated_token_ends_no_later_than_it_would_have(tmp_path: Path) -> None:
    async with dev_service(tmp_path, max_token_days=5) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room("lab", None)
        old = await ada.worker_token(room, "gpu-1", 1)
        assert (await ada.api.rotate_token(room.room_id, old.token_id, 720)).old_ends_at == clock.now + DAY
        for hours in (-1, 721):
            with pytest.raises(UsageError):
                await ada.api.rotate_token(room.room_id, old.token_id, hours)


async def test_rotated_tokens_count_until_they_end(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"tokens_per_room": 2}) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        tokens = [await ada.worker_token(room, name) for name in ("gpu-1", "gpu-2")]
        with pytest.raises(ConflictError, match="2 worker tokens"):
            await ada.api.rotate_token(room.room_id, tokens[0].token_id, 1)
        # nothing is half done
        assert [each.replaced_at for each in await ada.api.tokens(room.room_id)] == [None, None]
        await ada.api.rotate_token(room.room_id, tokens[0].token_id, 0)
        assert {each.name for each in await ada.api.tokens(room.room_id)} == {"gpu-1", "gpu-2"}


async def test_unknown_tokens_and_those_of_other_rooms_cannot_be_revoked(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room, other = await ada.room(), await ada.room()
        token = await ada.worker_token(other)
        for token_id in (token.token_id, "t_" + "0" * 32):
            with pytest.raises(NotFoundError, match="no such token"):
                await ada.api.revoke_token(room.room_id, token_id)
        async with worker(service, token.token, ONE) as gpu:
            assert await gpu.silent()


@pytest.mark.one_database
@pytest.mark.parametrize(("name", "days"), [("", 1), ("n" * 129, 1), ("gpu", 0), ("gpu", 36_501)])
async def test_what_is_no_token(tmp_path: Path, name: str, days: int) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        with pytest.raises(UsageError):
            await ada.worker_token(room, name, days)


async def test_ended_tokens_are_forgotten_after_a_month(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room("lab", None)
        revoked = await ada.worker_token(room, "a", None)
        for name, days in (("b", 1), ("c", None)):
            clock.now += 1
            await ada.worker_token(room, name, days)
        await ada.api.revoke_token(room.room_id, revoked.token_id)
        clock.now += 29 * DAY
        await clean_up(service.service)
        assert [each.name for each in await ada.api.tokens(room.room_id)] == ["a", "b", "c"]
        clock.now += 2 * DAY + 1
        ada = await person(service, "ada")
        await clean_up(service.service)
        assert [each.name for each in await ada.api.tokens(room.room_id)] == ["c"]


async def test_a_long_name_leaves_room_for_the_reason(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        token = await ada.worker_token(room, "n" * 128)
        async with machine(service, token.token) as gpu:
            await gpu.welcome()
            await ada.api.revoke_token(room.room_id, token.token_id)
            with pytest.raises(AuthenticationError, match=r"^The token 'n{39}…' was revoked just now\."):
                await gpu.receive()


async def test_an_owner_sees_the_tokens_of_all_rooms_that_are_theirs_and_no_others(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace = await person(service, "ada"), await person(service, "grace")
        flies = await ada.room("flies")
        clock.now += 1
        mice, foreign = await ada.room("mice"), await grace.room("foreign")
        await join(service, ada, foreign)
        await grace.worker_token(foreign)
        for room, name in ((mice, "gpu-3"), (flies, "gpu-1"), (flies, "gpu-2")):
            clock.now += 1
            made = await ada.worker_token(room, name)
        await ada.api.revoke_token(flies.room_id, made.token_id)

        async def seen(by: Person) -> list[dict[str, Any]]:
            async with browser(service) as client:
                headers = {"Authorization": f"Bearer {await by.fresh_token()}"}
                found: list[dict[str, Any]] = (await client.get("/api/v1/me/tokens", headers=headers)).json()
            return found

        hers = await seen(ada)
        assert [(each["room_name"], each["name"], each["state"]) for each in hers] == [
            ("flies", "gpu-1", "active"),
            ("flies", "gpu-2", "revoked"),
            ("mice", "gpu-3", "active"),
        ]
        of_room = [vars(each) for each in await ada.api.tokens(flies.room_id)]
        assert [{key: each[key] for key in of_room[0]} for each in hers[:2]] == of_room
        await ada.api.transfer_room(flies.room_id, await member_of(service, grace, flies))
        assert [each["name"] for each in await seen(ada)] == ["gpu-3"]
        assert [each["room_name"] for each in await seen(grace)] == ["flies", "flies", "foreign"]


async def member_of(service: RunningService, somebody: Person, room: Room) -> str:
    await join(service, somebody, room)
    return somebody.user_id
