"""Invites: made by owners, good for as many people as they say, and the same to everybody when they are not good."""

import asyncio
from pathlib import Path

import pytest

from signaling_server.housekeeping import clean_up
from signaling_server.models import Invite
from sleap_rtc.errors import BusyError, ConflictError, NotFoundError, SleapRTCError, UsageError
from sleap_rtc.protocol.invites import ALPHABET, format_code, make_code, read_code
from sleap_rtc.protocol.tokens import check_token, make_token, redact
from sleap_rtc.signaling.api import JoinedRoom
from tests.service.people import DAY, Clock, dev_service, person

HOUR = 3_600_000
WRONG = "00000-00000"


def test_a_code_is_read_as_people_say_and_type_it() -> None:
    code = make_code(bytes(range(7)))
    assert len(code) == 10
    assert set(code) <= set(ALPHABET)
    assert make_code(bytes(6) + b"\x01") == "1" + "0" * 9
    assert format_code(code) == f"{code[:5]}-{code[5:]}"
    for typed in (code, code.lower(), format_code(code), f"  {code[:3]}- {code[3:]}\n".replace("\n", "")):
        assert read_code(typed) == code
    assert read_code("oOiIl-abcde") == "00111ABCDE"
    for wrong in ("", "ABCDE-ABCD", "ABCDE-ABCDEF", "ABCDE-ABCDU", "ÀBCDE-ABCDE", "ﬀBCDE-ABCD", "slri_" + "A" * 36):
        assert read_code(wrong) is None
    with pytest.raises(ValueError, match="random bytes"):
        make_code(bytes(6))


