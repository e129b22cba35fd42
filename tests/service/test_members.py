"""Who belongs to a room: members who leave, are removed, or become its owner."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from signaling_server.housekeeping import recheck
from sleap_rtc.errors import ConflictError, ForbiddenError, NotFoundError, SleapRTCError, UsageError
from sleap_rtc.signaling.api import find_member
from tests.service.peers import Key, browser, link, peer, worker
from tests.service.people import DAY, Clock, dev_service, join, person
from tests.service.running import RunningService

ONE = Key(1)
ENDED_WITHIN = 2
ABSENT = "u_" + "a" * 32


async def roles(service: RunningService, room_id: str, name: str) -> dict[str, str]:
    members = await (await person(service, name)).api.members(room_id)
    return {member.name: member.role for member in members}


async def test_members_are_listed_with_the_day_they_joined(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        clock.now += DAY
        await join(service, grace, room)
        listed = await grace.api.members(room.room_id)
        assert [(each.user_id, each.name, each.role, each.joined_at) for each in listed] == [
            (ada.user_id, "ada", "owner", clock.now - DAY),
            (grace.user_id, "grace", "member", clock.now),
        ]


async def test_who_leaves_is_gone_at_once_and_nobody_else(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace, mary = [await person(service, name) for name in ("ada", "grace", "mary")]
        room, other = await ada.room(), await grace.room()
        for somebody in (grace, mary):
            await join(service, somebody, room)
        async with (
            peer(service, grace.token, room=room.room_id) as leaves,
            peer(service, grace.token, room=other.room_id) as elsewhere,
            peer(service, mary.token, room=room.room_id) as stays,
        ):
            await grace.api.leave_room(room.room_id)
            async with asyncio.timeout(ENDED_WITHIN):
                assert await leaves.closed() == 4403
            assert await elsewhere.silent()
            assert await stays.silent()
        with pytest.raises(NotFoundError):
            await grace.api.leave_room(room.room_id)
        assert await roles(service, room.room_id, "ada") == {"ada": "owner", "mary": "member"}


async def test_an_owner_cannot_leave_a_room_alone(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        with pytest.raises(ConflictError, match=r"a room needs an owner.*room transfer.*room delete"):
            await ada.api.leave_room(room.room_id)
        assert await roles(service, room.room_id, "ada") == {"ada": "owner"}


async def test_who_is_removed_is_gone_at_once_with_the_open_invites(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        invite = await ada.api.create_invite(room.room_id, uses=2)
        await grace.api.redeem_invite(invite.code)
        async with (
            peer(service, grace.token, room=room.room_id) as removed,
            peer(service, ada.token, room=room.room_id) as stays,
        ):
            removal = await ada.api.remove_member(room.room_id, grace.user_id)
            async with asyncio.timeout(ENDED_WITHIN):
                assert await removed.closed() == 4403
            assert await stays.silent()
        assert (removal.invites_revoked, removal.tokens_left) == (1, 0)
        with pytest.raises(NotFoundError):
            await grace.api.room(room.room_id)
        # nobody comes back with the code that let them in
        with pytest.raises(NotFoundError, match="not good"):
            await grace.api.redeem_invite(invite.code)
        await grace.api.redeem_invite((await ada.api.create_invite(room.room_id)).code)


async def test_a_worker_is_told_to_end_the_links_of_who_is_removed(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        await join(service, grace, room)
        token = await ada.worker_token(room)
        async with worker(service, token.token, ONE) as gpu:
            for number, somebody in enumerate((ada, grace)):
                async with peer(service, somebody.token, room=room.room_id) as client:
                    await client.say("offer", link=link(number), worker_id=ONE.worker_id, sdp="v=0")
                    offer = await gpu.hear()
                    await gpu.say("answer", link=offer["link"], sdp="v=0")
                    assert (await client.hear())["type"] == "answer"
            # her socket is closed already, and her link stands
            await ada.api.remove_member(room.room_id, grace.user_id)
            revoked = await gpu.hear()
            assert (revoked["type"], revoked["visitor"]["user"]) == ("revoked", grace.user_id)
            assert revoked["visitor"]["reason"].startswith("You were removed from this room by its owner.")
            assert await gpu.silent()


@pytest.mark.parametrize("user", [ABSENT, "u_x", "me-too"])
async def test_who_is_no_member_cannot_be_removed_or_made_owner(tmp_path: Path, user: str) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada, mary = await person(service, "ada"), await person(service, "mary")
        room = await ada.room()
        headers = {"Authorization": f"Bearer {ada.token}"}
        path = f"/api/v1/rooms/{room.room_id}"
        for user_id in (user, mary.user_id):
            answer = await client.request("DELETE", f"{path}/members/{user_id}", headers=headers)
            assert (answer.status_code, "no such member" in answer.text) == (404, True)
        with pytest.raises(NotFoundError, match="no such member"):
            await ada.api.transfer_room(room.room_id, mary.user_id)
        answer = await client.post(f"{path}/transfer", headers=headers, json={"user_id": "u_x"})
        assert answer.status_code == 422
        with pytest.raises(ConflictError, match="Nobody removes themselves"):
            await ada.api.remove_member(room.room_id, ada.user_id)
        with pytest.raises(ConflictError, match="You own the room 'lab' already"):
            await ada.api.transfer_room(room.room_id, ada.user_id)


async def test_a_member_can_do_no_owners_business(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service, browser(service) as client:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        await join(service, grace, room)
        token = await ada.worker_token(room)
        invite = await ada.api.create_invite(room.room_id)
        before = [await ada.api.room(room.room_id), await ada.api.tokens(room.room_id)]
        path = f"/api/v1/rooms/{room.room_id}"
        asked: list[tuple[str, str, dict[str, Any] | None]] = [
            ("POST", f"{path}/tokens", {"name": "mine", "role": "owner"}),
            ("POST", f"{path}/tokens/{token.token_id}/rotate", {}),
            ("DELETE", f"{path}/tokens/{token.token_id}", None),
            ("POST", f"{path}/transfer", {"user_id": grace.user_id}),
            ("DELETE", f"{path}/members/{ada.user_id}", None),
            ("DELETE", f"{path}/members/{grace.user_id}", None),
            ("PATCH", path, {"name": "mine", "role": "owner"}),
            ("POST", f"{path}/invites", {"role": "owner"}),
            ("GET", f"{path}/invites", None),
            ("DELETE", f"{path}/invites/{invite.invite_id}", None),
            ("GET", f"{path}/log", None),
            ("DELETE", path, None),
        ]
        headers = {"Authorization": f"Bearer {grace.token}"}
        for method, where, body in asked:
            answer = await client.request(method, where, headers=headers, json=body)
            assert (method, where, answer.status_code) == (method, where, 403)
        assert [await ada.api.room(room.room_id), await ada.api.tokens(room.room_id)] == before


async def test_a_room_handed_over_has_one_owner_and_the_stamps_say_so(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room, other = await ada.room(), await ada.room()
        await join(service, grace, room)
        token = await ada.worker_token(room)
        async with (
            worker(service, token.token, ONE) as gpu,
            peer(service, ada.token, room=room.room_id) as was,
            peer(service, ada.token, room=other.room_id) as elsewhere,
            peer(service, grace.token, room=room.room_id) as becomes,
        ):
            await ada.api.transfer_room(room.room_id, grace.user_id)
            assert await roles(service, room.room_id, "ada") == {"ada": "member", "grace": "owner"}
            # who owned it comes back as a member, and the others stay
            async with asyncio.timeout(ENDED_WITHIN):
                assert await was.closed() == 4403
            assert await elsewhere.silent()
            async with peer(service, ada.token, room=room.room_id) as back:
                assert back.welcome["principal"]["owner"] is False
                await recheck(service.service)
                for number, (client, owns) in enumerate(((back, False), (becomes, True))):
                    await client.say("offer", link=link(number), worker_id=ONE.worker_id, sdp="v=0")
                    assert (await gpu.hear())["from"]["owner"] is owns
        with pytest.raises(ForbiddenError, match="Only the owner"):
            await ada.worker_token(room)
        removal = await grace.api.remove_member(room.room_id, ada.user_id)
        assert removal.tokens_left == 1


async def test_who_connects_while_a_room_is_handed_over_gets_no_old_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        await join(service, grace, room)
        join_hub = service.service.hub.join

        async def late(member: object) -> None:
            # the membership was looked at before; this connection joins after the others were stamped anew
            await ada.api.transfer_room(room.room_id, grace.user_id)
            await join_hub(member)  # type: ignore[arg-type]

        monkeypatch.setattr(service.service.hub, "join", late)
        async with peer(service, ada.token, room=room.room_id) as client:
            assert client.welcome["principal"]["owner"] is False


async def test_two_transfers_at_once_leave_one_owner(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace, mary = [await person(service, name) for name in ("ada", "grace", "mary")]
        room = await ada.room()
        for somebody in (grace, mary):
            await join(service, somebody, room)
        answers = await asyncio.gather(
            ada.api.transfer_room(room.room_id, grace.user_id),
            ada.api.transfer_room(room.room_id, mary.user_id),
            ada.api.remove_member(room.room_id, grace.user_id),
            grace.api.leave_room(room.room_id),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert all(isinstance(error, SleapRTCError) for error in refused)
        assert list((await roles(service, room.room_id, "ada")).values()).count("owner") == 1


async def test_who_owns_as_many_rooms_as_they_may_is_given_no_other(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"rooms_per_user": 2}) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        rooms = [await ada.room("one"), await ada.room("two")]
        await grace.room("three")
        for room in rooms:
            await join(service, grace, room)
        await ada.api.transfer_room(rooms[0].room_id, grace.user_id)
        with pytest.raises(ConflictError, match="grace owns 2 rooms"):
            await ada.api.transfer_room(rooms[1].room_id, grace.user_id)
        assert await roles(service, rooms[1].room_id, "ada") == {"ada": "owner", "grace": "member"}


async def test_a_member_is_meant_by_id_or_by_a_name_that_one_has(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        await join(service, grace, room)
        members = await ada.api.members(room.room_id)
        assert find_member(members, grace.user_id, "lab") == find_member(members, "Grace ", "lab") == members[1]
        with pytest.raises(NotFoundError, match=r"'mary'. Its members: 'ada' \(u_\w+\), 'grace'"):
            find_member(members, "mary", "lab")
        twin = members[1].model_copy(update={"user_id": ABSENT})
        with pytest.raises(UsageError, match=rf"are called 'grace'.*{ABSENT}"):
            find_member([*members, twin], "grace", "lab")
