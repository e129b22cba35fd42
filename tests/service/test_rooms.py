"""Rooms with members: made, listed, expired, deleted."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import func, select
from websockets.exceptions import InvalidStatus

from signaling_server.housekeeping import clean_up, recheck
from signaling_server.models import Membership, Token
from signaling_server.models import Room as RoomRow
from sleap_rtc.config.timeouts import Timeouts
from sleap_rtc.errors import ConflictError, ForbiddenError, NotFoundError, ProtocolError, UsageError
from sleap_rtc.signaling.client import SignalingClient
from tests.service.peers import Key, browser, link, open_room, peer, worker
from tests.service.people import DAY, Clock, Person, dev_service, join, person
from tests.service.running import RunningService

ONE, TWO = Key(1), Key(2)
ABSENT = "r_" + "a" * 32
QUICK = Timeouts(reconnect_first=0.01, reconnect_most=0.05, connect=5, request=5, close=1)


async def told(service: RunningService, token: str, room: str | None) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        async with peer(service, token, room=room):
            pass
    return caught.value.response.status_code, bytes(caught.value.response.body).decode()


async def test_a_room_has_an_owner_members_and_workers(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room("Lab  of\x1b[2J Ada")
        assert (room.name, room.role, room.members, room.workers_online) == ("Lab of Ada", "owner", 1, 0)
        assert (room.created_at, room.expires_at) == (clock.now, clock.now + 30 * DAY)
        clock.now += 1
        forever = await ada.room("second", None)
        assert forever.expires_at is None
        await join(service, grace, room)
        token = await ada.worker_token(room)
        async with worker(service, token.token, ONE), worker(service, token.token, TWO):
            assert [each.room_id for each in await ada.api.rooms()] == [room.room_id, forever.room_id]
            [seen] = await grace.api.rooms()
            assert (seen.role, seen.members, seen.workers_online) == ("member", 2, 2)
            detail = await grace.api.room(room.room_id)
            assert [(each.name, each.role) for each in detail.people] == [("ada", "owner"), ("grace", "member")]
            assert (detail.role, detail.workers_online) == ("member", 2)
            present = await grace.api.workers(room.room_id)
            assert {each.worker_id for each in present} == {ONE.worker_id, TWO.worker_id}
        assert await (await person(service, "mary")).api.rooms() == []


async def test_a_foreign_room_looks_like_none(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        room = await (await person(service, "ada")).room()
        anonymous = await open_room(service)
        mary = {"Authorization": f"Bearer {(await person(service, 'mary')).token}"}
        token, invite, user = "t_" + "0" * 32, "i_" + "0" * 32, "u_" + "a" * 32
        paths: list[tuple[str, str, dict[str, str] | None]] = [
            ("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("GET", "/workers", None),
            ("GET", "/members", None), ("DELETE", "/members/me", None), ("DELETE", f"/members/{user}", None),
            ("POST", "/transfer", {"user_id": user}), ("GET", "/log", None),
            ("GET", "/invites", None), ("POST", "/invites", {}), ("DELETE", f"/invites/{invite}", None),
            ("GET", "/tokens", None), ("POST", "/tokens", {"name": "x"}), ("DELETE", f"/tokens/{token}", None),
            ("POST", f"/tokens/{token}/rotate", {}),
        ]  # fmt: skip
        ids = [
            room.room_id,
            ABSENT,
            anonymous.room_id,
            "x",
            room.room_id + "x",
            "'; DROP TABLE rooms",
            "r_" + "a" * 9000,
        ]
        for method, path, body in paths:
            answers = [await client.request(method, f"/api/v1/rooms/{i}{path}", headers=mary, json=body) for i in ids]
            assert {answer.status_code for answer in answers} == {404}
            assert len({answer.content for answer in answers}) == 1
        refusals = {await told(service, mary["Authorization"].removeprefix("Bearer "), i) for i in ids[:5]}
        assert {status for status, _ in refusals} == {404}
        assert len(refusals) == 1


async def test_what_is_no_id_is_sent_nowhere(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        for text in ("../../me", "r_a/../../me", "", "lab"):
            with pytest.raises(NotFoundError, match="no room's id"):
                await ada.api.room(text)
            with pytest.raises(ProtocolError, match="not a room id"):
                SignalingClient(service.url, ada.token, timeouts=QUICK, room=text)
        with pytest.raises(NotFoundError, match="no token's id"):
            await ada.api.revoke_token(ABSENT, "../x")


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("name", "days"), [("", 1), ("\x1b[2J", 1), ("n" * 129, 1), ("lab", 0), ("lab", -1), ("lab", 36_501)]
)
async def test_what_is_no_room(tmp_path: Path, name: str, days: int) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        with pytest.raises(UsageError):
            await ada.room(name, days)
        assert await ada.api.rooms() == []


async def test_a_refused_value_is_not_repeated_but_the_reason_is_told(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        headers = {"Authorization": f"Bearer {(await person(service, 'ada')).token}"}
        for name, reason in [("", "it is empty"), ("secret" * 30, "string should have at most 128 characters")]:
            answer = await client.post("/api/v1/rooms", json={"name": name}, headers=headers)
            assert answer.json()["error"]["sentence"] == f"The request has a wrong value at 'body.name': {reason}."


async def test_days_are_whole_numbers_and_have_a_default(tmp_path: Path) -> None:
    async with dev_service(tmp_path, room_days=3) as service, browser(service) as client:
        clock = Clock(service)
        headers = {"Authorization": f"Bearer {(await person(service, 'ada')).token}"}
        for days in (True, "7", 1.5, 10**19):
            body = {"name": "lab", "expires_days": days}
            assert (await client.post("/api/v1/rooms", json=body, headers=headers)).status_code == 422
        made = (await client.post("/api/v1/rooms", json={"name": "lab"}, headers=headers)).json()
        assert made["expires_at"] == clock.now + 3 * DAY


async def test_an_operator_bounds_rooms_and_tokens(tmp_path: Path) -> None:
    limits = {"rooms_per_user": 2, "tokens_per_room": 2}
    async with dev_service(tmp_path, max_room_days=10, max_token_days=5, limits=limits) as service:
        ada = await person(service, "ada")
        for days in (11, None):
            with pytest.raises(UsageError, match="at most 10 days"):
                await ada.room("lab", days)
        room = await ada.room("lab", 10)
        for unbounded in (6, None):
            with pytest.raises(UsageError, match="at most 5 days"):
                await ada.worker_token(room, expires_days=unbounded)
        await ada.room("two", 1)
        with pytest.raises(ConflictError, match="own 2 rooms"):
            await ada.room("three", 1)
        first, _ = await ada.worker_token(room, "one", 5), await ada.worker_token(room, "two", 5)
        with pytest.raises(ConflictError, match="2 worker tokens"):
            await ada.worker_token(room, "three", 5)
        await ada.api.revoke_token(room.room_id, first.token_id)
        await ada.worker_token(room, "three", 5)
        assert [each.name for each in await ada.api.tokens(room.room_id)] == ["two", "three"]


async def test_an_expired_room_explains_itself_to_its_members(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, mary = await person(service, "ada"), await person(service, "mary")
        room = await ada.room("lab", 2)
        token = await ada.worker_token(room, expires_days=None)
        async with (
            worker(service, token.token, ONE) as gpu,
            peer(service, ada.token, room=room.room_id) as client,
        ):
            clock.now += 2 * DAY
            await recheck(service.service)
            assert (await gpu.closed(), await client.closed()) == (4403, 4403)
        clock.now += 3 * DAY
        for ask in (ada.api.workers(room.room_id), ada.worker_token(room)):
            with pytest.raises(ConflictError, match=r"'lab' expired 3 days ago.*4 days more it is kept.*room extend"):
                await ask
        status, sentence = await told(service, await ada.fresh_token(), room.room_id)
        assert (status, "expired 3 days ago" in sentence) == (409, True)
        token_of_mary = await mary.fresh_token()
        assert "'lab' of this token expired 3 days ago" in (await told(service, token.token, None))[1]
        assert await told(service, token_of_mary, room.room_id) == await told(service, token_of_mary, ABSENT)
        # it can still be looked at
        assert (await ada.api.room(room.room_id)).expires_at == clock.now - 3 * DAY
        assert [each.state for each in await ada.api.tokens(room.room_id)] == ["expired"]


async def test_a_room_is_renamed_by_its_owner(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await ada.room("lab", 2)
        changed = await ada.api.rename_room(room.room_id, "Fly\x1b[2J \u202elab  <script>")
        assert (changed.name, changed.expires_at) == ("Fly lab <script>", room.expires_at)
        assert (await ada.api.room(room.room_id)).name == changed.name
        headers = {"Authorization": f"Bearer {ada.token}"}
        for body in ({}, {"name": None}, {"name": ""}, {"name": "n" * 129}, {"role": "owner"}, {"expires_days": 0}):
            answer = await client.patch(f"/api/v1/rooms/{room.room_id}", json=body, headers=headers)
            assert (body, answer.status_code) == (body, 422)
        assert (await ada.api.room(room.room_id)).name == changed.name


async def test_a_name_as_large_as_a_body_is_no_name(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada = await person(service, "ada")
        room = await ada.room()
        headers = {"Authorization": f"Bearer {ada.token}"}
        for method, path in (("POST", ""), ("PATCH", f"/{room.room_id}"), ("POST", f"/{room.room_id}/tokens")):
            url = f"/api/v1/rooms{path}"
            assert (await client.request(method, url, json={"name": "n" * 2**16}, headers=headers)).status_code == 413
            assert (await client.request(method, url, json={"name": "n" * 129}, headers=headers)).status_code == 422
        assert [each.name for each in await ada.api.rooms()] == ["lab"]


async def test_a_room_lives_longer_if_its_owner_says_so(tmp_path: Path) -> None:
    async with dev_service(tmp_path, max_room_days=60) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room("lab", 30)
        for days, sentence in ((30, "lives for 30 days already"), (1, "lives for 30 days already")):
            with pytest.raises(ConflictError, match=sentence):
                await ada.api.extend_room(room.room_id, days)
        for unbounded in (61, None):
            with pytest.raises(UsageError, match="at most 60 days"):
                await ada.api.extend_room(room.room_id, unbounded)
        clock.now += 10 * DAY
        assert (await ada.api.extend_room(room.room_id, 60)).expires_at == clock.now + 60 * DAY


async def test_a_room_for_ever_cannot_live_longer(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room("lab", 1)
        assert (await ada.api.extend_room(room.room_id, None)).expires_at is None
        for days in (30, None):
            with pytest.raises(ConflictError, match="lives for ever already"):
                await ada.api.extend_room(room.room_id, days)


async def test_an_expired_room_comes_back_within_a_week(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room, lost = await ada.room("lab", 1), await ada.room("lost", 1)
        await join(service, grace, room)
        token = await ada.worker_token(room, expires_days=None)
        clock.now += 7 * DAY
        assert "'lab' of this token expired" in (await told(service, token.token, None))[1]
        with pytest.raises(ForbiddenError, match="Only the owner"):
            await grace.api.extend_room(room.room_id, 30)
        assert (await ada.api.extend_room(room.room_id, 30)).expires_at == clock.now + 30 * DAY
        async with worker(service, token.token, ONE):
            assert [each.worker_id for each in await grace.api.workers(room.room_id)] == [ONE.worker_id]
        # a week after its end it is as good as forgotten, whenever that is done
        clock.now += DAY
        with pytest.raises(NotFoundError):
            await ada.api.extend_room(lost.room_id, 30)


async def test_a_room_that_ends_within_a_day_is_marked(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room, forever = await ada.room("lab", 2), await ada.room("forever", None)
        token = await ada.worker_token(forever, "gpu", 2)
        for passed, soon in ((0, False), (DAY - 1, False), (1, True), (DAY - 1, True), (1, False)):
            clock.now += passed
            assert [each.expires_soon for each in await ada.api.rooms() if each.room_id == room.room_id] == [soon]
            assert (await ada.api.room(room.room_id)).expires_soon is soon
            assert [each.expires_soon for each in await ada.api.tokens(forever.room_id)] == [soon]
            assert not (await ada.api.room(forever.room_id)).expires_soon
        assert (await ada.api.tokens(forever.room_id))[0].token_id == token.token_id


async def test_an_expired_room_is_forgotten_after_a_week(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room, forever = await ada.room("lab", 1), await ada.room("forever", None)
        await ada.worker_token(room)
        clock.now += 8 * DAY
        await clean_up(service.service)
        assert len(await ada.api.rooms()) == 2
        clock.now += 1
        await clean_up(service.service)
        assert [each.room_id for each in await ada.api.rooms()] == [forever.room_id]
        async with service.service.database.transaction() as session:
            for table, left in ((RoomRow, 1), (Membership, 1), (Token, 0)):
                assert await session.scalar(select(func.count()).select_from(table)) == left


async def test_a_deleted_room_is_empty_at_once(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room, other = await ada.room(), await ada.room()
        await join(service, grace, room)
        with pytest.raises(ForbiddenError, match="Only the owner"):
            await grace.api.delete_room(room.room_id)
        tokens = [await ada.worker_token(each) for each in (room, other)]
        async with (
            worker(service, tokens[0].token, ONE) as gpu,
            peer(service, grace.token, room=room.room_id) as client,
            worker(service, tokens[1].token, ONE) as bystander,
        ):
            await ada.api.delete_room(room.room_id)
            async with asyncio.timeout(2):
                assert (await gpu.closed(), await client.closed()) == (4403, 4403)
            assert await bystander.silent()
        with pytest.raises(NotFoundError):
            await grace.api.room(room.room_id)
        assert "unknown" in (await told(service, tokens[0].token, None))[1]


async def test_who_no_longer_belongs_is_sent_away(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        await join(service, grace, room)
        async with (
            peer(service, grace.token, room=room.room_id) as removed,
            peer(service, ada.token, room=room.room_id) as stays,
        ):
            async with service.service.database.transaction() as session:
                await session.delete(await session.get_one(Membership, (room.room_id, grace.user_id)))
            await recheck(service.service)
            assert await removed.closed() == 4403
            assert await stays.silent()


async def test_a_client_enters_the_room_it_names(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room, other = await ada.room(), await ada.room()
        async with worker(service, (await ada.worker_token(room)).token, ONE):
            assert await _workers(service, ada, room.room_id) == [ONE.worker_id]
            assert await _workers(service, ada, other.room_id) == []
            async with peer(service, ada.token, room=other.room_id) as client:
                gone = await client.ask("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
                assert gone["error"]["code"] == "not_found"
            async with SignalingClient(service.url, ada.token, timeouts=QUICK, room=ABSENT, patient=True) as client:
                with pytest.raises(NotFoundError, match="no such room"):
                    await client.welcome()
        status, sentence = await told(service, ada.token, None)
        assert (status, "?room=" in sentence) == (422, True)


async def _workers(service: RunningService, somebody: Person, room_id: str) -> list[str]:
    async with SignalingClient(service.url, somebody.token, timeouts=QUICK, room=room_id) as client:
        return [each.worker_id for each in await client.workers()]


async def test_the_stamp_says_who_owns_the_room(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        await join(service, grace, room)
        token = await ada.worker_token(room)
        async with (
            worker(service, token.token, ONE) as gpu,
            peer(service, ada.token, room=room.room_id) as owner,
            peer(service, grace.token, room=room.room_id) as member,
        ):
            assert not gpu.welcome["principal"]["owner"]
            for number, (client, owns) in enumerate(((owner, True), (member, False))):
                assert client.welcome["principal"]["owner"] is owns
                # what a client says of itself is not believed
                forged = client.welcome["principal"] | {"owner": True, "session": link(number)}
                offer = {"link": link(number), "worker_id": ONE.worker_id, "sdp": "v=0", "from": forged}
                await client.say("offer", **offer)
                assert (await gpu.hear())["from"]["owner"] is owns


async def test_nobody_owns_the_room_of_a_session_string(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        room = await open_room(service)
        async with peer(service, room.session_token) as client:
            assert client.welcome["principal"]["owner"] is False