async def test_an_invite_makes_a_member_once(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace, mary = [await person(service, name) for name in ("ada", "grace", "mary")]
        room = await ada.room("lab", 3)
        invite = await ada.api.create_invite(room.room_id)
        assert check_token(invite.link_token) == "invite"
        assert (invite.uses, invite.expires_at) == (1, clock.now + 24 * HOUR)
        assert invite.code not in repr(invite)
        assert invite.link_token not in repr(invite)
        assert redact(invite.link_token) == "slri_…"
        joined = await grace.api.redeem_invite(invite.code.lower().replace("-", " "))
        assert joined == JoinedRoom(
            room_id=room.room_id, name="lab", expires_at=room.expires_at, role="member", joined=True
        )
        assert {each.name for each in await grace.api.members(room.room_id)} == {"ada", "grace"}
        with pytest.raises(NotFoundError, match="not good"):
            await mary.api.redeem_invite(invite.code)
        with pytest.raises(NotFoundError, match="not good"):
            await mary.api.redeem_invite(invite.link_token)
        # who has joined with it is told so, as after an answer that was lost
        assert (await grace.api.redeem_invite(invite.code)).joined is False


async def test_a_link_is_as_good_as_the_code_and_both_are_one_invite(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace, mary, eve = [await person(service, name) for name in ("ada", "grace", "mary", "eve")]
        room = await ada.room()
        invite = await ada.api.create_invite(room.room_id, uses=2)
        assert (await grace.api.redeem_invite(f" {invite.link_token} ")).joined
        assert (await mary.api.redeem_invite(invite.code)).joined
        with pytest.raises(NotFoundError):
            await eve.api.redeem_invite(invite.link_token)


async def test_who_belongs_already_burns_no_use(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        invite = await ada.api.create_invite(room.room_id)
        again = await ada.api.redeem_invite(invite.code)
        assert (again.joined, again.role) == (False, "owner")
        assert [each.used for each in await ada.api.invites(room.room_id)] == [0]
        assert (await grace.api.redeem_invite(invite.code)).joined


async def test_of_fifty_at_once_one_gets_in(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"wrong_codes_per_address": 100}) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        people = [await person(service, f"guest-{number}") for number in range(50)]
        invite = await ada.api.create_invite(room.room_id)
        answers = await asyncio.gather(
            *(each.api.redeem_invite(invite.code) for each in people), return_exceptions=True
        )
        assert sum(isinstance(answer, JoinedRoom) for answer in answers) == 1
        assert {type(answer) for answer in answers} == {JoinedRoom, NotFoundError}
        assert (await ada.api.room(room.room_id)).members == 2


async def test_one_user_five_times_at_once_joins_once(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        invite = await ada.api.create_invite(room.room_id, uses=5)
        answers = await asyncio.gather(*(grace.api.redeem_invite(invite.code) for _ in range(5)))
        assert [answer.joined for answer in answers].count(True) == 1
        assert [each.used for each in await ada.api.invites(room.room_id)] == [1]


async def test_no_invite_tells_why_it_is_not_good(tmp_path: Path) -> None:
    limits = {"wrong_codes_per_user": 99, "wrong_codes_per_address": 99}
    async with dev_service(tmp_path, limits=limits) as service:
        clock = Clock(service)
        ada, grace, mary = [await person(service, name) for name in ("ada", "grace", "mary")]
        room, brief = await ada.room("lab", None), await ada.room("brief", 1)
        used, revoked, late = [await ada.api.create_invite(room.room_id, expires_hours=72) for _ in range(3)]
        expired = await ada.api.create_invite(room.room_id, expires_hours=1)
        closed = await ada.api.create_invite(brief.room_id, expires_hours=72)
        await grace.api.redeem_invite(used.code)
        await ada.api.revoke_invite(room.room_id, revoked.invite_id)
        clock.now += 2 * DAY
        bodies = set()
        for code in (
            WRONG,
            "no code at all",
            make_token("invite", bytes(32)),
            used.code,
            revoked.link_token,
            expired.code,
            closed.code,
            "'; DROP TABLE invites",
        ):
            with pytest.raises(SleapRTCError) as caught:
                await mary.api.redeem_invite(code)
            bodies.add((type(caught.value), caught.value.sentence))
        assert len(bodies) == 1
        assert bodies.pop()[0] is NotFoundError
        assert (await mary.api.redeem_invite(late.code)).joined
        states = {each.invite_id: each.state for each in await ada.api.invites(room.room_id)}
        assert [states[each.invite_id] for each in (used, revoked, late, expired)] == [
            "used", "revoked", "used", "expired",
        ]  # fmt: skip


async def test_who_types_wrong_codes_has_to_wait(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada, grace = await person(service, "ada"), await person(service, "grace")
        room = await ada.room()
        good = await ada.api.create_invite(room.room_id, uses=2)
        for _ in range(5):
            with pytest.raises(NotFoundError):
                await grace.api.redeem_invite(WRONG)
        # the sixth is not looked at, be it right or wrong
        for code in (WRONG, good.code):
            with pytest.raises(BusyError, match="ten minutes"):
                await grace.api.redeem_invite(code)
        assert (await (await person(service, "mary")).api.redeem_invite(good.code)).joined
        clock.now += 10 * 60_000
        assert (await grace.api.redeem_invite(good.code)).joined


async def test_guesses_at_once_are_no_way_round(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        grace = await person(service, "grace")
        answers = await asyncio.gather(*(grace.api.redeem_invite(WRONG) for _ in range(30)), return_exceptions=True)
        assert sum(isinstance(answer, NotFoundError) for answer in answers) == 5
        assert sum(isinstance(answer, BusyError) for answer in answers) == 25


async def test_an_address_has_a_bound_of_its_own(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"wrong_codes_per_user": 2, "wrong_codes_per_address": 3}) as service:
        clock = Clock(service)
        ada, grace, mary = [await person(service, name) for name in ("ada", "grace", "mary")]
        good = await ada.api.create_invite((await ada.room()).room_id)
        for somebody in (grace, grace, mary):
            with pytest.raises(NotFoundError):
                await somebody.api.redeem_invite(WRONG)
        with pytest.raises(BusyError, match="at this address"):
            await mary.api.redeem_invite(good.code)
        clock.now += HOUR
        assert (await mary.api.redeem_invite(good.code)).joined


async def test_a_full_room_says_so_and_keeps_the_invite(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"members_per_room": 2}) as service:
        ada, grace, mary = [await person(service, name) for name in ("ada", "grace", "mary")]
        room = await ada.room()
        invite = await ada.api.create_invite(room.room_id, uses=2)
        await grace.api.redeem_invite(invite.code)
        with pytest.raises(ConflictError, match=r"2 members.*the invite is still good"):
            await mary.api.redeem_invite(invite.code)
        await grace.api.leave_room(room.room_id)
        assert (await mary.api.redeem_invite(invite.code)).joined


async def test_a_room_has_a_bound_of_open_invites(tmp_path: Path) -> None:
    async with dev_service(tmp_path, limits={"invites_per_room": 2}) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        first, second = [await ada.api.create_invite(room.room_id) for _ in range(2)]
        with pytest.raises(ConflictError, match="2 open invites"):
            await ada.api.create_invite(room.room_id)
        await ada.api.revoke_invite(room.room_id, first.invite_id)
        third = await ada.api.create_invite(room.room_id)
        assert {each.invite_id for each in await ada.api.invites(room.room_id)} == {second.invite_id, third.invite_id}


@pytest.mark.one_database
@pytest.mark.parametrize(("uses", "hours"), [(0, 24), (101, 24), (1, 0), (1, 721)])
async def test_what_is_no_invite(tmp_path: Path, uses: int, hours: int) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room = await ada.room()
        with pytest.raises(UsageError):
            await ada.api.create_invite(room.room_id, uses=uses, expires_hours=hours)
        await ada.api.create_invite(room.room_id, uses=100, expires_hours=720)


async def test_an_expired_room_invites_nobody(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room("lab", 1)
        clock.now += DAY
        with pytest.raises(ConflictError, match="'lab' expired just now"):
            await ada.api.create_invite(room.room_id)


async def test_an_invite_is_stored_as_hashes_and_listed_by_its_first_characters(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        room, other = await ada.room(), await ada.room()
        invite = await ada.api.create_invite(room.room_id)
        [listed] = await ada.api.invites(room.room_id)
        assert (listed.created_by, listed.state, listed.uses, listed.used) == ("ada", "open", 1, 0)
        assert invite.code.startswith(listed.display)
        assert len(listed.display) == 3
        async with service.service.database.transaction() as session:
            row = await session.get_one(Invite, invite.invite_id)
            stored = [str(value) for value in vars(row).values()]
        assert not any(secret in value for secret in (invite.code, invite.link_token[5:]) for value in stored)
        assert not any(invite.code.replace("-", "") in value for value in stored)
        for room_id, invite_id in ((other.room_id, invite.invite_id), (room.room_id, "i_" + "0" * 32)):
            with pytest.raises(NotFoundError, match="no such invite"):
                await ada.api.revoke_invite(room_id, invite_id)
        with pytest.raises(NotFoundError, match="no invite's id"):
            await ada.api.revoke_invite(room.room_id, "../x")


async def test_an_invite_outlives_a_restart(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        ada = await person(service, "ada")
        invite = await ada.api.create_invite((await ada.room()).room_id)
    async with dev_service(tmp_path) as service:
        assert (await (await person(service, "grace")).api.redeem_invite(invite.code)).joined


async def test_ended_invites_are_forgotten_after_a_month(tmp_path: Path) -> None:
    async with dev_service(tmp_path) as service:
        clock = Clock(service)
        ada = await person(service, "ada")
        room = await ada.room("lab", None)
        await ada.api.create_invite(room.room_id, expires_hours=24)
        clock.now += 31 * DAY
        ada = await person(service, "ada")
        await clean_up(service.service)
        assert len(await ada.api.invites(room.room_id)) == 1
        clock.now += 1
        await clean_up(service.service)
        assert await ada.api.invites(room.room_id) == []
