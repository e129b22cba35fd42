"""The log of a room: what was done there, by whom, for its owner to read."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from signaling_server.audit.service import Action
from signaling_server.housekeeping import clean_up
from signaling_server.models import RoomEvent, User
from sleap_rtc.errors import ConflictError, ForbiddenError, NotFoundError, UsageError
from tests.service.people import Clock, Person, dev_service, join, person

Line = tuple[str, str, str, str]


async def lines(somebody: Person, room_id: str) -> list[Line]:
    """The log of a room, the oldest line first."""
    page = await somebody.api.log(room_id, limit=200)
    assert not page.more
    return [(each.actor, each.action, each.subject, each.detail) for each in reversed(page.events)]


async def test_everything_that_is_done_in_a_room_is_in_its_log(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace, mary = [await person(service, name) for name in ("ada", "grace", "mary")]
        room = await ada.room("lab", 1)
        where = room.room_id
        await ada.api.rename_room(where, "flies")
        await ada.api.extend_room(where, 30)
        invite = await ada.api.create_invite(where, uses=2)
        open_one = await ada.api.create_invite(where)
        await grace.api.redeem_invite(invite.code)
        await mary.api.redeem_invite(invite.code)
        await ada.api.revoke_invite(where, open_one.invite_id)
        token = await ada.worker_token(room, "gpu-1", 7)
        new = await ada.api.rotate_token(where, token.token_id, 24)
        await ada.api.revoke_token(where, new.token_id)
        await mary.api.leave_room(where)
        await ada.api.transfer_room(where, grace.user_id)
        await grace.api.remove_member(where, ada.user_id)
        short, other = f"{invite.code[:3]}…", f"{open_one.code[:3]}…"
        assert await lines(grace, where) == [
            ("ada", "room_created", "lab", "for 1 day"),
            ("ada", "room_renamed", "flies", "was lab"),
            ("ada", "room_extended", "flies", "for 30 days"),
            ("ada", "invite_made", short, "for 2 people"),
            ("ada", "invite_made", other, "for 1 person"),
            ("grace", "member_joined", "grace", f"invite {short}"),
            ("mary", "member_joined", "mary", f"invite {short}"),
            ("ada", "invite_revoked", other, ""),
            ("ada", "token_made", "gpu-1", "for 7 days"),
            ("ada", "token_rotated", "gpu-1", "the old one ends in 1 day"),
            ("ada", "token_revoked", "gpu-1", new.token[:10]),
            ("mary", "member_left", "mary", ""),
            ("ada", "room_transferred", "grace", grace.user_id),
            ("grace", "member_removed", "ada", ada.user_id),
        ]
        page = await grace.api.log(where)
        assert {each.at for each in page.events} == {clock.now}
        # of models: see test_models.py
        assert {each.action for each in page.events} == {each for each in Action if not each.startswith("model_")}
        for secret in (invite.code, open_one.link_token, token.token, new.token):
            assert secret not in page.model_dump_json()


async def test_only_the_owner_reads_the_log(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        with pytest.raises(NotFoundError):
            await grace.api.log(room.room_id)
        await join(service, grace, room)
        with pytest.raises(ForbiddenError, match="Only the owner"):
            await grace.api.log(room.room_id)


async def test_what_is_undone_leaves_no_line(tmp_path: Path) -> None:
    limits = {"members_per_room": 1, "tokens_per_room": 1, "invites_per_room": 1}
    async with dev_service(tmp_path, limits=limits) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        invite = await ada.api.create_invite(room.room_id)
        await ada.worker_token(room)
        before = await lines(ada, room.room_id)
        for refused in (
            grace.api.redeem_invite(invite.code),
            ada.worker_token(room, "gpu-2"),
            ada.api.create_invite(room.room_id),
            ada.api.extend_room(room.room_id, 1),
            ada.api.leave_room(room.room_id),
            ada.api.transfer_room(room.room_id, ada.user_id),
        ):
            with pytest.raises(ConflictError):
                await refused
        # nor does what changes nothing
        await ada.api.rename_room(room.room_id, "lab")
        assert (await ada.api.redeem_invite(invite.code)).joined is False
        assert await lines(ada, room.room_id) == before


async def test_the_log_comes_in_pages(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room, other = await ada.room(), await ada.room()
        for number in range(5):
            await ada.api.rename_room(room.room_id, f"lab {number}")
            await ada.api.rename_room(other.room_id, f"other {number}")
        whole = await ada.api.log(room.room_id)
        assert ([each.subject for each in whole.events], whole.more) == (
            ["lab 4", "lab 3", "lab 2", "lab 1", "lab 0", "lab"],
            False,
        )
        first = await ada.api.log(room.room_id, limit=4)
        assert (first.events, first.more) == (whole.events[:4], True)
        second = await ada.api.log(room.room_id, before=first.events[-1].event_id, limit=2)
        assert (second.events, second.more) == (whole.events[4:], False)
        for limit in (0, 201):
            with pytest.raises(UsageError):
                await ada.api.log(room.room_id, limit=limit)


async def test_names_in_the_log_are_those_of_the_time(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room("lab")
        async with service.service.database.transaction() as session:
            (await session.get_one(User, ada.user_id)).name = "n" * 128
        await ada.api.rename_room(room.room_id, "r" * 128)
        assert await lines(ada, room.room_id) == [
            ("ada", "room_created", "lab", "for 30 days"),
            ("n" * 128, "room_renamed", "r" * 128, "was lab"),
        ]


async def test_a_log_keeps_its_newest_lines(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"events_per_room": 3}) as service:
        ada = await person(service, "ada")
        long, short = await ada.room("long"), await ada.room("short")
        for name in ("b", "c", "d"):
            await ada.api.rename_room(long.room_id, name)
        for name in ("b", "c"):
            await ada.api.rename_room(short.room_id, name)
        await clean_up(service.service)
        assert [subject for _, _, subject, _ in await lines(ada, long.room_id)] == ["b", "c", "d"]
        assert [subject for _, _, subject, _ in await lines(ada, short.room_id)] == ["short", "b", "c"]


async def test_the_log_goes_with_its_room(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        await ada.api.delete_room((await ada.room()).room_id)
        async with service.service.database.transaction() as session:
            assert await session.scalar(select(func.count()).select_from(RoomEvent)) == 0
