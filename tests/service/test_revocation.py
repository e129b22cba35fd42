"""Who loses a right loses it everywhere: sockets are closed, and workers are told whose links to end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from signaling_server.housekeeping import recheck
from signaling_server.models import Login, Token
from signaling_server.signaling.members import Holder, Member
from signaling_server.signaling.outbox import Outbox
from sleap_rtc.protocol.signaling import CLOSE_REVOKED, MAX_VISITORS, Principal
from sleap_rtc.signaling.api import Room
from tests.service.peers import Key, Peer, link, open_room, peer, worker
from tests.service.people import Clock, Person, dev_service, join, leave, person
from tests.service.running import RunningService

pytestmark = pytest.mark.spread
ONE, TWO = Key(1), Key(2)
REMOVED = "You were removed from the room 'lab'."


@dataclass(frozen=True)
class Lab:
    """A room with two people and a worker."""

    service: RunningService
    room: Room
    owner: Person
    member: Person
    worker: Peer

    async def remove(self, somebody: Person) -> None:
        """What every way out of a room comes to."""
        await leave(self.service, somebody, self.room)
        await self.service.service.hub.end_all(REMOVED, CLOSE_REVOKED, room=self.room.room_id, user=somebody.user_id)

    async def dial(self, client: Peer, number: int = 0) -> dict[str, Any]:
        """Let a client dial the worker; return the stamp that came with the offer."""
        await client.say("offer", link=link(number), worker_id=ONE.worker_id, sdp="v=0")
        stamp: dict[str, Any] = (await self.worker.hear())["from"]
        await self.worker.say("answer", link=link(number), sdp="v=0")
        assert (await client.hear())["type"] == "answer"
        return stamp

    def enter(self, somebody: Person) -> Any:
        return peer(self.service, somebody.token, room=self.room.room_id)


@asynccontextmanager
async def lab(folder: Path, **settings: Any) -> AsyncIterator[Lab]:
    async with dev_service(folder, **settings) as service:
        owner, member = await person(service, "ada"), await person(service, "grace")
        room = await owner.room()
        await join(service, member, room)
        token = await owner.worker_token(room)
        async with worker(service, token.token, ONE) as gpu:
            yield Lab(service, room, owner, member, gpu)


def visitor(stamp: dict[str, Any]) -> dict[str, str]:
    return {"user": stamp["user"], "credential": stamp["credential"]}


async def test_an_offer_says_by_which_login_it_was_made(tmp_path: Path) -> None:
    async with lab(tmp_path) as found, found.enter(found.member) as one, found.enter(found.member) as two:
        other = await person(found.service, "grace")
        async with found.enter(other) as three:
            stamps = [await found.dial(client, n) for n, client in enumerate((one, two, three))]
    assert stamps[0]["credential"] == stamps[1]["credential"] != stamps[2]["credential"]
    assert found.member.token not in str(stamps)


async def test_who_is_removed_is_sent_away_and_their_links_with_them(tmp_path: Path) -> None:
    async with lab(tmp_path) as found, found.enter(found.member) as grace, found.enter(found.owner) as ada:
        theirs, ours = await found.dial(grace), await found.dial(ada, 1)
        await found.remove(found.member)
        async with asyncio.timeout(2 * 3):
            assert await grace.closed() == 4403
            heard = await found.worker.hear()
        assert heard == {"type": "revoked", "visitor": visitor(theirs) | {"reason": REMOVED}}
        assert await found.worker.silent()
        assert await ada.silent()
        assert ours["user"] == found.owner.user_id


async def test_a_link_whose_client_left_the_service_ends_too(tmp_path: Path) -> None:
    async with lab(tmp_path) as found:
        async with found.enter(found.member) as grace:
            stamp = await found.dial(grace)
        await found.remove(found.member)
        assert (await found.worker.hear())["visitor"]["credential"] == stamp["credential"]


async def test_a_logout_ends_the_links_of_that_device_alone(tmp_path: Path) -> None:
    async with lab(tmp_path) as found:
        other = await person(found.service, "grace")
        async with found.enter(found.member) as here, found.enter(other) as elsewhere:
            stamp = await found.dial(here)
            await found.dial(elsewhere, 1)
            await found.member.api.logout()
            heard = await found.worker.hear()
            assert visitor(heard["visitor"]) == visitor(stamp)
            assert "logged out" in heard["visitor"]["reason"]
            assert await found.worker.silent()
            assert await elsewhere.silent()


async def test_a_worker_of_another_room_is_told_nothing(tmp_path: Path) -> None:
    async with lab(tmp_path) as found:
        elsewhere = await found.member.room("other")
        token = await found.member.worker_token(elsewhere)
        async with worker(found.service, token.token, TWO) as foreign, found.enter(found.member) as grace:
            await found.dial(grace)
            async with peer(found.service, found.member.token, room=elsewhere.room_id) as there:
                await there.say("offer", link=link(1), worker_id=TWO.worker_id, sdp="v=0")
                assert (await foreign.hear())["type"] == "offer"
                await found.remove(found.member)
                assert (await found.worker.hear())["type"] == "revoked"
                assert await foreign.silent()
                assert await there.silent()


async def test_what_ends_by_itself_is_found_by_the_minutes_look(tmp_path: Path) -> None:
    async with lab(tmp_path, login_days=2) as found:
        clock = Clock(found.service)
        async with found.enter(found.member) as grace:
            stamp = await found.dial(grace)
        # nobody of theirs is connected any more: only the worker's link is left
        async with found.service.service.database.transaction() as session:
            await session.execute(
                update(Login).where(Login.id == stamp["credential"]).values(expires_at=clock.now + 1000)
            )
        clock.now += 1000
        await recheck(found.service.service)
        heard = await found.worker.hear()
        assert visitor(heard["visitor"]) == visitor(stamp)
        assert "expired" in heard["visitor"]["reason"]


async def test_a_worker_asks_and_is_told_who_does_not_belong_there(tmp_path: Path) -> None:
    async with lab(tmp_path) as found, found.enter(found.member) as grace, found.enter(found.owner) as ada:
        stamps = [await found.dial(grace), await found.dial(ada, 1)]
        asked = [visitor(stamp) for stamp in stamps]
        assert await found.worker.ask("lease", id=3, visitors=asked) == {"type": "leased", "re": 3, "departed": []}
        await leave(found.service, found.member, found.room)  # and nobody says so
        answer = await found.worker.ask("lease", id=4, visitors=asked)
        [gone] = answer["departed"]
        assert visitor(gone) == asked[0]
        assert "no longer belong" in gone["reason"]


async def test_a_guest_of_a_session_string_is_a_visitor_like_others(service: RunningService) -> None:
    room = await open_room(service)
    async with worker(service, room, ONE) as gpu, peer(service, room.session_token) as client:
        await client.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
        asked = visitor((await gpu.hear())["from"])
        assert (await gpu.ask("lease", id=1, visitors=[asked]))["departed"] == []
        async with service.service.database.transaction() as session:
            await session.execute(update(Token).where(Token.kind == "session").values(revoked_at=1))
        [gone] = (await gpu.ask("lease", id=2, visitors=[asked]))["departed"]
        assert visitor(gone) == asked
        assert "revoked" in gone["reason"]


async def test_nobody_else_belongs_there(tmp_path: Path) -> None:
    async with lab(tmp_path) as found:
        stranger = await person(found.service, "mary")
        elsewhere = await stranger.room("other")
        token = await stranger.worker_token(elsewhere)
        async with peer(found.service, stranger.token, room=elsewhere.room_id) as mary:
            foreign = visitor(mary.welcome["principal"])
        async with peer(found.service, token.token) as gpu:
            machine = visitor(gpu.welcome["principal"])
        mixed = {"user": found.member.user_id, "credential": foreign["credential"]}
        invented = {"user": "u_" + "a" * 8, "credential": "a_" + "0" * 32}
        asked = [foreign, machine, mixed, invented, invented | {"credential": "t_1"}]
        answer = await found.worker.ask("lease", id=1, visitors=asked)
        assert sorted(map(str, map(visitor, answer["departed"]))) == sorted(map(str, asked))


async def test_a_worker_learns_nothing_of_the_logins_of_who_left(tmp_path: Path) -> None:
    async with lab(tmp_path) as found:
        async with found.enter(found.member) as grace:
            asked = [visitor(await found.dial(grace))]
        await leave(found.service, found.member, found.room)
        left = await found.worker.ask("lease", id=1, visitors=asked)
        await found.member.api.end_logins()
        later = await found.worker.ask("lease", id=2, visitors=asked)
        assert left["departed"] == later["departed"]


async def test_a_question_has_a_bound_and_so_has_its_answer(tmp_path: Path) -> None:
    async with lab(tmp_path) as found:
        asked = [{"user": f"u_{n:064}", "credential": f"a_{n:032}"} for n in range(MAX_VISITORS + 1)]
        assert len((await found.worker.ask("lease", id=1, visitors=asked[:-1]))["departed"]) == MAX_VISITORS
        assert (await found.worker.ask("lease", id=2, visitors=asked))["error"]["code"] == "protocol"


def test_a_worker_has_no_more_visitors_than_it_may_have_links() -> None:
    principal = Principal(user="u_aaaaaaaa", name="gpu", role="worker", room="r_aaaaaaaa", session="p_aaaaaaaa")
    member = Member("p_aaaaaaaa", principal, "t_1", "127.0.0.1", bytes(32), Outbox(10))
    people = [Holder(f"a_{n}", "r_aaaaaaaa", "u_aaaaaaaa") for n in range(3)]
    for each in (people[0], people[1], people[0], people[2]):
        member.note_visitor(each, 2)
    assert list(member.visitors) == [people[0], people[2]]


async def told_of_both(worker: Peer, theirs: str, ours: str) -> bool:
    """Read what a worker hears up to the offer `ours`; whether it was sent who came with `theirs`, if they came."""
    offers: list[str] = []
    revoked = False
    while ours not in offers or (theirs in offers and not revoked):
        heard = await worker.hear()
        revoked = revoked or heard["type"] == "revoked"
        offers += [heard["link"]] if heard["type"] == "offer" else []
    return theirs not in offers or revoked


@pytest.mark.parametrize("by", ["offer", "lease"])
async def test_who_is_removed_in_the_same_breath_is_not_missed(tmp_path: Path, by: str) -> None:
    async with lab(tmp_path) as found, found.enter(found.member) as grace, found.enter(found.owner) as ada:
        if by == "offer":
            await grace.say("offer", link=link(), worker_id=ONE.worker_id, sdp="v=0")
            await found.remove(found.member)
            assert await grace.closed() == 4403
            # either the offer came first, and the worker is told; or it never came
            await ada.say("offer", link=link(1), worker_id=ONE.worker_id, sdp="v=0")
            assert await told_of_both(found.worker, link(), link(1))
        else:
            asked = visitor(await found.dial(grace))
            await found.worker.say("lease", id=1, visitors=[asked])
            await found.remove(found.member)
            told = [await found.worker.hear()]
            if told[0]["type"] == "leased" and not told[0]["departed"]:
                told.append(await found.worker.hear())
            assert any(each["type"] == "revoked" or each["departed"] for each in told)
